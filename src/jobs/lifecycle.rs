//! What may happen to a job, and what it is afterwards: pure, without database or clock.
//!
//! The engine locks a row, asks one of these methods, and writes the answer where the row's
//! revision is still the same. Two steps are so frequent that SQL takes them for many rows at
//! once, `Lifecycle::push` as `JOB_ENQUEUE` and `Lifecycle::claim` as `JOB_CLAIM`; tests hold
//! both to this file.
//!
//! Generations count wishes. A run knows the wishes up to `run_generation`, a person stopped
//! those up to `stop_generation`; a wish beyond both is owed a run.

use super::{Class, Failure, State};
use crate::clock::Timestamp;

/// The part of a job's row that decides what may happen next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lifecycle {
    pub state: State,
    pub generation: i64,
    pub run_generation: i64,
    pub stop_generation: i64,
    pub attempts: i64,
    pub max_attempts: i64,
    pub crashes: i64,
    pub run_at: Timestamp,
    pub epoch: i64,
    pub rev: i64,
    pub fault: Option<Fault>,
}

/// What the latest failed run said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub class: Class,
    pub message: String,
}

/// The step does not apply to the job as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused;

impl Lifecycle {
    /// A job that was just enqueued.
    #[cfg(test)]
    pub(super) fn new(run_at: Timestamp, max_attempts: i64) -> Self {
        Self {
            state: State::Ready,
            generation: 1,
            run_generation: 0,
            stop_generation: 0,
            attempts: 0,
            max_attempts,
            crashes: 0,
            run_at,
            epoch: 0,
            rev: 0,
            fault: None,
        }
    }

    /// A further wish for the same key. It does not hurry a job that took the process down.
    #[cfg(test)]
    pub(super) fn push(&self, run_at: Timestamp) -> Result<Self, Refused> {
        let mut next = self.next();
        next.generation += 1;
        match self.state {
            State::Ready | State::Retry => {
                next.enter(State::Ready);
                next.attempts = 0;
                if self.crashes <= 1 {
                    next.run_at = self.run_at.min(run_at);
                }
            }
            State::Running if self.owes_a_run() => next.run_at = self.run_at.min(run_at),
            State::Running => next.run_at = run_at,
            State::Done | State::Failed | State::Stopped => return Err(Refused),
        }
        Ok(next)
    }

    /// A worker takes the job.
    #[cfg(test)]
    pub(super) fn claim(&self, now: Timestamp) -> Result<Self, Refused> {
        let waits = matches!(self.state, State::Ready | State::Retry);
        if !waits || self.run_at > now {
            return Err(Refused);
        }
        let mut next = self.next();
        next.enter(State::Running);
        next.run_generation = self.generation;
        next.attempts += 1;
        next.epoch += 1;
        Ok(next)
    }

    /// The run `epoch` succeeded.
    pub(super) fn succeed(&self, epoch: i64) -> Result<Self, Refused> {
        let mut next = self.end(epoch)?;
        next.fault = None;
        if self.owes_a_run() {
            next.begin_anew();
        } else if self.generation > self.run_generation {
            next.enter(State::Stopped);
        } else {
            next.enter(State::Done);
        }
        Ok(next)
    }

    /// The run `epoch` did a part of the work; the rest is due at `rest_at`.
    pub(super) fn go_on(&self, epoch: i64, rest_at: Timestamp) -> Result<Self, Refused> {
        let mut next = self.end(epoch)?;
        next.fault = None;
        if self.stop_requested() {
            next.end_stopped(self.owes_a_run());
            return Ok(next);
        }
        if !self.owes_a_run() {
            next.run_at = rest_at;
        }
        next.begin_anew();
        Ok(next)
    }

    /// The run `epoch` failed; `retry_at` is when another would begin.
    pub(super) fn fail(
        &self,
        epoch: i64,
        failure: &Failure,
        retry_at: Timestamp,
    ) -> Result<Self, Refused> {
        let mut next = self.end(epoch)?;
        next.fault = Some(Fault::of(failure));
        if self.stop_requested() || *failure == Failure::Stopped {
            next.end_stopped(self.owes_a_run());
            return Ok(next);
        }
        match failure {
            Failure::Permanent { .. } if self.owes_a_run() => next.begin_anew(),
            Failure::Permanent { .. } => next.enter(State::Failed),
            Failure::Retryable { .. } if self.owes_a_run() => {
                next.attempts = 0;
                next.wait_until(retry_at);
            }
            Failure::Retryable { .. } if self.attempts >= self.max_attempts => {
                next.enter(State::Failed);
            }
            Failure::Retryable { .. } => next.wait_until(retry_at),
            Failure::Throttled { .. } | Failure::TargetDown { .. } | Failure::Stopped => {
                next.give_attempt_back();
                next.wait_until(retry_at);
            }
        }
        Ok(next)
    }

