//! Which policies follow a deletion, by the labels of what goes. Afterwards nobody knows them; those
//! of what stays are looked at when it is copied.

use std::sync::Arc;

use crate::{
    inventory,
    oci::{Digest, Reference},
    replication::{Change, ChangeKind, Error, Policy, Shared},
};

type Affected = Vec<(Arc<Policy>, Vec<Reference>)>;

/// Those of the affected policies whose label filters accept what is deleted.
pub(super) async fn wanted(
    shared: &Shared,
    change: &Change,
    mut affected: Affected,
) -> Result<Affected, Error> {
    if affected
        .iter()
        .all(|(policy, _)| !policy.spec.asks_for_labels())
    {
        return Ok(affected);
    }
    let borne = match digest(shared, change).await? {
        Some(digest) => {
            let names = shared.inventory.label_names(&change.repository, &digest);
            names.await?
        }
        None => Vec::new(),
    };
    affected.retain(|(policy, _)| policy.spec.accepts_labels(&borne));
    Ok(affected)
}

async fn digest(shared: &Shared, change: &Change) -> Result<Option<Digest>, Error> {
    let tag = match &change.kind {
        ChangeKind::DeleteDigest { digest, .. }
        | ChangeKind::DeleteTag {
            digest: Some(digest),
            ..
        } => {
            return Ok(Some(digest.clone()));
        }
        ChangeKind::DeleteTag { tag, digest: None } => tag,
        ChangeKind::Push { .. } | ChangeKind::Label { .. } => return Ok(None),
    };
    let reference = Reference::Tag(tag.clone());
    match shared
        .inventory
        .artifact(&change.repository, &reference)
        .await
    {
        Ok(artifact) => Ok(artifact.digest.parse().ok()),
        Err(error) if error.kind() == inventory::Kind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
