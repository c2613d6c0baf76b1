use super::{ExecutionId, PolicyId, TaskId};
use crate::{auth, jobs, store};

/// What can go wrong in retention's administration; runs report `jobs::Failure`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("retention policy {0} does not exist")]
    NoPolicy(PolicyId),
    #[error("retention execution {0} does not exist")]
    NoExecution(ExecutionId),
    #[error("retention task {0} does not exist")]
    NoTask(TaskId),
    /// The project has a policy already.
    #[error("project {0} has a retention policy already")]
    Duplicate(auth::ProjectId),
    #[error("execution {0} of the retention policy is in progress: wait for its end or stop it")]
    InProgress(ExecutionId),
    /// The request is malformed; the text says what is wrong.
    #[error("{0}")]
    Invalid(String),
    /// A row holds what this program cannot read.
    #[error("retention_policies, row {id}: {problem}")]
    Row { id: PolicyId, problem: String },
    #[error(transparent)]
    Auth(#[from] auth::Error),
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
            Self::Duplicate(_) | Self::InProgress(_) => Kind::Conflict,
            Self::Invalid(_) | Self::Store(store::Error::Listing(_) | store::Error::Nul) => {
                Kind::Invalid
            }
            Self::Auth(error) if error.kind() == auth::Kind::NotFound => Kind::NotFound,
            Self::Store(error) if error.retryable() => Kind::Unavailable,
            Self::Jobs(error) if error.retryable() => Kind::Unavailable,
            _ => Kind::Internal,
        }
    }

    pub fn retryable(&self) -> bool {
        self.kind() == Kind::Unavailable
    }
}
