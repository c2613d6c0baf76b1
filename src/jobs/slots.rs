use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{JobId, Log, lane::Lane, progress::Meter};

/// The jobs that run in this process.
#[derive(Debug, Default)]
pub(super) struct Slots(Mutex<HashMap<JobId, Arc<Slot>>>);

/// One running job, as the engine sees it.
#[derive(Debug)]
pub(super) struct Slot {
    pub id: JobId,
    pub epoch: i64,
    pub lane: Lane,
    pub log: Log,
    pub stop: CancellationToken,
    /// Bytes moved and not yet charged.
    pub moved: AtomicU64,
    pub meter: Meter,
    /// How long to wait for the run that goes on where this one ends.
    pub rest_after: OnceLock<Duration>,
    result: Mutex<Option<serde_json::Value>>,
    reason: OnceLock<Reason>,
}

/// Why a run was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// A person asked for it.
    Requested,
    /// The process shuts down.
    Shutdown,
    /// Another instance may hold the job by now; what this run writes is fenced by its epoch.
    LeaseLost,
}

impl Slots {
    pub(super) fn insert(&self, slot: Arc<Slot>) {
        self.map().insert(slot.id, slot);
    }

    pub(super) fn remove(&self, slot: &Slot) {
        let mut map = self.map();
        if map
            .get(&slot.id)
            .is_some_and(|held| held.epoch == slot.epoch)
        {
            map.remove(&slot.id);
        }
    }

    pub(super) fn find(&self, id: JobId) -> Option<Arc<Slot>> {
        self.map().get(&id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Slot>> {
        self.map().values().cloned().collect()
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(super) fn new(id: JobId, epoch: i64, lane: Lane, log: Log) -> Self {
        Self {
            id,
            epoch,
            lane,
            log,
            stop: CancellationToken::new(),
            moved: AtomicU64::default(),
            meter: Meter::default(),
            rest_after: OnceLock::new(),
            result: Mutex::default(),
            reason: OnceLock::new(),
        }
    }

    pub(super) fn report(&self, result: serde_json::Value) {
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }

    /// What the run has to show, as JSON.
    pub(super) fn result(&self) -> Option<String> {
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        result.as_ref().map(ToString::to_string)
    }

    /// Tells the run to end; the first reason stands.
    pub(super) fn end(&self, reason: Reason) {
        // An error means that a reason stands already.
        let _ = self.reason.set(reason);
        self.stop.cancel();
    }

    pub(super) fn reason(&self) -> Option<Reason> {
        self.reason.get().copied()
    }
}
