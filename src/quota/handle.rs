use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::json;
use tokio::time::timeout;

use super::{
    Config, Error, Exceeded, Metrics, Reservation,
    error::Bytes,
    ledger::{Counted, Filled, Ledger, Reading, WARNING_PERCENT, Wanted},
};
use crate::{
    auth::{Auth, ProjectId, projects::Limit},
    clock::SharedClock,
    inventory::{self, Inventory},
    oci::{Digest, RepositoryName},
    settings,
    store::Db,
    webhook::{self, Event, EventType, Webhooks},
};

/// What quotas stand on.
#[derive(Debug)]
pub struct Parts {
    pub config: Config,
    pub settings: settings::Reader,
    pub db: Db,
    pub clock: SharedClock,
    pub auth: Auth,
    pub inventory: Inventory,
    pub webhooks: Webhooks,
}

/// The storage limits. Cheap to clone.
///
/// Whether something fits is decided from the project's use in the database, read at most
/// [`FRESH`] ago, and never refused without having read it for this. What this gateway has let
/// pass since counts beside it, compared and added under one lock; what other gateways have let
/// pass counts once it is part of an artifact.
#[derive(Debug, Clone)]
pub struct Quota(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub parts: Parts,
    pub metrics: Metrics,
    ledger: Mutex<Ledger>,
    /// Readings of one project follow each other, so that the last one is the newest.
    turns: [tokio::sync::Mutex<()>; 16],
}

/// Who pushes, and where to.
#[derive(Debug, Clone)]
pub struct Pusher {
    pub repository: RepositoryName,
    /// Empty when anonymous.
    pub operator: String,
    pub request_id: String,
    /// Of a manifest.
    pub artifact: Option<webhook::Resource>,
}

