use std::{borrow::Cow, fmt};

use super::{Error, Progress, State, queries::JobRow};
use crate::clock::Timestamp;

/// The number of a job, never given twice.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct JobId(pub i64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A wish: that the job `key` of `kind` runs with `params`.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub kind: Cow<'static, str>,
    /// At most one row per kind and key is live; a further wish replaces its parameters.
    pub key: String,
    pub params: serde_json::Value,
    /// Not before this time; `None` is now.
    pub run_at: Option<Timestamp>,
    /// Whose limits and breaker the job falls under; without line breaks.
    pub target: Option<String>,
    /// Within a target, projects take turns; without line breaks.
    pub project: String,
    /// What the job will move, where that is known.
    pub size_bytes: Option<u64>,
    /// `None` is [`Config::max_attempts`](super::Config::max_attempts).
    pub max_attempts: Option<u32>,
}

impl NewJob {
    pub fn new(
        kind: impl Into<Cow<'static, str>>,
        key: impl Into<String>,
        params: serde_json::Value,
    ) -> Self {
        Self {
            kind: kind.into(),
            key: key.into(),
            params,
            run_at: None,
            target: None,
            project: String::new(),
            size_bytes: None,
            max_attempts: None,
        }
    }

    #[must_use]
    pub fn at(mut self, run_at: Timestamp) -> Self {
        self.run_at = Some(run_at);
        self
    }

    #[must_use]
    pub fn in_project(mut self, project: impl Into<String>) -> Self {
        self.project = project.into();
        self
    }

    #[must_use]
    pub fn for_target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }
}

/// What became of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    pub id: JobId,
    /// A live job took the wish in; no row was added.
    pub coalesced: bool,
}

/// A job as people see it.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: JobId,
    pub kind: String,
    pub key: String,
    pub params: serde_json::Value,
    pub target: Option<String>,
    pub state: State,
    /// A stop was asked for and the run has not ended yet.
    pub stopping: bool,
    /// Wishes taken in; more than 1 when pushes came faster than runs.
    pub generation: i64,
    /// Attempts begun for the newest wish, without those that were nobody's fault.
    pub attempts: u32,
    pub max_attempts: u32,
    /// What the latest failed run said.
    pub error: Option<String>,
    /// [`Class::as_str`](super::Class::as_str) of that failure.
    pub error_class: Option<String>,
    /// When it runs next, or was to run last.
    pub run_at: Timestamp,
    pub created: Timestamp,
    /// Begin of the latest run.
    pub started: Option<Timestamp>,
    pub finished: Option<Timestamp>,
    pub updated: Timestamp,
    /// Of the run under way, where it says how far it is; as old as a heartbeat.
    pub progress: Option<Progress>,
}

impl Job {
    /// Harbor's word: [`State::harbor`], or `Scheduled` while its time has not come.
    pub fn status(&self, now: Timestamp) -> &'static str {
        match self.state {
            State::Ready if self.run_at > now => "Scheduled",
            state => state.harbor(),
        }
    }
}

impl TryFrom<JobRow> for Job {
    type Error = Error;

    fn try_from(row: JobRow) -> Result<Self, Error> {
        let state = row.state()?;
        Ok(Self {
            params: row.params()?,
            id: JobId(row.id),
            state,
            stopping: state == State::Running && row.stop_generation >= row.run_generation,
            generation: row.generation,
            attempts: u32::try_from(row.attempts).unwrap_or(0),
            max_attempts: u32::try_from(row.max_attempts).unwrap_or(0),
            run_at: Timestamp::from_millis(row.run_at_ms),
            created: Timestamp::from_millis(row.created_ms),
            started: row.started_ms.map(Timestamp::from_millis),
            finished: row.finished_ms.map(Timestamp::from_millis),
            updated: Timestamp::from_millis(row.updated_ms),
            progress: row.progress(state),
            kind: row.kind,
            key: row.key,
            target: row.target,
            error: row.error,
            error_class: row.error_class,
        })
    }
}
