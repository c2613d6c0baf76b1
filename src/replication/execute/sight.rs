use futures_util::{StreamExt, TryStreamExt, stream};

use super::survey::Survey;
use crate::{
    jobs::Failure,
    oci::{Digest, Reference, RepositoryName, Tag},
    registry::Client,
    replication::transfer::Side,
};

/// How a tag stands on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// The source has it no more.
    Gone,
    /// The destination has none.
    Missing,
    /// It is the same on both sides.
    Equal,
    /// It points elsewhere at the destination.
    Different,
}

impl Survey<'_> {
    /// Asks both sides for the tags of the source's `repository`, which is `there` at the
    /// destination; two requests each.
    pub(super) async fn sights(
        &self,
        (repository, there): (&RepositoryName, &RepositoryName),
        tags: &[Tag],
    ) -> Result<Vec<(Tag, Sight)>, Failure> {
        let looks: Vec<_> = tags
            .iter()
            .map(|tag| self.sight((repository, there), tag.clone()))
            .collect();
        stream::iter(looks)
            .buffered(LOOKS_AT_ONCE)
            .try_collect()
            .await
    }

    async fn sight(
        &self,
        (repository, there): (&RepositoryName, &RepositoryName),
        tag: Tag,
    ) -> Result<(Tag, Sight), Failure> {
        let here = digest(&self.source, Side::Source, repository, &tag);
        let held = digest(&self.destination, Side::Destination, there, &tag);
        let sight = match tokio::try_join!(here, held)? {
            (None, _) => Sight::Gone,
            (Some(_), None) => Sight::Missing,
            (Some(here), Some(held)) if here == held => Sight::Equal,
            (Some(_), Some(_)) => Sight::Different,
        };
        Ok((tag, sight))
    }
}

async fn digest(
    client: &Client,
    side: Side,
    repository: &RepositoryName,
    tag: &Tag,
) -> Result<Option<Digest>, Failure> {
    let reference = Reference::Tag(tag.clone());
    let head = client.head_manifest(repository, &reference).await;
    Ok(head
        .map_err(|error| side.failure(&error))?
        .map(|head| head.digest))
}

const LOOKS_AT_ONCE: usize = 16;
