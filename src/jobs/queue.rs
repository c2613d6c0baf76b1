use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
};

use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{
    Config, Enqueued, Error, Job, JobId, Metrics, NewJob, State,
    breaker::Targets,
    fairness::Fairness,
    lane::Lane,
    launch::Kinds,
    lifecycle::{Lifecycle, Refused},
    log,
    pause::Pauses,
    queries,
    queries::{JobRow, Next, Wish},
    slots::{Reason, Slots},
};
use crate::{
    clock::{SharedClock, Timestamp},
    failpoint, secret,
    store::{self, Db, Tx},
};

/// The queue of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Jobs {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub db: Db,
    pub clock: SharedClock,
    pub config: Config,
    pub metrics: Metrics,
    pub slots: Slots,
    pub fairness: Mutex<Fairness>,
    pub targets: Targets,
    pub woken: Notify,
    /// Other instances are to be told of new jobs.
    pub untold: Notify,
    /// Names this life of the process in leases; random, so that no restart inherits them.
    pub boot: String,
    /// What the runner of this process runs; empty before there is one.
    pub kinds: OnceLock<Kinds>,
    pub pauses: Pauses,
    /// How many may still follow a log.
    pub followers: Arc<Semaphore>,
    /// Cancelled when the runner is to end: nobody need follow a log any longer.
    pub closing: CancellationToken,
}

/// What a stop did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopping {
    /// The job was waiting; it is stopped.
    Stopped,
    /// The job is running; its run was told to end.
    Requested,
    /// The job had ended before.
    AlreadyFinished,
}

