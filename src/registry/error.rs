use std::{error::Error as StdError, fmt, io, time::Duration};

use http::{HeaderMap, StatusCode, header};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use crate::{
    oci::{Digest, ErrorBody},
    wire::{BoxError, ExchangeError},
};

/// Why an operation on a registry failed. `operation` is method and path.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("`{url}` is not the address of a registry: {reason}")]
    InvalidUrl { url: String, reason: &'static str },
    /// The CA certificate cannot be used.
    #[error("the trust settings of {address} are unusable: {reason}")]
    Trust { address: String, reason: String },
    #[error("{operation}: {source}")]
    Exchange {
        operation: String,
        source: ExchangeError,
    },
    /// The registry answered, and the answer is no.
    #[error(transparent)]
    Refused(#[from] Box<Refusal>),
    #[error("{operation}: the answer broke off: {source}")]
    Body { operation: String, source: BoxError },
    #[error("{operation}: the content has digest {actual}, expected {expected}")]
    Corrupt {
        operation: String,
        expected: Digest,
        actual: Digest,
    },
    /// The registry has taken something else than was sent.
    #[error("{operation}: the registry says that it has stored {actual}, not {expected}")]
    Stored {
        operation: String,
        expected: Digest,
        actual: Digest,
    },
    /// The answer is not what the protocol says.
    #[error("{operation}: {reason}")]
    Malformed { operation: String, reason: String },
}

/// An error answer of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub operation: String,
    pub status: StatusCode,
    /// The first error's code, as the registry wrote it; empty when it wrote none.
    pub code: String,
    /// What the registry says, at most 300 characters.
    pub message: String,
    /// When the registry wants to be asked again.
    pub retry_after: Option<Duration>,
}

/// What a caller may do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    NotFound,
    /// The credentials are missing or wrong.
    Unauthorized,
    /// The credentials are good, but do not allow this.
    Denied,
    TooManyRequests {
        retry_after: Option<Duration>,
    },
    /// No connection: nothing was sent.
    Unreachable,
    /// We send nothing to where the registry leads: it may lead elsewhere the next time, but is
    /// not away.
    Withheld,
    /// Broke off: may or may not have taken effect.
    Interrupted,
    /// The registry cannot do this at all.
    Unsupported,
    /// The request or the answer is wrong; asking again changes nothing.
    Invalid,
    /// The registry has trouble of its own.
    Unavailable {
        retry_after: Option<Duration>,
    },
    /// Our own limit of requests at once was reached.
    Overloaded,
    /// The bytes are not those of the digest.
    Corrupt,
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::InvalidUrl { .. } | Self::Trust { .. } | Self::Malformed { .. } => Kind::Invalid,
            Self::Exchange { source, .. } => match source {
                ExchangeError::Unreachable { .. } => Kind::Unreachable,
                ExchangeError::Withheld { .. } => Kind::Withheld,
                ExchangeError::Interrupted { .. } => Kind::Interrupted,
                ExchangeError::Overloaded { .. } => Kind::Overloaded,
            },
            Self::Refused(refusal) => refusal.kind(),
            Self::Body { .. } => Kind::Interrupted,
            Self::Corrupt { .. } | Self::Stored { .. } => Kind::Corrupt,
        }
    }

    /// Whether a rule of the project forbids it, or what stands there now (412).
    pub fn is_precondition(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.status == StatusCode::PRECONDITION_FAILED)
    }

    /// Whether the same operation may work later without anybody changing anything.
    pub fn retryable(&self) -> bool {
        match self.kind() {
            Kind::TooManyRequests { .. }
            | Kind::Unreachable
            | Kind::Withheld
            | Kind::Interrupted
            | Kind::Unavailable { .. }
            | Kind::Overloaded
            | Kind::Corrupt => true,
            Kind::NotFound
            | Kind::Unauthorized
            | Kind::Denied
            | Kind::Unsupported
            | Kind::Invalid => false,
        }
    }

    /// When the registry wants to be asked again, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    /// The error on one line, with those of its causes that its own words leave out.
    pub fn explained(&self) -> String {
        on_one_line(&words(self)).collect()
    }

    pub(super) fn malformed(operation: &str, reason: impl Into<String>) -> Self {
        Self::Malformed {
            operation: operation.to_owned(),
            reason: reason.into(),
        }
    }
}

impl Refusal {
    pub(super) fn new(
        operation: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        let (code, message) = read_message(body);
        Self {
            operation: operation.to_owned(),
            status,
            code,
            message,
            retry_after: retry_after(headers),
        }
    }

