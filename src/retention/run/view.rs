use crate::{
    auth::immutable::Immutable,
    inventory::{Artifact, Inventory, Repository, Scope, Tag},
    jobs::Failure,
    retention::evaluate::{Candidate, TagSeen, View},
    store::Listing,
};

/// Reads a repository into memory.
pub(super) async fn read(
    inventory: &Inventory,
    repository: &Repository,
    (short, immutable): (&str, Immutable),
) -> Result<View, Failure> {
    let mut view = View {
        repository: short.to_owned(),
        immutable,
        ..View::default()
    };
    let mut behind = None;
    loop {
        let listing = Listing {
            behind,
            limit: Some(ARTIFACTS_AT_ONCE),
            ..Listing::default()
        };
        let page = inventory.artifacts(Scope::Repository(repository.id), &listing);
        let page = page.await?.items;
        let Some(last) = page.last() else {
            break;
        };
        behind = Some(last.id.0);
        let mut tags = inventory.tags_of(&page).await?;
        view.artifacts.extend(page.into_iter().map(|artifact| {
            let tags = tags.remove(&artifact.id).unwrap_or_default();
            candidate(artifact, tags)
        }));
    }
    let parts = inventory.parts_in(repository.id).await;
    view.parts = parts?;
    Ok(view)
}

pub(super) fn candidate(artifact: Artifact, tags: Vec<Tag>) -> Candidate {
    Candidate {
        digest: artifact.digest,
        kind: artifact.kind,
        pushed_ms: artifact
            .pushed_ms
            .max(artifact.pushed_again_ms.unwrap_or(0)),
        // A pull of a tag is one of the artifact too.
        pulled_ms: artifact
            .pulled_ms
            .max(tags.iter().filter_map(|tag| tag.pulled_ms).max()),
        tags: tags
            .into_iter()
            .map(|tag| TagSeen {
                name: tag.name,
                pushed_ms: tag.pushed_ms,
            })
            .collect(),
    }
}

const ARTIFACTS_AT_ONCE: i64 = 1000;
