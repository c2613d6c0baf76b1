use super::{ExecutionId, PolicyId, TaskId};
use crate::{jobs, secret::SealError, store, tls};

/// What can go wrong in the administration of webhooks; deliveries report `jobs::Failure`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("webhook policy {0} does not exist in this project")]
    NoPolicy(PolicyId),
    #[error("execution {0} does not exist for this webhook policy")]
    NoExecution(ExecutionId),
    #[error("task {0} does not exist in this execution")]
    NoTask(TaskId),
    /// The name is taken; the text names it.
    #[error("{0}")]
    Duplicate(String),
    /// The request is malformed; the text says what is wrong.
    #[error("{0}")]
    Invalid(String),
    #[error("a stored secret of a webhook target: {0}")]
    Seal(#[from] SealError),
    /// A row holds what this program cannot read.
    #[error("{table}, row {id}: {problem}")]
    Row {
        table: &'static str,
        id: i64,
        problem: String,
    },
    #[error("the list of events {path}: {source}")]
    Outbox {
        path: String,
        source: std::io::Error,
    },
    #[error(transparent)]
    Tls(#[from] tls::Error),
    #[error(transparent)]
    Jobs(#[from] jobs::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Who is at fault, for the status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    NotFound,
    Conflict,
    Invalid,
    /// The database is away; the same call may work a moment later.
    Unavailable,
    Internal,
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoPolicy(_) | Self::NoExecution(_) | Self::NoTask(_) => Kind::NotFound,
            Self::Duplicate(_) => Kind::Conflict,
            Self::Invalid(_) => Kind::Invalid,
            Self::Store(error) if error.retryable() => Kind::Unavailable,
            Self::Jobs(error) if error.retryable() => Kind::Unavailable,
            _ => Kind::Internal,
        }
    }

    pub fn retryable(&self) -> bool {
        self.kind() == Kind::Unavailable
    }
}
