use super::{
    Cron, Error, Jobs, NewJob,
    queries::{self, ScheduleRow},
};
use crate::{clock::Timestamp, failpoint, store::Tx};

/// Jobs that are enqueued by the clock. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Schedules {
    jobs: Jobs,
}

impl Schedules {
    pub fn new(jobs: Jobs) -> Self {
        Self { jobs }
    }

    /// Adds the schedule `key`, or changes it; each firing enqueues the job (`kind`, `key`) with
    /// `params`. The next slot moves only when the expression changes.
    pub async fn put(
        &self,
        tx: &mut Tx,
        key: &str,
        kind: &str,
        cron: &Cron,
        params: &serde_json::Value,
    ) -> Result<(), Error> {
        let now = self.jobs.inner.clock.now();
        let row = ScheduleRow {
            key: key.to_owned(),
            kind: kind.to_owned(),
            cron: cron.to_string(),
            params: params.to_string(),
            next_ms: cron.next_after(now).map(Timestamp::millis),
        };
        Ok(queries::put_schedule(tx, &row).await?)
    }

    /// Removes a schedule; false if there was none. A job that it enqueued stays.
    pub async fn remove(&self, tx: &mut Tx, key: &str) -> Result<bool, Error> {
        Ok(queries::remove_schedule(tx, key).await? > 0)
    }

    /// When the schedule fires next; `None` if it does not exist or never fires.
    pub async fn next(&self, key: &str) -> Result<Option<Timestamp>, Error> {
        let row = queries::schedule(&self.jobs.inner.db, key).await?;
        Ok(row.and_then(|row| row.next_ms).map(Timestamp::from_millis))
    }

    /// Fires what is due, each slot once over all instances; slots missed while no instance ran
    /// fire once together. Returns how many this instance fired.
    pub(super) async fn fire(&self) -> Result<usize, Error> {
        let now = self.jobs.inner.clock.now();
        let due = queries::due_schedules(&self.jobs.inner.db, now, DUE_AT_ONCE).await?;
        let mut fired = 0;
        for schedule in &due {
            if self.fire_one(schedule, now).await? {
                fired += 1;
            }
        }
        if fired > 0 {
            self.jobs.wake();
        }
        Ok(fired)
    }

    async fn fire_one(&self, schedule: &ScheduleRow, now: Timestamp) -> Result<bool, Error> {
        let Some(slot) = schedule.next_ms else {
            return Ok(false);
        };
        let next = match Cron::parse(&schedule.cron) {
            Ok(cron) => cron.next_after(now).map(Timestamp::millis),
            Err(error) => {
                tracing::error!(schedule = schedule.key, "schedule disabled: {error}");
                None
            }
        };
        let mut tx = self.jobs.inner.db.begin().await?;
        if !queries::advance_schedule(&mut tx, &schedule.key, slot, next).await? {
            return Ok(false);
        }
        failpoint::hit("jobs.slot_advanced");
        let params = serde_json::from_str(&schedule.params).unwrap_or_default();
        let job = NewJob::new(schedule.kind.clone(), schedule.key.clone(), params);
        let enqueued = self.jobs.enqueue(&mut tx, job).await?;
        failpoint::hit("jobs.slot_before_commit");
        tx.commit().await?;
        failpoint::hit("jobs.slot_fired");
        tracing::info!(
            job.id = enqueued.id.0,
            schedule = schedule.key,
            coalesced = enqueued.coalesced,
            "schedule fired"
        );
        Ok(true)
    }
}

/// Schedules fired before the clock is read again.
const DUE_AT_ONCE: i64 = 100;
