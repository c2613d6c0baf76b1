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
        check_content_type(request.headers().get(header::CONTENT_TYPE))?;
        let bytes = match wire::collect(request.into_body(), BODY_LIMIT_BYTES).await {
            Ok(bytes) => bytes,
            Err(CollectError::TooLarge { limit }) => return Err(Error::TooLarge { limit }),
            Err(error @ CollectError::Read(_)) => return Err(Error::BadRequest(error.to_string())),
        };
        if bytes.is_empty() {
            return Err(Error::BadRequest("the request needs a JSON body".into()));
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

/// Scripts that send no content type mean JSON; one that says something else means it.
fn check_content_type(value: Option<&HeaderValue>) -> Result<(), Error> {
    let Some(value) = value else { return Ok(()) };
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
    async fn json_is_taken_with_and_without_a_content_type() {
        for content_type in [
            None,
            Some("application/json; charset=utf-8"),
            Some("Application/JSON"),
        ] {
            let named = parse(content_type, r#"{"name":"a"}"#).await.unwrap();
            assert_eq!(named.name, "a");
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_named() {
        let error = parse(None, r#"{"name":1}"#).await.unwrap_err();
        assert!(matches!(&error, Error::BadRequest(text) if text.contains("expected a string")));
        assert!(matches!(parse(None, "").await, Err(Error::BadRequest(_))));
        let form = parse(Some("application/x-www-form-urlencoded"), "name=a").await;
        assert!(matches!(form, Err(Error::UnsupportedMediaType(_))));
        let large = format!(r#"{{"name":"{}"}}"#, "a".repeat(BODY_LIMIT_BYTES));
        assert!(matches!(
            parse(None, large).await,
            Err(Error::TooLarge { .. })
        ));
    }
}
