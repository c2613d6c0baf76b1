//! What a registry's refusal means for the job.

use std::time::Duration;

use crate::{
    jobs::Failure,
    registry::{Error, Kind},
    replication, store,
};

/// Which side of a copy a request went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::replication) enum Side {
    Source,
    Destination,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
        }
    }

    /// The job's failure for a registry's error.
    pub(in crate::replication) fn failure(self, error: &Error) -> Failure {
        let message = format!("{}: {error}", self.name());
        match error.kind() {
            Kind::TooManyRequests { retry_after } => Failure::Throttled {
                message,
                retry_after: retry_after.unwrap_or(PATIENCE),
            },
            Kind::Unavailable {
                retry_after: Some(retry_after),
            } => Failure::Throttled {
                message,
                retry_after,
            },
            Kind::Unreachable => Failure::target_down(message),
            Kind::Unavailable { retry_after: None }
            | Kind::Interrupted
            | Kind::Overloaded
            | Kind::Corrupt => Failure::retryable(message),
            Kind::Invalid | Kind::NotFound
                if self == Self::Destination && is_missing_content(error) =>
            {
                Failure::retryable(message)
            }
            Kind::NotFound
            | Kind::Unauthorized
            | Kind::Denied
            | Kind::Unsupported
            | Kind::Invalid => Failure::permanent(message),
        }
    }
}

/// A failure to find out what to do.
pub(in crate::replication) fn from_inner(error: &replication::Error) -> Failure {
    match error {
        replication::Error::NoRegistry(_)
        | replication::Error::NoPolicy(_)
        | replication::Error::Seal { .. }
        | replication::Error::Row { .. }
        | replication::Error::Invalid(_) => Failure::permanent(error.to_string()),
        _ => Failure::retryable(error.to_string()),
    }
}

/// Whether a registry refuses a manifest for want of what it refers to, which may have been
/// collected since it was seen.
pub(super) fn is_missing_content(error: &Error) -> bool {
    matches!(error, Error::Refused(refusal)
        if matches!(&*refusal.code, "MANIFEST_BLOB_UNKNOWN" | "BLOB_UNKNOWN" | "MANIFEST_UNKNOWN"))
}

/// The database could not say what is known, or not write it down.
pub(super) fn from_store(error: &store::Error) -> Failure {
    Failure::retryable(error.to_string())
}

/// How long to leave a registry alone that does not say.
const PATIENCE: Duration = Duration::from_secs(30);
