use serde::Serialize;

use crate::{
    clock::Timestamp,
    jobs::{
        Class, Error, JobId, Progress, State,
        lane::Lane,
        lifecycle::{Fault, Lifecycle},
        slots::Slot,
    },
    store::row,
};

row! {
    /// A row of `jobs`.
    pub(in crate::jobs) JobRow {
        id: i64, kind: String, key: String, params: String, target: Option<String>, state: String,
        generation: i64, run_generation: i64, stop_generation: i64,
        attempts: i64, max_attempts: i64, crashes: i64, run_at_ms: i64,
        lease_owner: Option<String>, lease_until_ms: Option<i64>, epoch: i64, rev: i64,
        error: Option<String>, error_class: Option<String>, progress: Option<String>,
        created_ms: i64, started_ms: Option<i64>, finished_ms: Option<i64>, updated_ms: i64,
    }
}
row! { pub(in crate::jobs) Accepted { id: i64, kind: String, key: String, generation: i64 } }
row! {
    /// The part of a claimed job that its run needs.
    pub(in crate::jobs) Claimed {
        id: i64, kind: String, key: String, params: String, attempts: i64, run_at_ms: i64,
        lane: String, epoch: i64,
    }
}
row! { pub(in crate::jobs) Beat { id: i64, epoch: i64, stopping: bool } }
row! { pub(in crate::jobs) LaneRow { lane: String, run_at_ms: i64 } }
row! {
    /// A row of `job_targets`.
    pub(in crate::jobs) ParkedRow {
        target: String, failures: i64, until_ms: i64, probing: bool, reason: String,
    }
}
row! { pub(in crate::jobs) Settled { id: i64, state: String } }
row! { pub(in crate::jobs) Depth { kind: String, state: String, jobs: i64 } }
row! { pub(in crate::jobs) LogRow { seq: i64, at_ms: i64, line: String } }

/// One wish, as `JOB_ENQUEUE` reads it.
#[derive(Debug, Clone, Serialize)]
pub(in crate::jobs) struct Wish<'a> {
    pub kind: &'a str,
    pub key: &'a str,
    pub params: String,
    pub target: Option<&'a str>,
    pub lane: Lane,
    pub max_attempts: i64,
    pub run_at_ms: i64,
}

/// How many jobs of a lane may begin, as `JOB_CLAIM` reads it.
#[derive(Debug, Serialize)]
pub(in crate::jobs) struct LaneTurn<'a> {
    pub lane: &'a str,
    pub jobs: usize,
}

/// One line of a log, as `LOG_APPEND` reads it.
#[derive(Debug, Clone, Serialize)]
pub(in crate::jobs) struct Entry {
    pub job_id: i64,
    pub epoch: i64,
    pub seq: i64,
    pub at_ms: i64,
    pub line: String,
}

/// A job after a transition, as `JOB_SAVE` reads it.
#[derive(Debug, Serialize)]
pub(in crate::jobs) struct Next<'a> {
    id: i64,
    state: &'static str,
    generation: i64,
    stop_generation: i64,
    attempts: i64,
    crashes: i64,
    run_at_ms: i64,
    rev: i64,
    error: Option<&'a str>,
    error_class: Option<&'static str>,
    finished_ms: Option<i64>,
}

impl JobRow {
    pub(in crate::jobs) fn state(&self) -> Result<State, Error> {
        self.state
            .parse()
            .map_err(|_unknown| self.damaged("state", &self.state))
    }

    /// Of a run under way; what an earlier one has left says nothing.
    pub(in crate::jobs) fn progress(&self, state: State) -> Option<Progress> {
        let text = self.progress.as_ref().filter(|_| state == State::Running)?;
        serde_json::from_str(text).ok()
    }

    /// The part of the row that decides what may happen next.
    pub(in crate::jobs) fn lifecycle(&self) -> Result<Lifecycle, Error> {
        Ok(Lifecycle {
            state: self.state()?,
            generation: self.generation,
            run_generation: self.run_generation,
            stop_generation: self.stop_generation,
            attempts: self.attempts,
            max_attempts: self.max_attempts,
            crashes: self.crashes,
            run_at: Timestamp::from_millis(self.run_at_ms),
            epoch: self.epoch,
            rev: self.rev,
            fault: self.fault()?,
        })
    }

    pub(in crate::jobs) fn params(&self) -> Result<serde_json::Value, Error> {
        params(self.id, &self.params)
    }

    fn fault(&self) -> Result<Option<Fault>, Error> {
        let (Some(message), Some(word)) = (&self.error, &self.error_class) else {
            return Ok(None);
        };
        let class = Class::parse(word).ok_or_else(|| self.damaged("error_class", word))?;
        Ok(Some(Fault {
            class,
            message: message.clone(),
        }))
    }

    pub(in crate::jobs) fn damaged(&self, column: &'static str, value: &str) -> Error {
        damaged(self.id, column, value)
    }
}

impl Claimed {
    pub(in crate::jobs) fn params(&self) -> Result<serde_json::Value, Error> {
        params(self.id, &self.params)
    }
}

impl Settled {
    pub(in crate::jobs) fn state(&self) -> Result<State, Error> {
        let state = self.state.parse();
        state.map_err(|_unknown| damaged(self.id, "state", &self.state))
    }
}

fn params(id: i64, text: &str) -> Result<serde_json::Value, Error> {
    serde_json::from_str(text).map_err(|_no_json| damaged(id, "params", text))
}

fn damaged(id: i64, column: &'static str, value: &str) -> Error {
    Error::Damaged {
        id: JobId(id),
        column,
        value: value.to_owned(),
    }
}

impl<'a> Next<'a> {
    pub(in crate::jobs) fn new(id: i64, next: &'a Lifecycle, now: Timestamp) -> Self {
        Self {
            id,
            state: next.state.as_str(),
            generation: next.generation,
            stop_generation: next.stop_generation,
            attempts: next.attempts,
            crashes: next.crashes,
            run_at_ms: next.run_at.millis(),
            rev: next.rev,
            error: next.fault.as_ref().map(|fault| fault.message.as_str()),
            error_class: next.fault.as_ref().map(|fault| fault.class.as_str()),
            finished_ms: next.state.is_final().then(|| now.millis()),
        }
    }
}

/// A run that this process has, for the heartbeat.
#[derive(Debug, Serialize)]
pub(in crate::jobs) struct Alive {
    id: JobId,
    /// JSON.
    progress: Option<String>,
}

impl Alive {
    pub(in crate::jobs) fn new(slot: &Slot) -> Self {
        let progress = slot.meter.read();
        Self {
            id: slot.id,
            progress: progress.map(|progress| super::json(&progress)),
        }
    }
}
