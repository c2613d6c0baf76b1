//! What instances agree on through the database: who runs which job, and that a run whose lease
//! was lost writes nothing any more.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    Error, Failure, JobId,
    lane::Lane,
    lifecycle::{Lifecycle, Refused},
    queries::{self, Alive, Entry, JobRow},
    queue::{BATCH, Inner},
    slots::{Reason, Slot},
};
use crate::{backoff::Backoff, clock::Timestamp, failpoint, secret, store::Db};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    Succeeded,
    /// Did its part; the rest is due after this time.
    Partial(Duration),
    Failed(Failure),
    /// Handed back because the process shuts down.
    Released,
}

impl Inner {
    /// When a job of `lane` runs again whose run has failed so.
    pub(super) fn retry_at(
        &self,
        (job, lane): (&Lifecycle, &Lane),
        failure: &Failure,
        now: Timestamp,
    ) -> Timestamp {
        let random = u64::from_le_bytes(secret::random_bytes());
        let delay = match failure {
            Failure::Throttled { retry_after, .. } => *retry_after,
            // Its target is parked: when it opens, the job is due.
            Failure::TargetDown { .. } if !lane.target().is_empty() => Duration::ZERO,
            _ => {
                let attempt = u32::try_from(job.attempts).unwrap_or(u32::MAX);
                self.config.backoff().delay(attempt, random)
            }
        };
        now.plus(delay)
    }

    /// How long a job waits after its run ended with the process. A suspect waits for half to
    /// all of the longest delay: it must not keep the process from its other work.
    fn crash_delay(&self, job: &Lifecycle, random: u64) -> Duration {
        let backoff = self.config.backoff();
        if job.is_suspect(self.config.max_crashes) {
            let half = Backoff {
                base: backoff.cap / 2,
                cap: backoff.cap / 2,
            };
            return backoff.cap / 2 + half.delay(1, random);
        }
        backoff.delay(u32::try_from(job.crashes).unwrap_or(u32::MAX), random)
    }

    /// Extends the leases of this process; ends runs that were stopped or whose lease is lost.
    pub(super) async fn beat(&self) -> Result<(), Error> {
        let slots = self.slots.all();
        if slots.is_empty() {
            return Ok(());
        }
        let alive: Vec<Alive> = slots.iter().map(|slot| Alive::new(slot)).collect();
        let until = self.clock.now().plus(self.config.lease());
        let held = queries::beat(&self.db, &self.boot, until, &alive).await?;
        let held: HashMap<(i64, i64), bool> = held
            .into_iter()
            .map(|beat| ((beat.id, beat.epoch), beat.stopping))
            .collect();
        for slot in slots {
            match held.get(&(slot.id.0, slot.epoch)) {
                Some(false) => {}
                Some(true) => slot.end(Reason::Requested),
                // A run that settled in the meantime has left the slots and needs no end.
                None if self.slots.find(slot.id).is_none() => {}
                None => slot.end(Reason::LeaseLost),
            }
        }
        Ok(())
    }

    /// Frees jobs whose process is gone: on SQLite, which serves one process, at its start all
    /// that another life of it held; otherwise those whose lease ended. Returns how many.
    pub(super) async fn rescue_at_start(&self) -> Result<usize, Error> {
        match self.db {
            Db::Lite { .. } => self.rescue_all(Dead::Foreign).await,
            Db::Pg(_) => self.rescue_all(Dead::Expired).await,
        }
    }

    /// Frees jobs whose lease ended. Returns how many.
    pub(super) async fn rescue(&self) -> Result<usize, Error> {
        self.rescue_all(Dead::Expired).await
    }

    async fn rescue_all(&self, dead: Dead) -> Result<usize, Error> {
        let mut rescued = 0;
        loop {
            let now = self.clock.now();
            let ids = match dead {
                Dead::Foreign => queries::foreign(&self.db, &self.boot, BATCH).await?,
                Dead::Expired => queries::expired(&self.db, now, BATCH).await?,
            };
            // Ours are alive, whatever the clock says; a lost lease is found by `beat`.
            let ids: Vec<JobId> = ids
                .into_iter()
                .filter(|id| self.slots.find(*id).is_none())
                .collect();
            let freed = self.free(&ids, dead, now).await?;
            rescued += freed;
            if freed == 0 {
                return Ok(rescued);
            }
        }
    }

    async fn free(&self, ids: &[JobId], dead: Dead, now: Timestamp) -> Result<usize, Error> {
        if ids.is_empty() {
            return Ok(0);
        }
        let random = u64::from_le_bytes(secret::random_bytes());
        let mut tx = self.db.begin().await?;
        let changed = self
            .transition(&mut tx, ids, now, |job, row| {
                if !dead.holds(row, &self.boot, now) {
                    return Err(Refused);
                }
                job.crash(now.plus(self.crash_delay(job, random)))
            })
            .await?;
        for (row, next) in &changed {
            let message = next.fault.as_ref().map_or("", |fault| &fault.message);
            queries::note(&mut tx, &[JobId(row.id)], now, message).await?;
            tracing::warn!(
                job.id = row.id,
                kind = row.kind,
                state = next.state.as_str(),
                "took a job from a process that is gone: {message}"
            );
        }
        failpoint::hit("jobs.rescue_before_commit");
        tx.commit().await?;
        failpoint::hit("jobs.rescued");
        Ok(changed.len())
    }

    /// Writes the buffered log lines of running jobs.
    pub(super) async fn write_logs(&self, slots: &[Arc<Slot>]) -> Result<(), Error> {
        let taken: Vec<(&Arc<Slot>, Vec<Entry>)> = slots
            .iter()
            .map(|slot| (slot, slot.log.take()))
            .filter(|(_slot, entries)| !entries.is_empty())
            .collect();
        if taken.is_empty() {
            return Ok(());
        }
        let written = self
            .append(taken.iter().flat_map(|(_slot, entries)| entries))
            .await;
        if written.is_err() {
            for (slot, entries) in taken {
                slot.log.put_back(entries);
            }
        }
        written
    }

    async fn append<'a>(
        &self,
        entries: impl Iterator<Item = &'a Entry> + Send,
    ) -> Result<(), Error> {
        let entries: Vec<&Entry> = entries.collect();
        let mut tx = self.db.begin().await?;
        queries::append_log(&mut tx, &entries).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The number of the last line that earlier runs of a job wrote, of which the newest
    /// [`Config::log_lines`](super::Config::log_lines) are kept.
    pub(super) async fn continue_log(&self, id: JobId) -> Result<i64, Error> {
        let mut tx = self.db.begin().await?;
        let last = queries::last_line(&mut tx, id).await?;
        let kept = i64::try_from(self.config.log_lines).unwrap_or(i64::MAX);
        if last > kept {
            queries::trim_log(&mut tx, id, last - kept).await?;
        }
        tx.commit().await?;
        Ok(last)
    }
}

/// Which running jobs count as left behind.
#[derive(Debug, Clone, Copy)]
enum Dead {
    Foreign,
    Expired,
}

impl Dead {
    fn holds(self, row: &JobRow, boot: &str, now: Timestamp) -> bool {
        match self {
            Self::Foreign => row.lease_owner.as_deref() != Some(boot),
            Self::Expired => row.lease_until_ms.is_none_or(|until| until < now.millis()),
        }
    }
}
