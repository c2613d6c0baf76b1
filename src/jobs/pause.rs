//! The queue of each kind as people see it, and pausing it.
//!
//! A pause is durable and holds for every instance: the dispatcher leaves paused kinds out when
//! it claims. What runs already runs on.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{Error, Jobs, ledger::queries, queue::Inner};

/// The jobs of one kind that are due and that no worker has.
#[derive(Debug, Clone)]
pub struct Queue {
    pub kind: String,
    pub waiting: i64,
    /// How long the oldest of them has waited.
    pub latency: Duration,
    pub paused: bool,
}

impl Jobs {
    /// The queues of the kinds that this process runs, and of those with jobs or a pause.
    pub async fn queues(&self) -> Result<Vec<Queue>, Error> {
        let now = self.inner.clock.now();
        let waiting = queries::waiting(&self.inner.db, now).await?;
        let paused: BTreeSet<String> = queries::paused(&self.inner.db).await?.into_iter().collect();
        let mut kinds: BTreeSet<&str> = self.kinds().chain([SCHEDULER]).collect();
        kinds.extend(waiting.iter().map(|row| row.kind.as_str()));
        kinds.extend(paused.iter().map(String::as_str));
        let queues = kinds.into_iter().map(|kind| {
            let row = waiting.iter().find(|row| row.kind == kind);
            let waited = row.map_or(0, |row| now.millis().saturating_sub(row.oldest_ms));
            Queue {
                kind: kind.to_owned(),
                waiting: row.map_or(0, |row| row.jobs),
                latency: Duration::from_millis(u64::try_from(waited).unwrap_or(0)),
                paused: paused.contains(kind),
            }
        });
        Ok(queues.collect())
    }

    /// Keeps the jobs of a kind waiting, in every instance within
    /// [`Config::poll_ms`](super::Config::poll_ms); [`SCHEDULER`] keeps schedules from firing.
    pub async fn pause(&self, kind: &str) -> Result<(), Error> {
        queries::pause(&self.inner.db, kind, self.inner.clock.now()).await?;
        self.inner.read_pauses().await
    }

    /// Whether a kind is paused, as the database knows it.
    pub async fn is_paused(&self, kind: &str) -> Result<bool, Error> {
        let paused = queries::paused(&self.inner.db).await?;
        Ok(paused.iter().any(|paused| paused == kind))
    }

    /// Ends a pause; none is fine.
    pub async fn resume(&self, kind: &str) -> Result<(), Error> {
        queries::resume(&self.inner.db, kind).await?;
        self.inner.read_pauses().await?;
        self.wake();
        Ok(())
    }
}

impl Inner {
    /// Learns what is paused.
    pub(super) async fn read_pauses(&self) -> Result<(), Error> {
        let reading = self.pauses.lock().begin();
        let kinds = queries::paused(&self.db).await?;
        self.pauses.lock().end(reading, kinds);
        Ok(())
    }

    pub(super) fn is_paused(&self, kind: &str) -> bool {
        let pauses = self.pauses.lock();
        pauses.kinds.iter().any(|paused| paused == kind)
    }
}

/// The paused kinds, as this process last read them.
#[derive(Debug, Default)]
pub(super) struct Pauses(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    kinds: Vec<String>,
    /// Readings begun, and which of them `kinds` is from.
    begun: u64,
    from: u64,
}

impl Pauses {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn begin(&mut self) -> u64 {
        self.begun += 1;
        self.begun
    }

    /// Keeps what was read, unless a reading that began later has ended already.
    fn end(&mut self, reading: u64, kinds: Vec<String>) {
        if reading > self.from {
            self.from = reading;
            self.kinds = kinds;
        }
    }
}

/// Harbor's name for what fires schedules; paused like a kind.
pub const SCHEDULER: &str = "SCHEDULER";
