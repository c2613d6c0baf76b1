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
        let message = format!("{}: {}", self.name(), error.explained());
        match error.kind() {
            Kind::TooManyRequests { retry_after } => throttled(message, retry_after),
            Kind::Unavailable {
                retry_after: Some(retry_after),
            } => throttled(message, Some(retry_after)),
            Kind::Unreachable => Failure::target_down(message),
            Kind::Unavailable { retry_after: None }
            | Kind::Withheld
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

/// The registry is left alone as long as it wants, within reason: "at once" would be asked without
/// end, and a wait of years is a mistake that nobody would notice.
fn throttled(message: String, retry_after: Option<Duration>) -> Failure {
    let wait = retry_after.unwrap_or(PATIENCE);
    Failure::Throttled {
        message,
        retry_after: wait.clamp(SHORTEST_WAIT, LONGEST_WAIT),
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
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// Docker Hub counts pulls over six hours; it is asked a few times meanwhile.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::{jobs::Class, oci::Digest, registry::Refusal, wire::ExchangeError};

    fn refused(status: u16, code: &str, retry_after: Option<u64>) -> Error {
        Error::Refused(Box::new(Refusal {
            operation: "PUT /v2/a/manifests/v1".to_owned(),
            status: StatusCode::from_u16(status).unwrap(),
            code: code.to_owned(),
            message: "says why".to_owned(),
            retry_after: retry_after.map(Duration::from_secs),
        }))
    }

    fn exchange(source: ExchangeError) -> Error {
        let operation = "GET /v2/".to_owned();
        Error::Exchange { operation, source }
    }

    #[test]
    fn a_refusal_decides_whether_the_job_runs_again() {
        for (status, code, retry_after, class) in [
            (401, "UNAUTHORIZED", None, Class::Permanent),
            (403, "DENIED", None, Class::Permanent),
            (404, "NAME_UNKNOWN", None, Class::Permanent),
            (405, "UNSUPPORTED", None, Class::Permanent),
            (413, "DENIED", None, Class::Permanent),
            (400, "MANIFEST_INVALID", None, Class::Permanent),
            (400, "MANIFEST_BLOB_UNKNOWN", None, Class::Retryable),
            (404, "MANIFEST_UNKNOWN", None, Class::Retryable),
            (429, "", Some(7), Class::Throttled),
            (429, "", None, Class::Throttled),
            (503, "", Some(7), Class::Throttled),
            (503, "", None, Class::Retryable),
            (500, "UNKNOWN", None, Class::Retryable),
        ] {
            let failure = Side::Destination.failure(&refused(status, code, retry_after));
            assert_eq!(failure.class(), class, "{status} {code}");
            let text = failure.message();
            assert!(text.starts_with("destination: PUT /v2/a/manifests/v1 was answered"));
            assert!(text.ends_with("says why"), "{text}");
            if let (Failure::Throttled { retry_after, .. }, 7) =
                (&failure, retry_after.unwrap_or_default())
            {
                assert_eq!(*retry_after, Duration::from_secs(7));
            }
        }
        // What the source lacks does not come by asking again.
        let failure = Side::Source.failure(&refused(404, "BLOB_UNKNOWN", None));
        assert_eq!(failure.class(), Class::Permanent);
    }

    #[test]
    fn a_registry_is_left_alone_as_long_as_it_wants_within_reason() {
        for (wanted, granted) in [(0, 1), (7, 7), (u64::MAX, 3600)] {
            let failure = Side::Source.failure(&refused(429, "", Some(wanted)));
            let Failure::Throttled { retry_after, .. } = failure else {
                panic!("{failure:?}");
            };
            assert_eq!(retry_after.as_secs(), granted);
        }
    }

    #[test]
    fn the_reason_of_a_failed_connection_is_told() {
        let address = "r.example:443".to_owned();
        let source = std::io::Error::other("invalid peer certificate: UnknownIssuer");
        let source = std::io::Error::other(source);
        let error = exchange(ExchangeError::Unreachable {
            address,
            source: source.into(),
        });
        let failure = Side::Destination.failure(&error);
        let text = "destination: GET /v2/: cannot reach r.example:443: invalid peer certificate: \
                    UnknownIssuer";
        assert_eq!(failure.message(), text);
    }

    #[test]
    fn where_a_registry_may_not_lead_costs_an_attempt_and_parks_nothing() {
        let address = "storage.example:443".to_owned();
        let source = "r.example leads to storage.example, which is at 10.0.0.1".into();
        let withheld = exchange(ExchangeError::Withheld { address, source });
        let failure = Side::Source.failure(&withheld);
        assert_eq!(failure.class(), Class::Retryable);
        let text = "source: GET /v2/: nothing was sent to storage.example:443: r.example leads to \
                    storage.example, which is at 10.0.0.1";
        assert_eq!(failure.message(), text);
    }

    #[test]
    fn a_broken_line_is_tried_again_and_an_absent_registry_waited_for() {
        let (address, source) = ("r.example:443".to_owned(), "no route".into());
        let unreachable = exchange(ExchangeError::Unreachable { address, source });
        let (address, source) = ("r.example:443".to_owned(), "reset".into());
        let interrupted = exchange(ExchangeError::Interrupted { address, source });
        let operation = "PUT /v2/".to_owned();
        let corrupt = Error::Corrupt {
            operation: operation.clone(),
            expected: Digest::sha256(b"a"),
            actual: Digest::sha256(b"b"),
        };
        let reason = "no JSON".to_owned();
        let garbage = Error::Malformed { operation, reason };
        for (error, class) in [
            (unreachable, Class::TargetDown),
            (interrupted, Class::Retryable),
            (corrupt, Class::Retryable),
            (garbage, Class::Permanent),
        ] {
            let failure = Side::Destination.failure(&error);
            assert_eq!(failure.class(), class, "{error}");
        }
    }
}
