//! JSON bodies of requests.

use axum::extract::{FromRequest, Request};
use http::{HeaderValue, header};
use serde::de::DeserializeOwned;

use super::error::Error;
use crate::wire::{self, CollectError};

/// A request body parsed from JSON; refusals name the field and what is wrong with it.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Error> {
        let content_type = request.headers().get(header::CONTENT_TYPE).cloned();
        if let Some(content_type) = &content_type {
            check_content_type(content_type)?;
        }
        let bytes = match wire::collect(request.into_body(), BODY_LIMIT_BYTES).await {
            Ok(bytes) => bytes,
            Err(CollectError::TooLarge { limit }) => return Err(Error::TooLarge { limit }),
            Err(error @ CollectError::Read(_)) => return Err(Error::BadRequest(error.to_string())),
        };
        if bytes.is_empty() {
            return Err(Error::BadRequest("the request needs a JSON body".into()));
        }
        if content_type.is_none() {
            return Err(Error::UnsupportedMediaType(
                "the request body has no content type, send application/json".into(),
            ));
        }
        // Without this a list would be read as the fields of an object in their order.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(Error::BadRequest(
                "the request body must be a JSON object".into(),
            ));
        }
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Error::BadRequest(format!("the request body does not fit: {error}")))
    }
}

/// Another site can have a browser send bodies of other types, and of none, without being asked
/// first (Fetch, "CORS-safelisted request-header"). Harbor refuses both, too.
fn check_content_type(value: &HeaderValue) -> Result<(), Error> {
    let essence = value.to_str().unwrap_or_default().split(';').next();
    let essence = essence.unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        return Ok(());
    }
    Err(Error::UnsupportedMediaType(format!(
        "content type `{essence}` is not supported, send application/json"
    )))
}

/// The largest body this API takes is a policy with its filters or a robot with its
/// permissions on thousands of projects.
const BODY_LIMIT_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Named {
        name: String,
    }

    async fn parse(content_type: Option<&str>, body: impl Into<String>) -> Result<Named, Error> {
        let mut request = http::Request::builder();
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request.body(axum::body::Body::from(body.into())).unwrap();
        Json::from_request(request, &())
            .await
            .map(|Json(named)| named)
    }

    #[tokio::test]
    async fn json_is_taken_when_it_says_so() {
        for content_type in ["application/json; charset=utf-8", "Application/JSON"] {
            let named = parse(Some(content_type), r#"{"name":"a"}"#).await.unwrap();
            assert_eq!(named.name, "a");
        }
        for content_type in [
            None,
            Some(""),
            Some("text/plain"),
            Some("multipart/form-data; boundary=x"),
            Some("application/x-www-form-urlencoded"),
        ] {
            let refused = parse(content_type, r#"{"name":"a"}"#).await;
            assert!(
                matches!(refused, Err(Error::UnsupportedMediaType(_))),
                "{content_type:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_named() {
        let json = Some("application/json");
        let error = parse(json, r#"{"name":1}"#).await.unwrap_err();
        assert!(matches!(&error, Error::BadRequest(text) if text.contains("expected a string")));
        assert!(matches!(parse(None, "").await, Err(Error::BadRequest(_))));
        let large = format!(r#"{{"name":"{}"}}"#, "a".repeat(BODY_LIMIT_BYTES));
        assert!(matches!(
            parse(json, large).await,
            Err(Error::TooLarge { .. })
        ));
    }
}
