use std::time::Duration;

use crate::store;

/// Why the auth room refused or could not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unknown user or wrong password; which of the two is never told.
    #[error("the user name or password is wrong")]
    BadCredentials,
    /// The secret was right, but the robot is switched off.
    #[error("robot account {0} is disabled")]
    Disabled(String),
    /// The secret was right, but the robot's time is over.
    #[error("robot account {0} has expired")]
    Expired(String),
    /// This source failed too often; other sources are not affected.
    #[error("too many failed logins; try again in {} s", retry_after.as_secs().max(1))]
    TooManyAttempts { retry_after: Duration },
    /// More logins are waiting than `auth.max_waiting_logins` allows.
    #[error("too many logins at once; try again in a moment")]
    Busy,
    /// A value breaks a rule; the text says which and how to mend it.
    #[error("{0}")]
    Invalid(String),
    #[error("{0} already exists")]
    Conflict(String),
    #[error("{0} does not exist")]
    NotFound(String),
    /// The change is not allowed to this caller, or never.
    #[error("{0}")]
    Forbidden(String),
    /// The change must wait until something else is done first.
    #[error("{0}")]
    Precondition(String),
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A stored row or a library broke its promise.
    #[error("{0}")]
    Internal(String),
}

/// What the caller must do about an [`Error`]; also the metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 401.
    Unauthorized,
    /// 429 with `Retry-After`.
    TooManyRequests,
    /// 400.
    Invalid,
    /// 409.
    Conflict,
    /// 404.
    NotFound,
    /// 403.
    Forbidden,
    /// 412.
    Precondition,
    /// 503: the database is away or the queue is full.
    Unavailable,
    /// 500.
    Internal,
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::BadCredentials | Self::Disabled(_) | Self::Expired(_) => Kind::Unauthorized,
            Self::TooManyAttempts { .. } => Kind::TooManyRequests,
            Self::Busy => Kind::Unavailable,
            Self::Invalid(_) | Self::Store(store::Error::Listing(_) | store::Error::Nul) => {
                Kind::Invalid
            }
            Self::Conflict(_) => Kind::Conflict,
            Self::NotFound(_) => Kind::NotFound,
            Self::Forbidden(_) => Kind::Forbidden,
            Self::Precondition(_) => Kind::Precondition,
            Self::Store(error) if error.retryable() => Kind::Unavailable,
            Self::Store(_) | Self::Internal(_) => Kind::Internal,
        }
    }

    /// Whether the same call may work a moment later.
    pub fn retryable(&self) -> bool {
        matches!(self.kind(), Kind::TooManyRequests | Kind::Unavailable)
    }
}
