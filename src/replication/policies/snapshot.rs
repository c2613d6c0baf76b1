use std::{
    collections::HashMap,
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
    replication::{
        Change, Error, Origin, RegistryId,
        policy::Policy,
        registries,
        tee::Target,
        transfer::{Limited, Speeds},
    },
    store::Db,
};

/// The policies in memory, so that a push asks no database whether anybody cares.
///
/// Changes made by this process are seen at once, those of other instances within
/// [`POLL_INTERVAL`].
#[derive(Debug)]
pub(in crate::replication) struct Snapshot {
    /// The name of this installation.
    own: String,
    known: ArcSwap<Known>,
    speeds: Speeds,
    revision: AtomicI64,
}

#[derive(Debug, Default)]
struct Known {
    policies: Vec<Arc<Policy>>,
    /// Of the registries that are gateways themselves.
    installations: HashMap<RegistryId, String>,
}

impl Snapshot {
    /// Keeps `speeds` as the policies and registries say.
    pub(in crate::replication) fn new(own: String, speeds: Speeds) -> Self {
        Self {
            own,
            known: ArcSwap::default(),
            speeds,
            revision: AtomicI64::default(),
        }
    }

    /// The name of this installation.
    pub(in crate::replication) fn own(&self) -> &str {
        &self.own
    }

    /// The policies that `change` concerns, each with the references it looks at. A mirrored
    /// change goes back to none of the gateways that it has passed.
    pub(in crate::replication) fn affected(
        &self,
        change: &Change,
    ) -> Vec<(Arc<Policy>, Vec<Reference>)> {
        let known = self.known.load();
        let concerned = self.ahead(&known, &change.origin).filter_map(|policy| {
            let references = policy.spec.affected(change);
            (!references.is_empty()).then(|| (Arc::clone(policy), references))
        });
        concerned.collect()
    }

    /// Where the blobs of a push to `repository` go while it goes on, each once. Where the speed
    /// is limited all copying is left to the jobs.
    pub(in crate::replication) fn teed(
        &self,
        repository: &RepositoryName,
        origin: &Origin,
    ) -> Vec<Target> {
        let known = self.known.load();
        let mut targets = Vec::new();
        for policy in self.ahead(&known, origin) {
            let limited = Limited::Registry(policy.spec.destination);
            if !policy.spec.tees(repository) || self.speeds.of(limited).is_some() {
                continue;
            }
            // What has no name there fails in the job, which says so.
            let Ok(mapped) = policy.spec.namespace.map(repository) else {
                continue;
            };
            let target = Target {
                registry: policy.spec.destination,
                repository: mapped,
            };
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        targets
    }

    /// The policies whose destinations a change that comes from `origin` has not passed.
    fn ahead<'k>(
        &self,
        known: &'k Known,
        origin: &'k Origin,
    ) -> impl Iterator<Item = &'k Arc<Policy>> + use<'k> {
        let ends_here = origin.has_passed(&self.own) || origin.is_spent();
        let has_passed = |policy: &Policy| {
            let there = known.installations.get(&policy.spec.destination);
            there.is_some_and(|there| origin.has_passed(there))
        };
        let policies = known.policies.iter();
        policies.filter(move |policy| !ends_here && !has_passed(policy))
    }

    /// The name of the gateway that the registry is, as far as is known.
    pub(in crate::replication) fn installation(&self, registry: RegistryId) -> Option<String> {
        self.known.load().installations.get(&registry).cloned()
    }

    /// Whether the registry is a gateway itself, as far as is known.
    pub(in crate::replication) fn is_gateway(&self, registry: RegistryId) -> bool {
        self.known.load().installations.contains_key(&registry)
    }

    /// Whether any policy hears events of the repository.
    pub(in crate::replication) fn wants(&self, repository: &RepositoryName) -> bool {
        let hears = |policy: &Arc<Policy>| {
            policy.spec.hears_events() && policy.spec.accepts_repository(repository)
        };
        self.known.load().policies.iter().any(hears)
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
        let mut speeds = HashMap::new();
        for policy in &policies {
            speeds.insert(Limited::Policy(policy.id), policy.spec.speed_kbps);
        }
        let mut installations = HashMap::new();
        for row in registries::queries::traits(db).await? {
            let (id, speed) = (RegistryId(row.id), row.speed_kbps);
            let speed = speed.and_then(|speed| u32::try_from(speed).ok());
            speeds.insert(Limited::Registry(id), speed);
            row.installation
                .and_then(|name| installations.insert(id, name));
        }
        self.speeds.set(speeds);
        self.known.store(Arc::new(Known {
            policies,
            installations,
        }));
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
