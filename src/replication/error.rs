use super::{ExecutionId, PolicyId, RegistryId, TaskId};
use crate::{inventory, jobs, registry, secret::SealError, store};

/// What can go wrong in replication's own administration; copying reports `jobs::Failure`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("registry {0} does not exist")]
    NoRegistry(RegistryId),
    #[error("replication policy {0} does not exist")]
    NoPolicy(PolicyId),
    #[error("execution {0} does not exist")]
    NoExecution(ExecutionId),
    #[error("task {0} does not exist")]
    NoTask(TaskId),
    #[error("{repository} has no {reference} here")]
    NotHere {
        repository: String,
        reference: String,
    },
    /// No policy is concerned; the text says what with.
    #[error("no enabled policy with the trigger event_based sends {0} anywhere")]
    NotMirrored(String),
    #[error("too many wait for references to arrive")]
    TooManyWait,
    /// The name is taken; the text names it.
    #[error("{0}")]
    Duplicate(String),
    /// The request is malformed; the text says what is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The request is well formed, but not now; the text says what is in the way.
    #[error("{0}")]
    Precondition(String),
    /// A mirror would bring back what was deleted here since.
    #[error("{repository}:{tag} was deleted here after it was pushed there")]
    Superseded { repository: String, tag: String },
    /// A side could not be looked at; the text says why.
    #[error("{0}")]
    Unplannable(String),
    #[error("too many changes wait to be recorded for replication")]
    Overloaded,
    /// The change could not be written down; nothing may be sent upstream (mode `required`).
    #[error("the change could not be recorded for replication: {0}")]
    Unrecorded(String),
    #[error("the stored secret of registry {id}: {source}")]
    Seal { id: RegistryId, source: SealError },
    #[error("the secret could not be sealed: {0}")]
    Unsealable(SealError),
    /// A row holds what this program cannot read.
    #[error("{table}, row {id}: {problem}")]
    Row {
        table: &'static str,
        id: i64,
        problem: String,
    },
    #[error("the change list {path}: {source}")]
    ChangeList {
        path: String,
        source: std::io::Error,
    },
    /// The database is away for so long that the file in its stead is full.
    #[error("the change list {path} is full: {source}")]
    ChangeListFull {
        path: String,
        source: std::io::Error,
    },
    /// A registry cannot be used as it is described.
    #[error(transparent)]
    Unusable(#[from] registry::Unusable),
    #[error(transparent)]
    Registry(#[from] registry::Error),
    #[error(transparent)]
    Index(#[from] inventory::Error),
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
    Precondition,
    /// The database or a queue is away or full; the same call may work a moment later.
    Unavailable,
    /// The registry that was asked could not be reached or refused.
    Registry,
    Internal,
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoRegistry(_)
            | Self::NoPolicy(_)
            | Self::NoExecution(_)
            | Self::NoTask(_)
            | Self::NotHere { .. }
            | Self::NotMirrored(_) => Kind::NotFound,
            Self::Duplicate(_) => Kind::Conflict,
            Self::Invalid(_) => Kind::Invalid,
            Self::Precondition(_) | Self::Superseded { .. } => Kind::Precondition,
            Self::Overloaded
            | Self::TooManyWait
            | Self::Unrecorded(_)
            | Self::ChangeListFull { .. } => Kind::Unavailable,
            Self::Store(error) if error.retryable() => Kind::Unavailable,
            Self::Index(error) if error.kind() == inventory::Kind::Unavailable => Kind::Unavailable,
            Self::Jobs(error) if error.retryable() => Kind::Unavailable,
            Self::Unusable(_) | Self::Registry(_) | Self::Unplannable(_) => Kind::Registry,
            _ => Kind::Internal,
        }
    }

    pub fn retryable(&self) -> bool {
        self.kind() == Kind::Unavailable
    }
}
