//! What registries are known to hold: which blobs a repository has, what its tags point to.
//!
//! Written when we put or saw it, so that what a registry has is not asked for again, let alone
//! sent. It is believed, and verified lazily: a registry that misses a blob which it is believed
//! to have says so when the manifest comes, and then all that is believed of the repository is
//! forgotten. Nobody tells us when a tag is moved at the registry by somebody else: a policy that
//! is run by hand or by schedule [doubts](Places::doubt) its tags and looks.
//!
//! Nothing is kept of the registry behind this gateway, which everybody may change.

pub(crate) mod queries;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, time::Duration};

use crate::{
    clock::{SharedClock, Timestamp},
    oci::{Digest, Reference, RepositoryName},
    replication::RegistryId,
    store::{Db, Error, Tx},
};

/// The map of what is where. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::replication) struct Places {
    db: Db,
    clock: SharedClock,
}

/// A repository of a registry.
#[derive(Debug, Clone, Copy)]
pub(in crate::replication) struct Place<'a> {
    pub registry: RegistryId,
    pub repository: &'a RepositoryName,
}

/// What is known of a reference without asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::replication) enum Belief {
    /// We have never heard of it.
    Unknown,
    /// Only the registry can tell.
    Doubted { revision: i64 },
    /// It is this digest.
    Held { digest: Digest, revision: i64 },
}

/// The right to say what a reference has become, if nobody else has touched it since.
#[derive(Debug, Clone, Copy)]
pub(in crate::replication) struct Claim(Option<i64>);

impl Places {
    pub(in crate::replication) fn new(db: Db, clock: SharedClock) -> Self {
        Self { db, clock }
    }

    /// Those of the blobs that the place is known to have.
    pub(in crate::replication) async fn known(
        &self,
        place: Place<'_>,
        digests: &[&Digest],
    ) -> Result<HashSet<Digest>, Error> {
        let found = queries::known(&self.db, place, digests).await?;
        Ok(found.iter().filter_map(|text| text.parse().ok()).collect())
    }

    /// Another repository of the registry that is known to have the blob.
    pub(in crate::replication) async fn elsewhere(
        &self,
        place: Place<'_>,
        digest: &Digest,
    ) -> Result<Option<RepositoryName>, Error> {
        let found = queries::elsewhere(&self.db, place, digest).await?;
        Ok(found.and_then(|name| name.parse().ok()))
    }

    /// Remembers that the place has the blobs. What is not written costs requests, no more.
    pub(in crate::replication) async fn saw_blobs(&self, place: Place<'_>, digests: &[&Digest]) {
        if digests.is_empty() || place.registry.is_local() {
            return;
        }
        let written = queries::seen(&self.db, place, digests, self.clock.now()).await;
        if let Err(error) = written {
            tracing::debug!(%error, "the places of blobs were not written down");
        }
    }

    /// The place does not have the blob after all.
    pub(in crate::replication) async fn forget_blob(
        &self,
        place: Place<'_>,
        digest: &Digest,
    ) -> Result<(), Error> {
        queries::forget_blob(&self.db, place, digest).await
    }

    /// The place lacks something that it was believed to have: nothing of it is believed.
    pub(in crate::replication) async fn forget(&self, place: Place<'_>) -> Result<(), Error> {
        queries::forget_repository(&self.db, place).await
    }

    /// Forgets blobs that nobody has sent or seen for [`KEPT`]: the next copy that needs one asks.
    pub(in crate::replication) async fn sweep(&self, now: Timestamp) -> Result<(), Error> {
        queries::sweep(&self.db, now.minus(KEPT)).await
    }

    /// What is believed of a tag or digest.
    pub(in crate::replication) async fn reference(
        &self,
        place: Place<'_>,
        reference: &Reference,
    ) -> Result<Belief, Error> {
        if place.registry.is_local() {
            return Ok(Belief::Doubted { revision: 0 });
        }
        let row = queries::reference(&self.db, place, reference).await?;
        Ok(row.map_or(Belief::Unknown, Belief::from))
    }

    /// To be called before a reference is changed at the registry: whatever happens then, a
    /// crash included, nobody believes what was.
    pub(in crate::replication) async fn claim(
        &self,
        place: Place<'_>,
        reference: &Reference,
    ) -> Result<Claim, Error> {
        if place.registry.is_local() {
            return Ok(Claim(None));
        }
        let mut tx = self.db.begin().await?;
        let now = self.clock.now();
        let revision = queries::doubt(&mut tx, place, reference.as_str(), now).await?;
        tx.commit().await?;
        Ok(Claim(revision))
    }

    /// The registry has taken the change, or was seen to hold this. Believed unless somebody else
    /// has claimed the reference since; then it stays in doubt.
    pub(in crate::replication) async fn settle(
        &self,
        place: Place<'_>,
        reference: &Reference,
        (claim, digest): (Claim, &Digest),
    ) {
        let Some(revision) = claim.0.filter(|_| !place.registry.is_local()) else {
            return;
        };
        let settled = queries::settle(&self.db, place, reference, (revision, digest)).await;
        if let Err(error) = settled {
            tracing::debug!(%error, "what a reference has become was not written down");
        }
    }

    /// Makes the next copy ask the registry what the reference is.
    pub(in crate::replication) async fn doubt(
        &self,
        tx: &mut Tx,
        place: Place<'_>,
        reference: &str,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        queries::doubt(tx, place, reference, now).await.map(drop)
    }

    /// The reference is deleted, and if it is a digest, so are the tags that point to it. To be
    /// called before and after.
    pub(in crate::replication) async fn forget_reference(
        &self,
        place: Place<'_>,
        reference: &Reference,
    ) -> Result<(), Error> {
        queries::forget_reference(&self.db, place, reference).await
    }
}

impl Belief {
    /// The right to settle what the registry then shows.
    pub(in crate::replication) fn claim(&self) -> Claim {
        match self {
            Self::Unknown => Claim(None),
            Self::Doubted { revision } | Self::Held { revision, .. } => Claim(Some(*revision)),
        }
    }
}

/// Long enough that a base image in use costs a request now and then, no more.
const KEPT: Duration = Duration::from_hours(24 * 90);