impl Quota {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            parts,
            metrics: Metrics::default(),
            ledger: Mutex::default(),
            turns: std::array::from_fn(|_| tokio::sync::Mutex::default()),
        }))
    }

    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Whether the repository's project has a limit now; answered from memory, mostly.
    pub async fn is_limited(&self, repository: &RepositoryName) -> Result<bool, Error> {
        Ok(self.limit(repository).await?.is_some())
    }

    /// Reserves for an upload: `bytes` that are known to come, of the blob `digest` if that is
    /// known. `None`: the project has no limit.
    pub async fn upload(
        &self,
        pusher: Pusher,
        digest: Option<&Digest>,
        bytes: u64,
    ) -> Result<Option<Reservation>, Error> {
        let wanted = Wanted::Upload {
            digest: digest.cloned(),
            bytes,
        };
        self.reserve(pusher, wanted, bytes).await
    }

    /// Reserves for a blob that the registry has elsewhere, with the size that it says.
    pub async fn mount(
        &self,
        pusher: Pusher,
        digest: &Digest,
        bytes: u64,
    ) -> Result<Option<Reservation>, Error> {
        let wanted = Wanted::Known(vec![(digest.clone(), bytes)]);
        self.reserve(pusher, wanted, bytes).await
    }

    /// Reserves for a manifest and all that it holds, with the size of each.
    pub async fn manifest(
        &self,
        pusher: Pusher,
        blobs: Vec<(Digest, u64)>,
    ) -> Result<Option<Reservation>, Error> {
        self.reserve(pusher, Wanted::Known(blobs), 0).await
    }

    async fn reserve(
        &self,
        pusher: Pusher,
        wanted: Wanted,
        bytes: u64,
    ) -> Result<Option<Reservation>, Error> {
        let Some(limit) = self.limit(&pusher.repository).await? else {
            return Ok(None);
        };
        let id = self.ledger(Ledger::number);
        let reservation = Reservation::new(self.clone(), pusher, (limit.project, id), bytes);
        self.take(&reservation, limit, &wanted).await?;
        Ok(Some(reservation))
    }

    pub(super) async fn limit(&self, repository: &RepositoryName) -> Result<Option<Limit>, Error> {
        let parts = &self.0.parts;
        if !parts.settings.values().quota_per_project_enable {
            return Ok(None);
        }
        Ok(parts.auth.storage_limit(repository).await?)
    }

    /// Puts `wanted` in the place of what the reservation stands for.
    pub(super) async fn take(
        &self,
        reservation: &Reservation,
        limit: Limit,
        wanted: &Wanted,
    ) -> Result<(), Error> {
        reservation.set_limit(limit.bytes);
        let mut counted = None;
        if !self.is_fresh(limit.project) {
            let turn = self.turn(limit.project).await;
            // Of many who wait here one reads for all.
            if !self.is_fresh(limit.project) {
                counted = Some(self.read(limit.project, wanted, turn).await?);
            }
        }
        self.make_room(limit.project)?;
        let counted = match counted {
            Some(counted) => counted,
            None if self.try_take(reservation, limit.bytes, wanted) => return Ok(()),
            None => {
                let turn = self.turn(limit.project).await;
                self.read(limit.project, wanted, turn).await?
            }
        };
        let key = reservation.key();
        let taken = self.ledger(|ledger| ledger.take(key, wanted, &counted, limit.bytes));
        let filled = taken.inspect_err(|exceeded| self.refused(reservation, exceeded))?;
        self.warn(reservation, limit.bytes, filled);
        Ok(())
    }

    fn is_fresh(&self, project: ProjectId) -> bool {
        let now = self.0.parts.clock.elapsed();
        let known = self.ledger(|ledger| ledger.reading(project));
        known.is_some_and(|known| now.saturating_sub(known.at) < FRESH)
    }

    async fn turn(&self, project: ProjectId) -> Turn<'_> {
        let turns = &self.0.turns;
        let index = usize::try_from(project.0.unsigned_abs() % turns.len() as u64);
        turns[index.unwrap_or_default()].lock().await
    }

    /// From what was read last; false where the database must be asked first.
    pub(super) fn try_take(&self, reservation: &Reservation, limit: u64, wanted: &Wanted) -> bool {
        let key = reservation.key();
        let taken = self.ledger(|ledger| ledger.try_take(key, wanted, limit));
        if let Some(filled) = taken {
            self.warn(reservation, limit, filled);
        }
        taken.is_some()
    }

    /// Tells the project's webhooks that it has become nearly full, if it has.
    fn warn(&self, reservation: &Reservation, limit: u64, Filled { bytes, is_news }: Filled) {
        if is_news {
            let details = format!(
                "quota usage reach {WARNING_PERCENT}%: resource storage used {} of {}",
                Bytes(bytes),
                Bytes(limit)
            );
            self.fire(EventType::QuotaWarning, reservation.pusher(), &details);
        }
    }

    /// Reads what the project uses, and which of the wanted blobs it has. While the database is
    /// away, what it said last stands.
    async fn read(
        &self,
        project: ProjectId,
        wanted: &Wanted,
        _turn: Turn<'_>,
    ) -> Result<Counted, Error> {
        self.0.metrics.readings.inc();
        let at = self.0.parts.clock.elapsed();
        let stored = self.ledger(|ledger| ledger.stored(project));
        let digests: Vec<&Digest> = stored.iter().chain(wanted.digests()).collect();
        let reading = self.0.parts.inventory.usage(project, &digests);
        let usage = match timeout(PATIENCE, reading).await {
            Ok(Ok(usage)) => usage,
            Ok(Err(error)) if error.kind() != inventory::Kind::Unavailable => {
                return Err(error.into());
            }
            _away => {
                let now = self.0.parts.clock.elapsed();
                let is_known = self.ledger(|ledger| ledger.stands(project, now));
                return is_known.then(Counted::new).ok_or(Error::Unknown);
            }
        };
        let used_bytes = usage.used_bytes;
        self.ledger(|ledger| ledger.read(project, Reading { used_bytes, at }, &usage.held));
        Ok(usage.held)
    }

    /// Refuses when so much is held, by the project or by all, that no more can be remembered.
    fn make_room(&self, project: ProjectId) -> Result<(), Error> {
        let (max_held, now) = (self.0.parts.config.max_held, self.0.parts.clock.elapsed());
        let share = (max_held / SHARES).max(1);
        let has_room = self.ledger(|ledger| {
            if ledger.entries() >= max_held {
                ledger.sweep(now);
            } else if ledger.entries_of(project) >= share {
                ledger.sweep_project(project, now);
            }
            ledger.entries() < max_held && ledger.entries_of(project) < share
        });
        if has_room { Ok(()) } else { Err(Error::Full) }
    }

    fn refused(&self, reservation: &Reservation, exceeded: &Exceeded) {
        self.0.metrics.refused.inc();
        let (project, _) = reservation.key();
        let now = self.0.parts.clock.elapsed();
        if self.ledger(|ledger| ledger.is_told(project, now)) {
            let details = exceeded.to_string();
            self.fire(EventType::QuotaExceed, reservation.pusher(), &details);
        }
    }

    fn fire(&self, kind: EventType, pusher: &Pusher, details: &str) {
        let Some(project) = pusher.repository.project() else {
            return;
        };
        let mut event = Event::new(kind, project, &pusher.operator, self.0.parts.clock.now());
        event.request_id.clone_from(&pusher.request_id);
        event.repository = Some(pusher.repository.clone());
        event.resources.extend(pusher.artifact.clone());
        let details = json!({ "Details": details });
        event
            .details
            .insert("custom_attributes".to_owned(), details);
        self.0.parts.webhooks.fire(event);
    }

    pub(super) fn ledger<T>(&self, with: impl FnOnce(&mut Ledger) -> T) -> T {
        let ledger = self.0.ledger.lock();
        let mut ledger = ledger.unwrap_or_else(PoisonError::into_inner);
        let result = with(&mut ledger);
        let held = i64::try_from(ledger.entries()).unwrap_or(i64::MAX);
        self.0.metrics.held.set(held);
        result
    }
}

/// The right to read what a project uses.
type Turn<'a> = tokio::sync::MutexGuard<'a, ()>;

/// How old the project's use may be where something fits.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// One project may take one of so many parts of what can be held, so that the others go on.
const SHARES: usize = 16;

/// How long the database is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