impl Jobs {
    pub fn new(db: Db, clock: SharedClock, config: Config) -> Self {
        let inner = Inner {
            followers: Arc::new(Semaphore::new(config.log_followers)),
            db,
            clock,
            config,
            metrics: Metrics::default(),
            slots: Slots::default(),
            fairness: Mutex::default(),
            targets: Targets::default(),
            woken: Notify::new(),
            untold: Notify::new(),
            boot: hex::encode(secret::random_bytes::<16>()),
            kinds: OnceLock::new(),
            pauses: Pauses::default(),
            closing: CancellationToken::new(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Accepts a wish within the caller's transaction; call [`Jobs::wake`] after its commit.
    ///
    /// A live job of the same kind and key takes the wish in: while it waits, the wish replaces
    /// its parameters; while it runs, exactly one more run follows, however many wishes come.
    pub async fn enqueue(&self, tx: &mut Tx, job: NewJob) -> Result<Enqueued, Error> {
        let accepted = self.enqueue_all(tx, std::slice::from_ref(&job)).await?;
        let lost = || store::Error::Sql(sqlx::Error::RowNotFound);
        Ok(accepted.first().copied().ok_or_else(lost)?)
    }

    /// Accepts several wishes in one statement; the answers stand in the same order. Of several
    /// for one key the last gives the parameters and the first in time when to run.
    pub async fn enqueue_all(&self, tx: &mut Tx, jobs: &[NewJob]) -> Result<Vec<Enqueued>, Error> {
        let now = self.inner.clock.now();
        // Ordered by key, so that concurrent transactions lock rows in one order.
        let mut wishes: BTreeMap<(&str, &str), Wish<'_>> = BTreeMap::new();
        for job in jobs {
            let mut wish = self.wish(job, now);
            let key = (wish.kind, wish.key);
            if let Some(earlier) = wishes.get(&key) {
                wish.run_at_ms = wish.run_at_ms.min(earlier.run_at_ms);
            }
            wishes.insert(key, wish);
        }
        let wishes: Vec<Wish<'_>> = wishes.into_values().collect();
        if wishes.is_empty() {
            return Ok(Vec::new());
        }
        let rows = queries::enqueue(tx, &wishes, now).await?;
        failpoint::hit("jobs.enqueued");
        let mut accepted: BTreeMap<(&str, &str), Enqueued> = rows
            .iter()
            .map(|row| {
                let enqueued = Enqueued {
                    id: JobId(row.id),
                    coalesced: row.generation > 1,
                };
                ((row.kind.as_str(), row.key.as_str()), enqueued)
            })
            .collect();
        let answers = jobs.iter().filter_map(|job| {
            let slot = accepted.get_mut(&(job.kind.as_ref(), job.key.as_str()))?;
            let answer = *slot;
            slot.coalesced = true;
            Some(answer)
        });
        Ok(answers.collect())
    }

    /// Makes the dispatcher of this process look at once, and those of other processes on
    /// PostgreSQL within a moment.
    pub fn wake(&self) {
        self.inner.wake();
    }

    /// Stops a job: at once while it waits, within a second while it runs. It stays stopped; a
    /// later wish for its key is a new job.
    pub async fn stop(&self, id: JobId) -> Result<Stopping, Error> {
        let (before, after) = self
            .step(id, "stopped", |job, _now| job.stop())
            .await
            .map(|(before, after)| (before.state, after.state))
            .or_else(|error| match error {
                Error::Refused { state, .. } => Ok((state, state)),
                error => Err(error),
            })?;
        if before.is_final() {
            return Ok(Stopping::AlreadyFinished);
        }
        if after == State::Stopped {
            return Ok(Stopping::Stopped);
        }
        self.inner.end_requested(id);
        Ok(Stopping::Requested)
    }

    /// Runs a failed or stopped job again with all its attempts, or a waiting one now.
    pub async fn retry(&self, id: JobId) -> Result<(), Error> {
        self.step(id, "retried", Lifecycle::retry)
            .await
            .map_err(|error| match error {
                Error::Store(store::Error::Duplicate) => Error::Superseded(id),
                error => error,
            })?;
        self.wake();
        Ok(())
    }

    /// Returns when the process is to end and takes no more jobs: whoever waits for some need wait
    /// no longer.
    pub async fn closing(&self) {
        self.inner.closing.cancelled().await;
    }

    pub async fn job(&self, id: JobId) -> Result<Job, Error> {
        let row = queries::job(&self.inner.db, id).await?;
        row.ok_or(Error::NotFound(id))?.try_into()
    }

    /// The log of all runs as text, `TIME LINE` a line; the same from every instance, but for
    /// the last [`Config::heartbeat_ms`] of a run on another one.
    pub async fn log(&self, id: JobId) -> Result<String, Error> {
        if let Some(slot) = self.inner.slots.find(id) {
            self.inner.write_logs(&[slot]).await?;
        }
        if queries::job(&self.inner.db, id).await?.is_none() {
            return Err(Error::NotFound(id));
        }
        Ok(log::render(&queries::log_lines(&self.inner.db, id).await?))
    }

    fn wish<'a>(&self, job: &'a NewJob, now: Timestamp) -> Wish<'a> {
        let max_attempts = job.max_attempts.unwrap_or(self.inner.config.max_attempts);
        Wish {
            kind: &job.kind,
            key: &job.key,
            params: job.params.to_string(),
            target: job.target.as_deref(),
            lane: Lane::new(
                &job.kind,
                job.target.as_deref().unwrap_or(""),
                &job.project,
                job.size_bytes,
            ),
            max_attempts: i64::from(max_attempts.max(1)),
            run_at_ms: job.run_at.unwrap_or(now).millis(),
        }
    }

    /// Takes one step that a person asked for.
    pub(super) async fn step(
        &self,
        id: JobId,
        verb: &'static str,
        step: impl Fn(&Lifecycle, Timestamp) -> Result<Lifecycle, Refused> + Send,
    ) -> Result<(Lifecycle, Lifecycle), Error> {
        let now = self.inner.clock.now();
        let mut tx = self.inner.db.begin().await?;
        let row = queries::lock(&mut tx, &[id]).await?.pop();
        let row = row.ok_or(Error::NotFound(id))?;
        let before = row.lifecycle()?;
        let Ok(after) = step(&before, now) else {
            // Ends the lock now; a dropped transaction is rolled back some time later.
            tx.commit().await?;
            let state = before.state;
            return Err(Error::Refused { id, state, verb });
        };
        queries::save(&mut tx, &[Next::new(id.0, &after, now)], now).await?;
        if before.state != State::Running {
            queries::note(&mut tx, &[id], now, &by_hand(verb)).await?;
        }
        failpoint::hit("jobs.step_before_commit");
        tx.commit().await?;
        failpoint::hit("jobs.step_committed");
        Ok((before, after))
    }
}

impl Inner {
    /// Tells a run to end that a person stopped, if it is in this process.
    pub(super) fn end_requested(&self, id: JobId) {
        if let Some(slot) = self.slots.find(id) {
            slot.end(Reason::Requested);
        }
    }

    /// Takes the same step for several jobs, leaving out those it does not apply to; returns the
    /// rows as they were, with what they became.
    pub(super) async fn transition(
        &self,
        tx: &mut Tx,
        ids: &[JobId],
        now: Timestamp,
        step: impl Fn(&Lifecycle, &JobRow) -> Result<Lifecycle, Refused> + Send,
    ) -> Result<Vec<(JobRow, Lifecycle)>, Error> {
        let mut changed = Vec::with_capacity(ids.len());
        if ids.is_empty() {
            return Ok(changed);
        }
        for row in queries::lock(tx, ids).await? {
            match row.lifecycle() {
                Ok(job) => changed.extend(step(&job, &row).ok().map(|next| (row, next))),
                // One row that cannot be read must not keep the others.
                Err(error) => tracing::error!("{error}"),
            }
        }
        let rows: Vec<Next<'_>> = changed
            .iter()
            .map(|(row, next)| Next::new(row.id, next, now))
            .collect();
        queries::save(tx, &rows, now).await?;
        Ok(changed)
    }
}

/// The line in the log of a job that a person changed while no run wrote to it.
pub(super) fn by_hand(verb: &str) -> String {
    format!("{verb} by hand")
}

/// Rows changed in one transaction, so that it stays short.
pub(super) const BATCH: i64 = 500;
