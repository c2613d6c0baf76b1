//! The job that makes a destination's reference equal to what the source has now.
//!
//! `copy.rs` holds the steps of one artifact, `check.rs` what of it the destination has,
//! `blob.rs` how its blobs travel, `chunks.rs` how large ones do, `companions.rs` how signatures come along, `deletion.rs` what happens when the source has nothing. Pushing and pulling policies take the same way: both
//! sides are clients of a registry, one of which is the one behind this gateway. What is brought
//! into that one is guarded, written down and told like a client's push.

mod blob;
mod check;
mod chunks;
mod companions;
mod copy;
mod deletion;
mod download;
mod end;
mod failure;
mod flights;
mod portions;
mod side_by_side;
#[cfg(test)]
mod tests;
mod throttle;

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use serde::Deserialize;

use super::{
    Operation, Origin, Policy, PolicyId, Shared, executions,
    metrics::{ArtifactLabels, ArtifactOutcome},
};
use crate::{
    inventory::Registry,
    jobs::{Failure, Handler, Running},
    oci::{Reference, RepositoryName},
};
use copy::{Copy, Outcome};
use end::End;

pub(in crate::replication) use failure::{Side, from_inner};
pub(in crate::replication) use flights::Flights;
pub(in crate::replication) use throttle::{Limited, Speeds, Throttles};

/// The kind of these jobs.
pub(in crate::replication) const KIND: &str = "replication.transfer";

/// Runs the jobs that copy or delete one artifact.
#[derive(Debug)]
pub(in crate::replication) struct Transfers {
    shared: Arc<Shared>,
    registry: Arc<dyn Registry>,
}

/// A job's parameters, as [`super::intents::Wish::job`] writes them.
#[derive(Debug, Deserialize)]
struct Parameters {
    policy: PolicyId,
    repository: String,
    reference: Reference,
    /// What the last wish was.
    #[serde(default = "copy_by_default")]
    operation: Operation,
    #[serde(default)]
    origin: Origin,
}

impl Transfers {
    /// Changes the registry behind this gateway through `registry`.
    pub(in crate::replication) fn new(shared: Arc<Shared>, registry: Arc<dyn Registry>) -> Self {
        Self { shared, registry }
    }

    async fn transfer(&self, job: &Running) -> Result<(), Failure> {
        let parameters = Parameters::deserialize(&job.params)
            .map_err(|error| Failure::permanent(format!("the job's parameters: {error}")))?;
        let repository: RepositoryName = parameters
            .repository
            .parse()
            .map_err(|error| Failure::permanent(format!("the job's parameters: {error}")))?;
        let policy = policy_of(&self.shared, parameters.policy).await?;
        let copy = self
            .prepare(job, &policy, repository)
            .await?
            .stamped(&parameters.origin);
        let ended = tokio::select! {
            ended = self.align(&copy, &parameters) => ended,
            () = job.stop.cancelled() => Err(Failure::Stopped),
        };
        match ended {
            Ok(None) => Ok(()),
            Ok(Some(note)) => executions::queries::note(&self.shared.db, job.id, &note)
                .await
                .map_err(|error| from_inner(&error.into())),
            Err(failure) => {
                copy.abandon(&failure).await;
                Err(failure)
            }
        }
    }

    /// Copies the artifact, or follows its deletion; what to know of it when not all was done.
    async fn align(&self, copy: &Copy<'_>, wished: &Parameters) -> Result<Option<String>, Failure> {
        let reference = &wished.reference;
        let outcome = copy.artifact(reference).await;
        self.count(&outcome);
        match outcome? {
            Outcome::Absent => deletion::follow(copy, reference, wished.operation).await,
            outcome => {
                copy.log.line(format!("finished: {}", outcome.text()));
                Ok((outcome == Outcome::Superseded).then(|| outcome.text().to_owned()))
            }
        }
    }

    fn count(&self, outcome: &Result<Outcome, Failure>) {
        let outcome = match outcome {
            Ok(Outcome::Copied) => ArtifactOutcome::Copied,
            Ok(Outcome::Equal) => ArtifactOutcome::Equal,
            Ok(Outcome::Kept) => ArtifactOutcome::Kept,
            Ok(Outcome::Filtered) => ArtifactOutcome::Filtered,
            Ok(Outcome::Superseded) => ArtifactOutcome::Superseded,
            Ok(Outcome::Absent) => ArtifactOutcome::Gone,
            Err(_) => ArtifactOutcome::Failed,
        };
        let artifacts = &self.shared.metrics.artifacts;
        artifacts.get_or_create(&ArtifactLabels { outcome }).inc();
    }

    async fn prepare<'a>(
        &'a self,
        job: &'a Running,
        policy: &'a Policy,
        repository: RepositoryName,
    ) -> Result<Copy<'a>, Failure> {
        let spec = &policy.spec;
        let mapped = spec
            .namespace
            .map(&repository)
            .map_err(|error| Failure::permanent(error.to_string()))?;
        let source = End::open(&self.shared, Side::Source, spec.source, repository).await?;
        let destination = if spec.destination.is_local() {
            End::of_ours(&*self.registry, mapped)
        } else {
            End::open(&self.shared, Side::Destination, spec.destination, mapped).await?
        };
        Ok(Copy::new(&self.shared, policy, source, destination, job))
    }
}

impl Handler for Transfers {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn run<'a>(&'a self, job: &'a Running) -> BoxFuture<'a, Result<(), Failure>> {
        self.transfer(job).boxed()
    }
}

/// Of jobs from before the operation was among the parameters.
const fn copy_by_default() -> Operation {
    Operation::Copy
}

/// The policy a job works for, as it is now.
pub(in crate::replication) async fn policy_of(
    shared: &Shared,
    id: PolicyId,
) -> Result<Policy, Failure> {
    let policy = shared
        .policy(id)
        .await
        .map_err(|error| from_inner(&error))?;
    let policy = policy.ok_or_else(|| Failure::permanent(format!("policy {id} is gone")))?;
    if policy.spec.enabled {
        Ok(policy)
    } else {
        let name = &policy.spec.name;
        Err(Failure::permanent(format!(
            "the policy `{name}` is disabled"
        )))
    }
}
