use super::{JobId, State};
use crate::store;

/// Why a job could not be enqueued, changed or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("job {0} does not exist")]
    NotFound(JobId),
    /// The job's state forbids the verb; nothing was changed.
    #[error("job {id} is {state} and cannot be {verb}")]
    Refused {
        id: JobId,
        state: State,
        verb: &'static str,
    },
    /// A newer row of the same kind and key is live and does what this one would.
    #[error("job {0} cannot run again: a newer job for the same key is waiting or running")]
    Superseded(JobId),
    #[error("jobs row {id}: column {column} holds `{value}`, which this Tidegate does not know")]
    Damaged {
        id: JobId,
        column: &'static str,
        value: String,
    },
    /// The launch asks for what this gateway does not do; the text says what.
    #[error("{0}")]
    Unlaunchable(String),
    /// A job that was launched as unique with the same parameters is not over.
    #[error("job {0} of the same kind and parameters is waiting or running")]
    NotUnique(JobId),
    /// Of this kind one job at a time is live.
    #[error("job {0} is waiting or running; wait for its end, or stop it")]
    InProgress(JobId),
    #[error("too many clients follow logs (jobs.log_followers)")]
    TooManyFollowers,
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// Whether the same call may work a moment later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::TooManyFollowers => true,
            Self::Store(error) => error.retryable(),
            _ => false,
        }
    }
}