    /// The process shuts down and hands the run `epoch` back; no attempt is spent.
    pub(super) fn release(&self, epoch: i64) -> Result<Self, Refused> {
        let mut next = self.end(epoch)?;
        next.crashes = self.crashes;
        if self.stop_requested() {
            next.end_stopped(self.owes_a_run());
        } else {
            next.give_attempt_back();
            next.enter(State::Ready);
        }
        Ok(next)
    }

    /// The attempt that has just ended does not count; a newer wish begins with all of them.
    fn give_attempt_back(&mut self) {
        self.attempts = if self.owes_a_run() {
            0
        } else {
            self.attempts - 1
        };
    }

    /// The process that ran the job is gone. The first time it is free at once, later after a
    /// delay, so that jobs which ran beside the culprit do not die beside it again.
    ///
    /// It never fails for that: the wish would be lost, and the job may be innocent. The caller
    /// gives a late `retry_at` to one that [`Lifecycle::is_suspect`].
    pub(super) fn crash(&self, retry_at: Timestamp) -> Result<Self, Refused> {
        let mut next = self.end(self.epoch)?;
        next.crashes = self.crashes + 1;
        let message = format!("the process died during the run, {} in a row", next.crashes);
        next.fault = Some(Fault {
            class: Class::Crashed,
            message,
        });
        if self.stop_requested() && !self.owes_a_run() {
            next.enter(State::Stopped);
            return Ok(next);
        }
        next.give_attempt_back();
        if next.crashes == 1 {
            next.enter(State::Ready);
        } else {
            next.wait_until(retry_at);
        }
        Ok(next)
    }

    /// Whether a further crash of this run is the `max_crashes`th in a row or beyond.
    pub(super) fn is_suspect(&self, max_crashes: u32) -> bool {
        self.crashes + 1 >= i64::from(max_crashes)
    }

    /// A person stops the job: at once while it waits; a run is asked to end.
    pub(super) fn stop(&self) -> Result<Self, Refused> {
        let mut next = self.next();
        next.stop_generation = self.generation;
        match self.state {
            State::Ready | State::Retry => next.enter(State::Stopped),
            State::Running => {}
            State::Done | State::Failed | State::Stopped => return Err(Refused),
        }
        Ok(next)
    }

    /// A person wants the job to run again, or now.
    pub(super) fn retry(&self, now: Timestamp) -> Result<Self, Refused> {
        if matches!(self.state, State::Running | State::Done) {
            return Err(Refused);
        }
        let mut next = self.next();
        next.enter(State::Ready);
        next.run_at = now;
        next.attempts = 0;
        next.crashes = 0;
        // A retry is a wish of its own, beyond those that were stopped.
        next.generation += 1;
        Ok(next)
    }

    pub(super) fn stop_requested(&self) -> bool {
        self.state == State::Running && self.stop_generation >= self.run_generation
    }

    /// Whether a wish came that neither the run knows nor a person stopped.
    fn owes_a_run(&self) -> bool {
        self.generation > self.run_generation.max(self.stop_generation)
    }

    fn next(&self) -> Self {
        Self {
            rev: self.rev + 1,
            ..self.clone()
        }
    }

    /// The row after the run `epoch`, which must still be the running one; the state is to be set.
    fn end(&self, epoch: i64) -> Result<Self, Refused> {
        if self.state != State::Running || self.epoch != epoch {
            return Err(Refused);
        }
        let mut next = self.next();
        next.crashes = 0;
        Ok(next)
    }

    fn enter(&mut self, state: State) {
        debug_assert!(
            self.state == state || self.state.may_become(state),
            "no transition leads from {} to {state}",
            self.state
        );
        self.state = state;
    }

    fn end_stopped(&mut self, owes_a_run: bool) {
        if owes_a_run {
            self.begin_anew();
        } else {
            self.enter(State::Stopped);
        }
    }

    /// Waits for the run that a newer wish is owed; `run_at` is that wish's.
    fn begin_anew(&mut self) {
        self.enter(State::Ready);
        self.attempts = 0;
    }

    fn wait_until(&mut self, retry_at: Timestamp) {
        self.enter(State::Retry);
        self.run_at = retry_at;
    }
}

impl Fault {
    fn of(failure: &Failure) -> Self {
        Self {
            class: failure.class(),
            message: failure.written(),
        }
    }
}
