//! Errors as Harbor writes them: `{"errors":[{"code","message"}]}`.

use std::{sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{store, wire::BoxError};

/// Why a request was refused, each with the status and the code Harbor gives it
/// (`harbor.md` 7.1). The message is for the caller; what is inside stays in the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    BadRequest(String),
    /// Nobody is signed in, or the credentials are wrong.
    #[error("{0}")]
    Unauthorized(String),
    #[error("{0}")]
    Forbidden(String),
    /// Harbor's sentence.
    #[error("The system is in read only mode. Any modification is prohibited.")]
    ReadOnly,
    #[error("{0}")]
    NotFound(String),
    #[error("method {0} is not allowed here")]
    MethodNotAllowed(http::Method),
    #[error("{0}")]
    Conflict(String),
    /// Something else must change first.
    #[error("{0}")]
    Precondition(String),
    #[error("the request body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("{0}")]
    UnsupportedMediaType(String),
    /// A parameter is outside what the contract allows.
    #[error("{0}")]
    Unprocessable(String),
    #[error("{message}")]
    TooManyRequests {
        message: String,
        retry_after: Duration,
    },
    /// A part this request needs is away for the moment.
    #[error("{0}")]
    Unavailable(BoxError),
    #[error("{0}")]
    Internal(BoxError),
}

impl Error {
    pub(super) fn internal(source: impl Into<BoxError>) -> Self {
        Self::Internal(source.into())
    }

    /// Nobody is signed in and this needs somebody.
    pub(super) fn login_needed() -> Self {
        Self::Unauthorized("unauthorized".to_owned())
    }

    pub(super) fn not_found(kind: &str, which: impl std::fmt::Display) -> Self {
        Self::NotFound(format!("{kind} {which} not found"))
    }

    /// The code in the body and the status of the answer.
    fn code(&self) -> (&'static str, StatusCode) {
        match self {
            Self::BadRequest(_) => ("BAD_REQUEST", StatusCode::BAD_REQUEST),
            Self::Unauthorized(_) => ("UNAUTHORIZED", StatusCode::UNAUTHORIZED),
            Self::Forbidden(_) => ("FORBIDDEN", StatusCode::FORBIDDEN),
            Self::ReadOnly => ("DENIED", StatusCode::FORBIDDEN),
            Self::NotFound(_) => ("NOT_FOUND", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed(_) => ("METHOD_NOT_ALLOWED", StatusCode::METHOD_NOT_ALLOWED),
            Self::Conflict(_) => ("CONFLICT", StatusCode::CONFLICT),
            Self::Precondition(_) => ("PRECONDITION", StatusCode::PRECONDITION_FAILED),
            Self::TooLarge { .. } => ("REQUEST_ENTITY_TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE),
            Self::UnsupportedMediaType(_) => {
                ("UNSUPPORTED_MEDIA_TYPE", StatusCode::UNSUPPORTED_MEDIA_TYPE)
            }
            Self::Unprocessable(_) => ("UNPROCESSABLE_ENTITY", StatusCode::UNPROCESSABLE_ENTITY),
            Self::TooManyRequests { .. } => ("TOO_MANY_REQUEST", StatusCode::TOO_MANY_REQUESTS),
            Self::Unavailable(_) => ("UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE),
            Self::Internal(_) => ("UNKNOWN", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    fn message_for_caller(&self) -> String {
        match self {
            Self::Internal(_) => "internal server error".to_owned(),
            Self::Unavailable(_) => "service unavailable, try again in a moment".to_owned(),
            other => other.to_string(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyRequests { retry_after, .. } => Some(*retry_after),
            Self::Unavailable(_) => Some(RETRY_WHEN_AWAY),
            _ => None,
        }
    }
}

/// What is inside a 5xx answer; travels as an extension of the response to where the request
/// id is known and it is logged.
#[derive(Debug, Clone)]
pub(super) struct Fault(pub(super) Arc<BoxError>);

/// The sentence in an error's body; travels as an extension of the response to where another
/// API gives it another form.
#[derive(Debug, Clone)]
pub(super) struct Told(pub(super) String);

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (code, status) = self.code();
        let message = self.message_for_caller();
        let told = Told(message.clone());
        let body = Errors {
            errors: [Entry { code, message }],
        };
        let mut response = (status, axum::Json(body)).into_response();
        response.extensions_mut().insert(told);
        if let Some(delay) = self.retry_after() {
            let seconds = HeaderValue::from(delay.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if let Self::Internal(source) | Self::Unavailable(source) = self {
            response.extensions_mut().insert(Fault(Arc::new(source)));
        }
        response
    }
}

impl From<store::ListingError> for Error {
    fn from(error: store::ListingError) -> Self {
        Self::BadRequest(error.to_string())
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Listing(error) => error.into(),
            error @ store::Error::Nul => Self::BadRequest(error.to_string()),
            error if error.retryable() => Self::Unavailable(error.into()),
            error => Self::internal(error),
        }
    }
}

/// The body of a refusal.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Errors {
    errors: [Entry; 1],
}

/// Why a request was refused.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
struct Entry {
    code: &'static str,
    message: String,
}

/// Databases that fail over or restart are back within seconds.
const RETRY_WHEN_AWAY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    async fn rendered(error: Error) -> (StatusCode, serde_json::Value) {
        let response = error.into_response();
        let status = response.status();
        let body = crate::wire::collect(response.into_body(), 10_000)
            .await
            .unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn errors_have_harbors_shape() {
        let (status, body) = rendered(Error::Conflict("name taken".into())).await;
        assert_eq!(status, 409);
        assert_eq!(
            body,
            serde_json::json!({"errors": [{"code": "CONFLICT", "message": "name taken"}]})
        );
    }

    #[tokio::test]
    async fn a_fault_shows_nothing_inner() {
        for error in [
            Error::internal("secret table is gone"),
            Error::Unavailable("secret host is gone".into()),
        ] {
            let (status, body) = rendered(error).await;
            assert!(status.is_server_error());
            assert!(!body.to_string().contains("secret"), "{body}");
        }
    }
}
