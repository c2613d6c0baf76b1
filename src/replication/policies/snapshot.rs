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
    /// Those that hear events, by the first component of the repositories that they accept: a
    /// push is compared with what may concern it, not with all.
    bound: HashMap<Box<str>, Vec<Arc<Policy>>>,
    /// Those that hear events and accept repositories with any.
    unbound: Vec<Arc<Policy>>,
    /// Of the registries that are gateways themselves.
    installations: HashMap<RegistryId, String>,
}

impl Known {
    fn add(&mut self, policy: Policy) {
        if !policy.spec.hears_events() {
            return;
        }
        let list = match policy.spec.only_component() {
            Some(component) => self.bound.entry(component.into()).or_default(),
            None => &mut self.unbound,
        };
        list.push(Arc::new(policy));
    }

    /// The policies that hear events and may accept the repository.
    fn hearing(&self, repository: &RepositoryName) -> impl Iterator<Item = &Arc<Policy>> + use<'_> {
        let bound = self.bound.get(repository.first_component());
        self.unbound.iter().chain(bound.into_iter().flatten())
    }
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
        let ahead = self.ahead(&known, &change.repository, &change.origin);
        let concerned = ahead.filter_map(|policy| {
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
        for policy in self.ahead(&known, repository, origin) {
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

    /// The policies that may accept `repository` and whose destinations a change that comes from
    /// `origin` has not passed.
    fn ahead<'k>(
        &self,
        known: &'k Known,
        repository: &RepositoryName,
        origin: &'k Origin,
    ) -> impl Iterator<Item = &'k Arc<Policy>> + use<'k> {
        let ends_here = origin.has_passed(&self.own) || origin.is_spent();
        let has_passed = |policy: &Policy| {
            let there = known.installations.get(&policy.spec.destination);
            there.is_some_and(|there| origin.has_passed(there))
        };
        let policies = known.hearing(repository);
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
        let accepts = |policy: &Arc<Policy>| policy.spec.accepts_repository(repository);
        self.known.load().hearing(repository).any(accepts)
    }

    /// Reads the policies anew. A row that cannot be read is reported and left out: it must
    /// not keep the others from working.
    pub(in crate::replication) async fn refresh(&self, db: &Db) -> Result<(), Error> {
        let revision = queries::revision(db).await?;
        let rows = queries::all(db).await?;
        let mut known = Known::default();
        let mut speeds = HashMap::new();
        for row in rows {
            match Policy::try_from(row) {
                Ok(policy) => {
                    speeds.insert(Limited::Policy(policy.id), policy.spec.speed_kbps);
                    known.add(policy);
                }
                Err(error) => tracing::error!(%error, "a replication policy is unreadable"),
            }
        }
        for row in registries::queries::traits(db).await? {
            let (id, speed) = (RegistryId(row.id), row.speed_kbps);
            let speed = speed.and_then(|speed| u32::try_from(speed).ok());
            speeds.insert(Limited::Registry(id), speed);
            row.installation
                .and_then(|name| known.installations.insert(id, name));
        }
        self.speeds.set(speeds);
        self.known.store(Arc::new(known));
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
