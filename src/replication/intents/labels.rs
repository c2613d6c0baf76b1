//! Which policies follow a deletion, by the labels of what goes. Afterwards nobody knows them; those
//! of what stays are looked at when it is copied.

use std::sync::Arc;

use crate::{
    inventory,
    oci::Reference,
    replication::{Change, ChangeKind, Error, Policy, Shared, config::Mode},
};

type Affected = Vec<(Arc<Policy>, Vec<Reference>)>;

/// Those of the affected policies whose label filters accept what is deleted. One that asks for
/// labels does not follow where they are not known; while the index does not answer, mode
/// `required` answers its error.
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
    let borne = match (borne(shared, change).await, shared.config.mode) {
        (Ok(borne), _) => borne,
        (Err(error), Mode::Required) => return Err(error),
        (Err(error), Mode::BestEffort) => {
            tracing::warn!(
                %error,
                repository.name = %change.repository,
                "the labels of what is deleted are not known; policies that ask for them do not \
                 follow"
            );
            None
        }
    };
    affected.retain(|(policy, _)| {
        let spec = &policy.spec;
        !spec.asks_for_labels()
            || borne
                .as_ref()
                .is_some_and(|borne| spec.accepts_labels(borne))
    });
    Ok(affected)
}

/// The names of the labels of what is deleted; `None` where the index does not know it.
async fn borne(shared: &Shared, change: &Change) -> Result<Option<Vec<String>>, Error> {
    let reference = match &change.kind {
        ChangeKind::DeleteDigest { digest, .. }
        | ChangeKind::DeleteTag {
            digest: Some(digest),
            ..
        } => Reference::Digest(digest.clone()),
        ChangeKind::DeleteTag { tag, digest: None } => Reference::Tag(tag.clone()),
        ChangeKind::Push { .. } | ChangeKind::Label { .. } => return Ok(None),
    };
    let (inventory, repository) = (&shared.inventory, &change.repository);
    let artifact = match inventory.artifact(repository, &reference).await {
        Ok(artifact) => artifact,
        Err(error) if error.kind() == inventory::Kind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Ok(digest) = artifact.digest.parse() else {
        return Ok(None);
    };
    Ok(Some(inventory.label_names(repository, &digest).await?))
}
