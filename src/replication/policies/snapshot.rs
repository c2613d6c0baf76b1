use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::queries;
use crate::{
    oci::{Reference, RepositoryName},
    replication::{Change, Error, policy::Policy},
    store::Db,
};

/// The policies in memory, so that a push asks no database whether anybody cares.
///
/// Changes made by this process are seen at once, those of other instances within
/// [`POLL_INTERVAL`].
#[derive(Debug, Default)]
pub(in crate::replication) struct Snapshot {
    policies: ArcSwap<Vec<Arc<Policy>>>,
    revision: AtomicI64,
}

impl Snapshot {
    /// The policies that `change` concerns, each with the references it looks at.
    pub(in crate::replication) fn affected(
        &self,
        change: &Change,
    ) -> Vec<(Arc<Policy>, Vec<Reference>)> {
        let policies = self.policies.load();
        let concerned = policies.iter().filter_map(|policy| {
            let references = policy.spec.affected(change);
            (!references.is_empty()).then(|| (Arc::clone(policy), references))
        });
        concerned.collect()
    }

    /// Whether any policy hears events of the repository.
    pub(in crate::replication) fn wants(&self, repository: &RepositoryName) -> bool {
        let hears = |policy: &Arc<Policy>| {
            policy.spec.hears_events() && policy.spec.accepts_repository(repository)
        };
        self.policies.load().iter().any(hears)
    }

    /// Reads the policies anew. A row that cannot be read is reported and left out: it must
    /// not keep the others from working.
    pub(in crate::replication) async fn refresh(&self, db: &Db) -> Result<(), Error> {
        let revision = queries::revision(db).await?;
        let rows = queries::all(db).await?;
        let mut policies = Vec::with_capacity(rows.len());
        for row in rows {
            match Policy::try_from(row) {
                Ok(policy) => policies.push(Arc::new(policy)),
                Err(error) => tracing::error!(%error, "a replication policy is unreadable"),
            }
        }
        self.policies.store(Arc::new(policies));
        self.revision.store(revision, Ordering::Release);
        Ok(())
    }

    /// Follows the changes of other instances until told to stop.
    pub(in crate::replication) async fn follow(&self, db: &Db, stop: &CancellationToken) {
        let mut away = false;
        while stop
            .run_until_cancelled(tokio::time::sleep(POLL_INTERVAL))
            .await
            .is_some()
        {
            let followed = self.refresh_if_changed(db).await;
            if let Err(error) = &followed
                && !away
            {
                tracing::warn!(%error, "replication policies cannot be read; the last known stay");
            }
            away = followed.is_err();
        }
    }

    async fn refresh_if_changed(&self, db: &Db) -> Result<(), Error> {
        if queries::revision(db).await? == self.revision.load(Ordering::Acquire) {
            return Ok(());
        }
        self.refresh(db).await
    }
}

/// DESIGN.md section 3: what an administrator changes takes effect within a second.
const POLL_INTERVAL: Duration = Duration::from_millis(900);
