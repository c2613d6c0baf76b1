use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    jobs::NewJob,
    oci::{Digest, Reference, RepositoryName},
    replication::{
        Change, ChangeKind, Operation, Origin, Policy, PolicyId, RegistryId, job_target, transfer,
    },
};

/// That a policy's destination equals its source in one reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::replication) struct Wish {
    pub policy: PolicyId,
    pub remote: RegistryId,
    pub repository: String,
    pub reference: Reference,
    /// The repository at the destination; empty when the policy cannot name it, which the
    /// task will report.
    pub destination: String,
    pub operation: Operation,
    /// What the reference is once the change is made; `None` for a deletion, and where nobody
    /// can say.
    #[serde(default)]
    pub expected: Option<Digest>,
    /// What the image's blobs weigh, where its manifest was seen.
    #[serde(default)]
    pub blob_bytes: Option<u64>,
    /// What the change that is to be copied says of itself.
    #[serde(default)]
    pub origin: Origin,
}

impl Wish {
    pub(in crate::replication) fn new(
        policy: &Policy,
        repository: &RepositoryName,
        reference: Reference,
        operation: Operation,
    ) -> Self {
        let destination = policy.spec.namespace.map(repository);
        Self {
            policy: policy.id,
            remote: policy.spec.remote(),
            repository: repository.to_string(),
            reference,
            destination: destination.map_or_else(|_unmappable| String::new(), |n| n.to_string()),
            operation,
            expected: None,
            blob_bytes: None,
            origin: Origin::default(),
        }
    }

    /// The job that fulfils the wish. A burst of pushes of one reference shares it.
    pub(in crate::replication) fn job(&self) -> NewJob {
        let (policy, repository, reference) = (self.policy, &self.repository, &self.reference);
        let key = format!("{policy}/{repository}@{reference}");
        let params = json!({
            "policy": policy, "repository": repository, "reference": reference,
            "operation": self.operation, "origin": self.origin,
        });
        let project = repository.split('/').next().unwrap_or_default();
        let job = NewJob::new(transfer::KIND, key, params)
            .for_target(job_target(self.remote))
            .in_project(project);
        NewJob {
            size_bytes: self.blob_bytes,
            ..job
        }
    }
}

/// What `change` makes the affected policies wish.
pub(super) fn of_change(affected: &[(Arc<Policy>, Vec<Reference>)], change: &Change) -> Vec<Wish> {
    let operation = if change.is_deletion() {
        Operation::Deletion
    } else {
        Operation::Copy
    };
    let (expected, blob_bytes) = match &change.kind {
        ChangeKind::Push {
            digest, blob_bytes, ..
        } => (Some(digest), *blob_bytes),
        ChangeKind::Label { digest, .. } => (Some(digest), None),
        ChangeKind::DeleteTag { .. } | ChangeKind::DeleteDigest { .. } => (None, None),
    };
    let wish = |policy: &Policy, reference: &Reference| Wish {
        expected: expected.cloned(),
        blob_bytes,
        origin: change.origin.clone(),
        ..Wish::new(policy, &change.repository, reference.clone(), operation)
    };
    affected
        .iter()
        .flat_map(|(policy, references)| references.iter().map(|r| wish(policy, r)))
        .collect()
}
