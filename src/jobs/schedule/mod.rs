//! Jobs that are enqueued by the clock.

mod queries;

#[cfg(test)]
pub(crate) use queries::ALL;

use super::{Cron, Enqueued, Error, JobId, Jobs, NewJob, queue::BATCH};
use crate::{clock::Timestamp, failpoint, store::Tx};
pub(super) use queries::schedule as row;
use queries::{FiringRow, Moved, NewFiring, ScheduleRow};

/// Jobs that are enqueued by the clock. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Schedules {
    jobs: Jobs,
}

/// What is to be enqueued when.
#[derive(Debug, Clone, Copy)]
pub struct NewSchedule<'a> {
    /// Also the key of the jobs.
    pub key: &'a str,
    pub kind: &'a str,
    pub cron: &'a Cron,
    /// Of the jobs.
    pub params: &'a serde_json::Value,
    pub overlap: Overlap,
}

/// What a slot does while the job of an earlier one, or one that a person has started, is not
/// over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// That job takes the wish in: it runs with the new parameters, once more if it runs already.
    Merge,
    /// Nothing: that job does for the slot, and stays as it is.
    Skip,
}

/// What became of one slot of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    pub slot: Timestamp,
    /// When it fired, or was found to be missed.
    pub fired: Timestamp,
    pub outcome: Outcome,
    /// The job that was enqueued or joined.
    pub job: Option<JobId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A job was enqueued.
    Fired,
    /// A job was not over; by the schedule's [`Overlap`] it took the wish in or did for it.
    Joined,
    /// Nobody fired at the time; a later slot has fired since.
    Missed,
}

/// A schedule that is due, and its slots up to now.
struct Due {
    row: ScheduleRow,
    /// The newest slots that nobody fired before the one that fires now.
    missed: Vec<Timestamp>,
    slot: Timestamp,
    next: Option<Timestamp>,
}

impl Schedules {
    pub fn new(jobs: Jobs) -> Self {
        Self { jobs }
    }

    /// Adds the schedule, or changes the one of this key. The next slot moves only when the
    /// expression changes.
    pub async fn put(&self, tx: &mut Tx, new: NewSchedule<'_>) -> Result<(), Error> {
        let now = self.jobs.inner.clock.now();
        let row = ScheduleRow {
            key: new.key.to_owned(),
            kind: new.kind.to_owned(),
            cron: new.cron.to_string(),
            params: new.params.to_string(),
            overlap: new.overlap.as_str().to_owned(),
            next_ms: new.cron.next_after(now).map(Timestamp::millis),
        };
        Ok(queries::put(tx, &row).await?)
    }

    /// Removes a schedule and what is known of its firings; false if there was none. A job that
    /// it enqueued stays.
    pub async fn remove(&self, tx: &mut Tx, key: &str) -> Result<bool, Error> {
        Ok(queries::remove(tx, key).await? > 0)
    }

    /// When the schedule fires next; `None` if it does not exist or never fires.
    pub async fn next(&self, key: &str) -> Result<Option<Timestamp>, Error> {
        let row = queries::schedule(&self.jobs.inner.db, key).await?;
        Ok(row.and_then(|row| row.next_ms).map(Timestamp::from_millis))
    }

    /// What became of the newest slots of a schedule, newest first; the newest 200 are kept, for
    /// [`Config::history_days`](super::Config::history_days).
    pub async fn firings(&self, key: &str, limit: u16) -> Result<Vec<Firing>, Error> {
        let rows = queries::firings(&self.jobs.inner.db, key, limit).await?;
        Ok(rows.into_iter().map(Firing::from).collect())
    }

    /// Fires what is due, each slot once over all instances; of slots missed while no instance
    /// ran the newest fires. Returns how many schedules this instance fired.
    pub(super) async fn fire(&self) -> Result<usize, Error> {
        let now = self.jobs.inner.clock.now();
        let mut fired = 0;
        while queries::are_due(&self.jobs.inner.db, now).await? {
            let batch = self.fire_batch(now).await?;
            if batch == 0 {
                // Another instance fires the rest.
                break;
            }
            fired += batch;
            self.jobs.wake();
        }
        Ok(fired)
    }

    async fn fire_batch(&self, now: Timestamp) -> Result<usize, Error> {
        let mut tx = self.jobs.inner.db.begin().await?;
        let rows = queries::due(&mut tx, now, DUE_AT_ONCE).await?;
        let due: Vec<Due> = rows
            .into_iter()
            .filter_map(|row| Due::new(row, now))
            .collect();
        if due.is_empty() {
            tx.commit().await?;
            return Ok(0);
        }
        let moved: Vec<Moved<'_>> = due.iter().map(Due::moved).collect();
        queries::advance(&mut tx, &moved).await?;
        failpoint::hit("jobs.slot_advanced");
        let Some(enqueued) = self.enqueue(&mut tx, &due).await? else {
            return Ok(0);
        };
        let firings: Vec<NewFiring<'_>> = due
            .iter()
            .zip(&enqueued)
            .flat_map(|(due, enqueued)| due.firings(*enqueued))
            .collect();
        queries::record(&mut tx, &firings, now).await?;
        let keys: Vec<&str> = due.iter().map(|due| due.row.key.as_str()).collect();
        queries::trim(&mut tx, &keys, FIRINGS_KEPT).await?;
        failpoint::hit("jobs.slot_before_commit");
        tx.commit().await?;
        failpoint::hit("jobs.slot_fired");
        for (due, enqueued) in due.iter().zip(enqueued) {
            tracing::info!(
                job.id = enqueued.id.0,
                schedule = due.row.key,
                coalesced = enqueued.coalesced,
                missed = due.missed.len(),
                "schedule fired"
            );
        }
        Ok(due.len())
    }

