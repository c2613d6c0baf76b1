use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::time::Instant;

use super::{
    Error, Failure, Handler, JobId, Log, Running, State,
    lane::Lane,
    lease::Ending,
    log::Bounds,
    metrics::{KindLabels, RunLabels},
    queries::Claimed,
    queue::Inner,
    settler::{Ended, Settler},
    slots::{Reason, Slot},
};
use crate::{clock::Timestamp, failpoint};

/// Runs one claimed job to its end.
pub(super) struct Worker {
    pub inner: Arc<Inner>,
    pub handler: Arc<dyn Handler>,
    pub slot: Arc<Slot>,
    pub row: Claimed,
    pub settler: Settler,
}

impl Worker {
    pub(super) async fn run(self) {
        failpoint::hit("jobs.claimed");
        let kind = KindLabels {
            kind: self.handler.kind(),
        };
        let metrics = &self.inner.metrics;
        let due = Timestamp::from_millis(self.row.run_at_ms);
        metrics
            .claim_latency
            .get_or_create(&kind)
            .observe(self.inner.clock.now().since(due).as_secs_f64());
        let began = Instant::now();
        let result = self.handle().await;
        let took = began.elapsed();
        metrics
            .run_time
            .get_or_create(&kind)
            .observe(took.as_secs_f64());
        failpoint::hit("jobs.ran");
        self.end(result, took).await;
        self.inner.slots.remove(&self.slot);
        failpoint::hit("jobs.settled");
    }

    /// Lets the handler run; a run that was told to end and does not is dropped after a while.
    async fn handle(&self) -> Result<(), Failure> {
        let job = self.running().await.map_err(|error| unreadable(&error))?;
        let run = AssertUnwindSafe(self.handler.run(&job)).catch_unwind();
        let overdue = async {
            self.slot.stop.cancelled().await;
            tokio::time::sleep(self.inner.config.stop_grace()).await;
        };
        tokio::select! {
            result = run => result.unwrap_or_else(|panic| Err(panicked(&*panic))),
            () = overdue => Err(Failure::Stopped),
        }
    }

    async fn running(&self) -> Result<Running, Error> {
        if self.row.epoch > 1 {
            let last_seq = self.inner.continue_log(self.slot.id).await?;
            self.slot.log.continue_after(last_seq);
        }
        Ok(Running {
            id: self.slot.id,
            key: self.row.key.clone(),
            params: self.row.params()?,
            attempt: u32::try_from(self.row.attempts).unwrap_or(1),
            stop: self.slot.stop.clone(),
            log: self.slot.log.clone(),
            slot: self.slot.clone(),
        })
    }

    /// Writes down how the run ended, unless another instance has taken the job.
    async fn end(&self, result: Result<(), Failure>, took: Duration) {
        let ending = match ending(result, self.slot.reason()) {
            Ending::Succeeded => self.slot.succeeded(),
            other => other,
        };
        let ended = Ended {
            slot: self.slot.clone(),
            log: self.slot.log.close(last_line(&ending).as_deref()),
            ending: ending.clone(),
        };
        match self.settler.settle(ended).await {
            Some(state) => self.ended(&ending, state, took),
            None => self.lost(),
        }
    }

    fn ended(&self, ending: &Ending, state: State, took: Duration) {
        self.count(ending.outcome());
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match ending {
            Ending::Failed(failure) => self.report(failure, state, duration_ms),
            Ending::Succeeded | Ending::Partial(_) | Ending::Released => tracing::debug!(
                job.id = self.slot.id.0,
                kind = self.handler.kind(),
                duration_ms,
                "job's run ended, it is {state}"
            ),
        }
        if state == State::Ready {
            self.inner.woken.notify_one();
        }
    }

    fn report(&self, failure: &Failure, state: State, duration_ms: u64) {
        let (id, kind, class) = (
            self.slot.id.0,
            self.handler.kind(),
            failure.class().as_str(),
        );
        let message = failure.message();
        if state == State::Failed {
            tracing::error!(
                job.id = id,
                kind,
                duration_ms,
                error.kind = class,
                "job failed: {message}"
            );
        } else {
            tracing::warn!(
                job.id = id,
                kind,
                duration_ms,
                error.kind = class,
                "job's run failed, it is {state}: {message}"
            );
        }
    }

    fn lost(&self) {
        self.count("lease_lost");
        tracing::warn!(
            job.id = self.slot.id.0,
            kind = self.handler.kind(),
            "lost the lease of a job; its run here counts for nothing"
        );
    }

    fn count(&self, outcome: &'static str) {
        let labels = RunLabels {
            kind: self.handler.kind(),
            outcome,
        };
        self.inner.metrics.runs.get_or_create(&labels).inc();
    }
}

impl Inner {
    /// Enters a claimed job among those that run here.
    pub(super) fn occupy(&self, row: &Claimed) -> Arc<Slot> {
        let bounds = Bounds {
            lines: self.config.log_lines,
            line_bytes: self.config.log_line_bytes,
        };
        let run = (JobId(row.id), row.epoch);
        let log = Log::new(self.clock.clone(), run, bounds);
        let lane = Lane::from_column(row.lane.clone());
        let slot = Arc::new(Slot::new(JobId(row.id), row.epoch, lane, log));
        self.slots.insert(slot.clone());
        slot
    }
}

impl Slot {
    fn succeeded(&self) -> Ending {
        let rest = self.rest_after.get().copied();
        rest.map_or(Ending::Succeeded, Ending::Partial)
    }
}

impl Ending {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Partial(_) => "partial",
            Self::Released => "released",
            Self::Failed(failure) => failure.class().as_str(),
        }
    }
}

/// What the result means, given why the run may have been told to end. A shutdown or a lost lease
/// takes the blame for what a retry could mend; an answer that is final stays the answer.
fn ending(result: Result<(), Failure>, reason: Option<Reason>) -> Ending {
    match (result, reason) {
        (Ok(()), _) => Ending::Succeeded,
        (
            Err(Failure::Stopped | Failure::Retryable { .. }),
            Some(Reason::Shutdown | Reason::LeaseLost),
        ) => Ending::Released,
        (Err(failure), _) => Ending::Failed(failure),
    }
}

/// The engine's own line at the end of a run's log.
fn last_line(ending: &Ending) -> Option<String> {
    match ending {
        Ending::Succeeded | Ending::Partial(_) => None,
        Ending::Released => {
            Some("interrupted: the gateway shut down or lost touch with the database".to_owned())
        }
        Ending::Failed(Failure::Stopped) => Some("stopped".to_owned()),
        Ending::Failed(failure) => Some(format!(
            "failed ({}): {}",
            failure.class().as_str(),
            failure.message()
        )),
    }
}

/// The job could not be read: wait for the database, but not for damage to heal.
fn unreadable(error: &Error) -> Failure {
    let message = error.to_string();
    match error {
        Error::Store(_) => Failure::Throttled {
            message,
            retry_after: DATABASE_PAUSE,
        },
        _ => Failure::Permanent { message },
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("no message");
    Failure::permanent(format!("the handler panicked, which is a bug: {message}"))
}

const DATABASE_PAUSE: Duration = Duration::from_secs(2);
