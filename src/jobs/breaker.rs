//! One circuit breaker for each target, shared by all instances through the database.
//!
//! A target that does not answer, or asks for patience, is *parked*: its jobs wait where they
//! are, nothing is written for them and no attempt is spent. When its time has come one job is
//! let through as a probe; its success opens the target again.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Error, Failure,
    fairness::Gate,
    lease::Ending,
    queries::{self, ParkedRow},
    queue::Inner,
    settler::Ended,
};
use crate::{clock::Timestamp, store::Tx};

/// The parked targets, as last read from the database.
#[derive(Debug, Default)]
pub(super) struct Targets(Mutex<HashMap<String, Parked>>);

/// A target whose jobs wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parked {
    /// Times in a row that the target did not answer; 0 if it only asked for patience.
    pub failures: u32,
    /// When one job may try it.
    pub until: Timestamp,
    /// One job tries it now.
    pub probing: bool,
    pub reason: String,
}

impl Targets {
    pub(super) fn gate(&self, target: &str, now: Timestamp) -> Gate {
        match self.map().get(target) {
            None => Gate::Open,
            Some(parked) if parked.until <= now => Gate::Probe,
            Some(_) => Gate::Shut,
        }
    }

    fn find(&self, target: &str) -> Option<Parked> {
        self.map().get(target).cloned()
    }

    fn map(&self) -> MutexGuard<'_, HashMap<String, Parked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parked {
    /// The target after a run of one of its jobs failed so; `None` if that says nothing of it.
    ///
    /// It is tried again after ten seconds, then after twice as long each time, up to `longest`.
    fn after(
        before: Option<&Self>,
        failure: &Failure,
        now: Timestamp,
        longest: Duration,
    ) -> Option<Self> {
        let failures = before.map_or(0, |parked| parked.failures);
        match failure {
            Failure::TargetDown { .. } => {
                // Runs that began before it was parked, and fail with it, count once.
                if let Some(parked) = before
                    && !parked.probing
                    && parked.until > now
                {
                    return Some(parked.clone());
                }
                let backoff = FIRST_PROBE.saturating_mul(2_u32.saturating_pow(failures));
                Some(Self {
                    failures: failures.saturating_add(1),
                    until: now.plus(backoff.min(longest)),
                    probing: false,
                    reason: failure.written(),
                })
            }
            Failure::Throttled { retry_after, .. } => {
                let until = now.plus(*retry_after);
                let parked_until = before.filter(|parked| !parked.probing).map(|p| p.until);
                Some(Self {
                    failures: 0,
                    until: parked_until.map_or(until, |parked| parked.max(until)),
                    probing: false,
                    reason: failure.written(),
                })
            }
            Failure::Retryable { .. } | Failure::Permanent { .. } | Failure::Stopped => None,
        }
    }

    fn of(row: ParkedRow) -> (String, Self) {
        let parked = Self {
            failures: u32::try_from(row.failures).unwrap_or(0),
            until: Timestamp::from_millis(row.until_ms),
            probing: row.probing,
            reason: row.reason,
        };
        (row.target, parked)
    }
}

impl Inner {
    /// Reads which targets are parked, as other instances may have parked or opened some.
    /// Returns whether one was opened.
    pub(super) async fn refresh_targets(&self) -> Result<bool, Error> {
        let rows = queries::parked(&self.db).await?;
        let read: HashMap<String, Parked> = rows.into_iter().map(Parked::of).collect();
        let mut map = self.targets.map();
        let was_opened = map.keys().any(|target| !read.contains_key(target));
        *map = read;
        self.metrics.parked_targets.set(count(map.len()));
        Ok(was_opened)
    }

    /// Wins the right to try a parked target with one job, over all instances.
    pub(super) async fn begin_probe(&self, target: &str, now: Timestamp) -> Result<bool, Error> {
        let Some(parked) = self.targets.find(target) else {
            return Ok(true);
        };
        // If nobody hears of the probe by then, the next one tries.
        let until = now.plus(FIRST_PROBE);
        let won = queries::probe(&self.db, target, (parked.until, until)).await?;
        if won {
            let probing = Parked {
                until,
                probing: true,
                ..parked
            };
            self.targets.map().insert(target.to_owned(), probing);
        }
        Ok(won)
    }

    /// Writes what the ends of runs say of their targets, in the transaction that settles them.
    pub(super) async fn write_targets(
        &self,
        tx: &mut Tx,
        ended: &[Ended],
        now: Timestamp,
    ) -> Result<HashMap<String, Option<Parked>>, Error> {
        let longest = Duration::from_secs(self.config.target_down_seconds);
        let mut news: HashMap<String, Option<Parked>> = HashMap::new();
        for run in ended {
            let target = run.slot.lane.target();
            if target.is_empty() {
                continue;
            }
            let before = match news.get(target) {
                Some(known) => known.clone(),
                None => self.targets.find(target),
            };
            match &run.ending {
                Ending::Failed(failure) if failure.parks() => {
                    let parked = Parked::after(before.as_ref(), failure, now, longest);
                    news.insert(target.to_owned(), parked);
                }
                Ending::Succeeded
                | Ending::Partial(_)
                | Ending::Failed(Failure::Permanent { .. })
                    if before.is_some() =>
                {
                    news.insert(target.to_owned(), None);
                }
                _ => {}
            }
        }
        for (target, parked) in &news {
            match parked {
                Some(parked) => queries::park(tx, target, parked).await?,
                None => queries::open(tx, target).await?,
            }
        }
        Ok(news)
    }

    /// What was written about targets counts from now on, here at once.
    pub(super) fn enter_targets(&self, news: HashMap<String, Option<Parked>>, now: Timestamp) {
        let mut map = self.targets.map();
        for (target, parked) in news {
            let Some(parked) = parked else {
                map.remove(&target);
                tracing::info!(
                    job.target = target,
                    "a target answers again, its jobs go on"
                );
                self.woken.notify_one();
                continue;
            };
            if map.get(&target) != Some(&parked) {
                let seconds = parked.until.since(now).as_secs();
                tracing::warn!(
                    job.target = target,
                    "jobs of a target wait, the next try is in {seconds} s: {}",
                    parked.reason
                );
            }
            map.insert(target, parked);
        }
        self.metrics.parked_targets.set(count(map.len()));
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// From when a target is found down to the first probe: most restarts take less.
const FIRST_PROBE: Duration = Duration::from_secs(10);