    fn kind(&self) -> Kind {
        let retry_after = self.retry_after;
        match (self.status.as_u16(), self.code.as_str()) {
            (429, _) | (_, "TOOMANYREQUESTS") => Kind::TooManyRequests { retry_after },
            (401, _) => Kind::Unauthorized,
            (405 | 501, _) | (400, "UNSUPPORTED") => Kind::Unsupported,
            (403, _) => Kind::Denied,
            (404 | 410, _) => Kind::NotFound,
            (408 | 500..=599, _) => Kind::Unavailable { retry_after },
            _ => Kind::Invalid,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} was answered {}",
            self.operation,
            self.status.as_u16()
        )?;
        if self.status.is_success() {
            f.write_str(", which no registry answers to it; what is at this address?")?;
        } else if self.status.is_redirection() {
            f.write_str(", a redirect, which is not followed with what is written")?;
        }
        for text in [&self.code, &self.message] {
            if !text.is_empty() {
                write!(f, ": {text}")?;
            }
        }
        Ok(())
    }
}

impl StdError for Refusal {}

/// What the error says, with those of its causes that its own words leave out.
pub(super) fn words(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The error and its causes, those inside `io::Error` included.
pub(super) fn causes<'e>(error: &'e (dyn StdError + 'static)) -> Vec<&'e (dyn StdError + 'static)> {
    let mut chain = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        chain.push(cause);
        let inner = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .map(|inner| inner as &(dyn StdError + 'static));
        next = inner.or_else(|| cause.source());
    }
    chain
}

/// Code and message of an error body: the specification's JSON, else its text.
fn read_message(body: &[u8]) -> (String, String) {
    if let Ok(ErrorBody { errors }) = serde_json::from_slice(body)
        && let Some(first) = errors.into_iter().next()
    {
        return (printable(&first.code), printable(&first.message));
    }
    let text = String::from_utf8_lossy(body);
    let is_markup = text.trim_start().starts_with(['<', '{', '[']);
    let text = if is_markup { "" } else { text.trim() };
    (String::new(), printable(text))
}

/// Foreign text for our logs: one line, bounded.
fn printable(text: &str) -> String {
    on_one_line(text).take(MAX_MESSAGE_CHARS).collect()
}

fn on_one_line(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(|c| if c.is_control() { ' ' } else { c })
}

/// `Retry-After` in seconds, or as a date, which counts from the answer's own `Date` so that the
/// clocks need not agree (RFC 9110 §10.2.3).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = http_date(headers.get(header::DATE)?.to_str().ok()?)?;
    let then = http_date(text)?;
    Some(Duration::try_from(then - now).unwrap_or_default())
}

/// An IMF-fixdate (RFC 9110 §5.6.7); the obsolete forms are not read.
fn http_date(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text.trim(), &Rfc2822).ok()
}

/// Enough for a sentence; error bodies may hold whole pages.
const MAX_MESSAGE_CHARS: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Error {
        let status = StatusCode::from_u16(status).unwrap();
        Box::new(Refusal::new(
            "GET /v2/",
            status,
            &HeaderMap::new(),
            body.as_bytes(),
        ))
        .into()
    }

    #[test]
    fn answers_have_the_kind_that_tells_what_to_do() {
        let json = |code: &str| format!(r#"{{"errors":[{{"code":"{code}","message":"m"}}]}}"#);
        for (status, body, kind, retryable) in [
            (401, String::new(), Kind::Unauthorized, false),
            (403, json("DENIED"), Kind::Denied, false),
            (
                403,
                json("TOOMANYREQUESTS"),
                Kind::TooManyRequests { retry_after: None },
                true,
            ),
            (404, "404 page not found".into(), Kind::NotFound, false),
            (400, json("UNSUPPORTED"), Kind::Unsupported, false),
            (405, String::new(), Kind::Unsupported, false),
            (400, json("MANIFEST_INVALID"), Kind::Invalid, false),
            (416, String::new(), Kind::Invalid, false),
            (
                500,
                json("UNKNOWN"),
                Kind::Unavailable { retry_after: None },
                true,
            ),
            (
                502,
                "<html>".into(),
                Kind::Unavailable { retry_after: None },
                true,
            ),
        ] {
            let error = refusal(status, &body);
            assert_eq!(
                (error.kind(), error.retryable()),
                (kind, retryable),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn messages_come_from_the_body_and_stay_on_one_line() {
        let error = refusal(400, r#"{"errors":[{"code":"X","message":"a\nb"}]}"#);
        assert_eq!(error.to_string(), "GET /v2/ was answered 400: X: a b");
        assert_eq!(
            refusal(404, "404 page not found\n").to_string(),
            "GET /v2/ was answered 404: 404 page not found"
        );
        assert_eq!(
            refusal(502, "<html>x").to_string(),
            "GET /v2/ was answered 502"
        );
        assert!(refusal(500, &"x".repeat(9999)).to_string().len() < 400);
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::DATE,
                "Sat, 21 Nov 2026 10:00:00 GMT".parse().unwrap(),
            );
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers).map(|d| d.as_secs())
        };
        assert_eq!(read("120"), Some(120));
        assert_eq!(read("Sat, 21 Nov 2026 10:01:30 GMT"), Some(90));
        assert_eq!(read("Sat, 21 Nov 2026 09:00:00 GMT"), Some(0));
        assert_eq!(read("soon"), None);
    }
}