    /// Enqueues the jobs of what is due, but for those that a live one does for. `None` when a
    /// person has started such a one at the same moment: nothing may be committed, the next look
    /// fires.
    async fn enqueue(&self, tx: &mut Tx, due: &[Due]) -> Result<Option<Vec<Enqueued>>, Error> {
        let mut live = Vec::with_capacity(due.len());
        for due in due {
            live.push(if due.skips() {
                queries::live_job(tx, &due.row).await?
            } else {
                None
            });
        }
        let without = due.iter().zip(&live).filter(|(_, live)| live.is_none());
        let (without, wishes): (Vec<&Due>, Vec<NewJob>) =
            without.map(|(due, _)| (due, due.job())).unzip();
        let accepted = self.jobs.enqueue_all(tx, &wishes).await?;
        let has_met_a_run = without
            .iter()
            .zip(&accepted)
            .any(|(due, accepted)| accepted.coalesced && due.skips());
        if has_met_a_run {
            return Ok(None);
        }
        let mut accepted = accepted.into_iter();
        let enqueued = live.into_iter().filter_map(|live| match live {
            Some(id) => Some(Enqueued {
                id: JobId(id),
                coalesced: true,
            }),
            None => accepted.next(),
        });
        Ok(Some(enqueued.collect()))
    }

    /// After the clock was set back to `now`: slots that lie ahead again are waited for again.
    pub(super) async fn follow_setback(&self, now: Timestamp) -> Result<(), Error> {
        let mut tx = self.jobs.inner.db.begin().await?;
        let rows = queries::waiting(&mut tx, now).await?;
        let earlier = rows.iter().filter_map(|row| {
            // One that cannot be read is told of when it fires.
            let next = Cron::parse(&row.cron).ok()?.next_after(now)?.millis();
            (next < row.next_ms?).then_some((row.key.as_str(), next))
        });
        queries::bring_forward(&mut tx, &earlier.collect::<Vec<_>>()).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets what became of slots before `before`.
    pub(super) async fn sweep(&self, before: Timestamp) -> Result<(), Error> {
        while queries::sweep(&self.jobs.inner.db, before, BATCH).await? > 0 {}
        Ok(())
    }
}

impl Due {
    fn new(row: ScheduleRow, now: Timestamp) -> Option<Self> {
        let first = Timestamp::from_millis(row.next_ms?);
        let (mut slots, next) = match Cron::parse(&row.cron) {
            Ok(cron) => (
                cron.newest_slots(first, now, MISSED_KEPT + 1),
                cron.next_after(now),
            ),
            Err(error) => {
                tracing::error!(schedule = row.key, "schedule disabled: {error}");
                (Vec::new(), None)
            }
        };
        Some(Self {
            slot: slots.pop().unwrap_or(first),
            missed: slots,
            next,
            row,
        })
    }

    fn skips(&self) -> bool {
        self.row.overlap == Overlap::Skip.as_str()
    }

    fn moved(&self) -> Moved<'_> {
        Moved {
            key: &self.row.key,
            last_ms: self.slot.millis(),
            next_ms: self.next.map(Timestamp::millis),
        }
    }

    fn job(&self) -> NewJob {
        let params = serde_json::from_str(&self.row.params).unwrap_or_default();
        NewJob::new(self.row.kind.clone(), self.row.key.clone(), params)
    }

    fn firings(&self, enqueued: Enqueued) -> impl Iterator<Item = NewFiring<'_>> {
        let outcome = if enqueued.coalesced {
            Outcome::Joined
        } else {
            Outcome::Fired
        };
        let missed = self.missed.iter().map(|slot| (slot, Outcome::Missed, None));
        let fired = std::iter::once((&self.slot, outcome, Some(enqueued.id.0)));
        missed
            .chain(fired)
            .map(|(slot, outcome, job_id)| NewFiring {
                key: &self.row.key,
                slot_ms: slot.millis(),
                outcome: outcome.as_str(),
                job_id,
            })
    }
}

impl From<FiringRow> for Firing {
    fn from(row: FiringRow) -> Self {
        Self {
            slot: Timestamp::from_millis(row.slot_ms),
            fired: Timestamp::from_millis(row.fired_ms),
            outcome: Outcome::of(&row.outcome),
            job: row.job_id.map(JobId),
        }
    }
}

impl Overlap {
    /// The word in the database.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Skip => "skip",
        }
    }
}

impl Outcome {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Joined => "joined",
            Self::Missed => "missed",
        }
    }

    fn of(word: &str) -> Self {
        match word {
            "fired" => Self::Fired,
            "joined" => Self::Joined,
            _ => Self::Missed,
        }
    }
}

/// Schedules fired in one transaction.
const DUE_AT_ONCE: i64 = 100;

/// Missed slots that are written down, the newest.
const MISSED_KEPT: usize = 100;

/// Slots of one schedule whose fate is kept.
const FIRINGS_KEPT: i64 = 200;
