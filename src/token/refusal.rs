use std::time::Duration;

use http::{
    HeaderValue, Response,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;

use crate::{
    auth,
    oci::{ErrorCode, OneError},
    server::TooManyRequests,
    wire::Body,
};

/// Why no token is given. The body is OAuth2's and the registry's at once, for docker prints
/// the message of the registry's only.
#[derive(Debug)]
pub(super) struct Refusal {
    code: ErrorCode,
    oauth: OauthError,
    message: String,
    retry_after: Option<Duration>,
}

/// The `error` of RFC 6749 §5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OauthError {
    InvalidRequest,
    InvalidGrant,
    UnsupportedGrantType,
    /// Of RFC 6749 §4.1.2.1; also for what is too much at once.
    TemporarilyUnavailable,
    /// Of RFC 6749 §4.1.2.1.
    ServerError,
}

#[derive(Serialize)]
struct RefusalBody<'a> {
    error: OauthError,
    error_description: &'a str,
    errors: [OneError; 1],
}

impl Refusal {
    /// 401: the client's user sees the message and enters the password again.
    pub(super) fn unauthorized(message: impl Into<String>) -> Self {
        Self {
            code: ErrorCode::Unauthorized,
            ..Self::oauth(OauthError::InvalidGrant, message)
        }
    }

    /// 400.
    pub(super) fn oauth(oauth: OauthError, message: impl Into<String>) -> Self {
        Self {
            code: ErrorCode::BadRequest,
            oauth,
            message: message.into(),
            retry_after: None,
        }
    }

    pub(super) fn not_found() -> Self {
        Self {
            code: ErrorCode::NotFound,
            ..Self::oauth(OauthError::InvalidRequest, "there is no such endpoint")
        }
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "a token is asked for with GET or POST";
        Self {
            code: ErrorCode::MethodNotAllowed,
            ..Self::oauth(OauthError::InvalidRequest, message)
        }
    }

    fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            code: ErrorCode::Unavailable,
            retry_after: Some(retry_after),
            ..Self::oauth(OauthError::TemporarilyUnavailable, message)
        }
    }

    pub(super) fn internal() -> Self {
        Self {
            code: ErrorCode::Unknown,
            ..Self::oauth(OauthError::ServerError, "the token could not be made")
        }
    }

    pub(super) fn is_ours(&self) -> bool {
        self.code.status().is_server_error()
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let body = RefusalBody {
            error: self.oauth,
            error_description: &self.message,
            errors: [OneError {
                code: self.code.as_str().into(),
                message: self.message.clone(),
            }],
        };
        let mut response = Response::new(Body::from(serde_json::to_vec(&body).unwrap_or_default()));
        *response.status_mut() = self.code.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, after.as_secs().max(1).into());
        }
        match self.code {
            ErrorCode::Unauthorized => {
                let challenge = HeaderValue::from_static("Basic realm=\"Tidegate\"");
                headers.insert(WWW_AUTHENTICATE, challenge);
            }
            ErrorCode::MethodNotAllowed => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, POST"));
            }
            _ => {}
        }
        response
    }
}

impl From<auth::Error> for Refusal {
    fn from(error: auth::Error) -> Self {
        match (&error, error.kind()) {
            (auth::Error::TooManyAttempts { retry_after }, _) => Self {
                code: ErrorCode::TooManyRequests,
                retry_after: Some(*retry_after),
                ..Self::oauth(OauthError::TemporarilyUnavailable, error.to_string())
            },
            (_, auth::Kind::Unauthorized) => Self::unauthorized(error.to_string()),
            (auth::Error::Busy, _) => Self::unavailable(error.to_string(), RETRY_SOON),
            (_, auth::Kind::Unavailable) => {
                tracing::warn!(%error, "the account database did not answer");
                Self::unavailable("accounts cannot be read at the moment", RETRY_LATER)
            }
            _ => {
                tracing::error!(%error, "a token could not be decided");
                Self::internal()
            }
        }
    }
}

impl From<TooManyRequests> for Refusal {
    fn from(error: TooManyRequests) -> Self {
        Self {
            code: ErrorCode::TooManyRequests,
            retry_after: Some(error.retry_after),
            ..Self::oauth(OauthError::TemporarilyUnavailable, error.to_string())
        }
    }
}

impl From<super::Error> for Refusal {
    fn from(error: super::Error) -> Self {
        tracing::error!(%error, "a token could not be made");
        Self::internal()
    }
}

/// A queue of logins empties in about a second.
const RETRY_SOON: Duration = Duration::from_secs(1);
/// A database that is away comes back in some seconds.
const RETRY_LATER: Duration = Duration::from_secs(5);
