use std::time::Duration;

use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};

use crate::{
    auth,
    oci::{ErrorCode, RouteError},
    quota,
    server::TooManyRequests,
    wire::{Body, ExchangeError},
};

/// An answer that the gateway gives itself instead of the registry behind: the specification's
/// error JSON, whose message the client's user reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: ErrorCode,
    message: String,
    retry_after: Option<Duration>,
    allow: Option<&'static str>,
    challenge: Option<HeaderValue>,
}

impl Refusal {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: None,
            allow: None,
            challenge: None,
        }
    }

    /// 503 with `Retry-After`: it will work again, without the client changing anything.
    pub fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(ErrorCode::Unavailable, message)
        }
    }

    /// Says when to come back, if anybody knows.
    #[must_use]
    pub(super) fn retrying_after(mut self, delay: Option<Duration>) -> Self {
        self.retry_after = delay.or(self.retry_after);
        self
    }

    #[must_use]
    pub(super) fn with_challenge(mut self, challenge: HeaderValue) -> Self {
        self.challenge = Some(challenge);
        self
    }

    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let status = self.code.status();
        let mut response = Response::new(Body::from(self.code.body(&self.message)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let retry_after = self
            .retry_after
            .or_else(|| is_temporary(status).then_some(RETRY_LATER));
        if let Some(after) = retry_after {
            headers.insert(RETRY_AFTER, after.as_secs().max(1).into());
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        headers.extend(self.challenge.map(|value| (WWW_AUTHENTICATE, value)));
        response
    }
}

/// Whether the request may succeed later as it is; such an answer always says when to try.
pub(super) fn is_temporary(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

impl From<RouteError> for Refusal {
    fn from(error: RouteError) -> Self {
        Self {
            allow: error.allow,
            ..Self::new(error.code, error.message)
        }
    }
}

/// Failures of the account database; wrong passwords are answered with a challenge instead.
impl From<auth::Error> for Refusal {
    fn from(error: auth::Error) -> Self {
        match &error {
            auth::Error::TooManyAttempts { retry_after } => Self {
                retry_after: Some(*retry_after),
                ..Self::new(ErrorCode::TooManyRequests, error.to_string())
            },
            auth::Error::Busy => Self::unavailable(error.to_string(), RETRY_SOON),
            other => match other.kind() {
                auth::Kind::Unauthorized => Self::new(ErrorCode::Unauthorized, error.to_string()),
                auth::Kind::Unavailable => {
                    tracing::warn!(%error, "the account database did not answer");
                    Self::unavailable("accounts cannot be read at the moment", RETRY_LATER)
                }
                _ => {
                    tracing::error!(%error, "an account could not be read");
                    Self::new(ErrorCode::Unknown, "the request could not be decided")
                }
            },
        }
    }
}

impl From<TooManyRequests> for Refusal {
    fn from(error: TooManyRequests) -> Self {
        Self {
            retry_after: Some(error.retry_after),
            ..Self::new(ErrorCode::TooManyRequests, error.to_string())
        }
    }
}

/// Of an upload or a manifest that cannot be reserved.
impl From<&quota::Error> for Refusal {
    fn from(error: &quota::Error) -> Self {
        match error.kind() {
            quota::Kind::Exceeded => Self::new(ErrorCode::Denied, error.to_string()),
            quota::Kind::Unavailable => {
                tracing::warn!(%error, "a push cannot be held against its project's limit");
                Self::unavailable(error.to_string(), RETRY_LATER)
            }
            _ => {
                tracing::error!(%error, "the limit of a project could not be checked");
                Self::new(ErrorCode::Unknown, "the request could not be decided")
            }
        }
    }
}

impl From<quota::Error> for Refusal {
    fn from(error: quota::Error) -> Self {
        match error {
            quota::Error::Auth(error) => error.into(),
            other => Self::from(&other),
        }
    }
}

impl From<ExchangeError> for Refusal {
    fn from(error: ExchangeError) -> Self {
        tracing::warn!(%error, "the registry behind did not answer");
        match error {
            ExchangeError::Unreachable { .. } | ExchangeError::Withheld { .. } => {
                Self::unavailable("the registry behind cannot be reached", RETRY_LATER)
            }
            ExchangeError::Overloaded { .. } => {
                Self::unavailable("the registry behind has too much to do", RETRY_SOON)
            }
            ExchangeError::Interrupted { .. } => Self {
                retry_after: Some(RETRY_SOON),
                ..Self::new(
                    ErrorCode::BadGateway,
                    "the registry behind broke off before it answered",
                )
            },
        }
    }
}

/// A queue that is full empties in about a second.
const RETRY_SOON: Duration = Duration::from_secs(1);
/// A process that is away is restarted in some seconds.
pub(super) const RETRY_LATER: Duration = Duration::from_secs(5);
