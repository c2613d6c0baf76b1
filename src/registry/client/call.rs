use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{self, AsHeaderName},
};
use serde::de::DeserializeOwned;
use tower::ServiceExt;

use super::Client;
use crate::{
    oci::{Digest, RepositoryName, Route},
    registry::{Error, Refusal, credential::Access},
    wire::{self, Body, CollectError},
};

/// A request in the making.
pub(super) struct Call {
    request: Request<Body>,
    /// Set when the target is not a URI; told when the call is sent.
    malformed_target: Option<String>,
}

/// The head of an answer with its body still to be read.
pub(super) struct Answer {
    /// Method and path, for errors.
    pub(super) operation: String,
    pub(super) response: Response<Body>,
}

impl Call {
    pub(super) fn new(method: Method, target: &str) -> Self {
        let parsed = target.parse::<Uri>().ok();
        let malformed_target = parsed.is_none().then(|| target.to_owned());
        let mut request = Request::new(Body::Empty);
        *request.method_mut() = method;
        *request.uri_mut() = parsed.unwrap_or_default();
        Self {
            request,
            malformed_target,
        }
    }

    pub(super) fn of(method: Method, route: &Route) -> Self {
        Self::new(method, &route.path_and_query())
    }

    pub(super) fn get(route: &Route) -> Self {
        Self::of(Method::GET, route)
    }

    pub(super) fn head(route: &Route) -> Self {
        Self::of(Method::HEAD, route)
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.request.headers_mut().insert(name, value);
        self
    }

    /// A body of exactly `size_bytes`.
    pub(super) fn body(mut self, size_bytes: u64, body: Body) -> Self {
        *self.request.body_mut() = body;
        self.header(header::CONTENT_LENGTH, size_bytes.into())
    }

    /// A body of a size that nobody knows yet.
    pub(super) fn stream(mut self, body: Body) -> Self {
        *self.request.body_mut() = body;
        self
    }

    /// Says that the target is an upload to `name`, whatever its path looks like.
    pub(super) fn uploads_to(mut self, name: &RepositoryName) -> Self {
        self.request.extensions_mut().insert(Access::push(name));
        self
    }
}

impl Client {
    pub(super) async fn send(&self, call: Call) -> Result<Answer, Error> {
        let mut request = call.request;
        if let Some(target) = call.malformed_target {
            let operation = request.method().to_string();
            return Err(Error::malformed(
                &operation,
                format!("`{target}` is not a URI"),
            ));
        }
        for (name, value) in &self.headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        let operation = operation(&request);
        match self.exchange.clone().oneshot(request).await {
            Ok(response) => Ok(Answer {
                operation,
                response,
            }),
            Err(source) => Err(Error::Exchange { operation, source }),
        }
    }

    /// Sends a GET or HEAD, and follows where the registry sends it, its storage as a rule.
    pub(super) async fn follow(&self, call: Call) -> Result<Answer, Error> {
        let (method, headers) = (
            call.request.method().clone(),
            call.request.headers().clone(),
        );
        let mut answer = self.send(call).await?;
        for _ in 0..MAX_REDIRECTS {
            if !is_redirect(answer.status()) {
                return Ok(answer);
            }
            let location = answer.location()?;
            let mut next = Call::new(method.clone(), &location);
            *next.request.headers_mut() = headers.clone();
            answer = self.send(next).await?;
        }
        Err(Error::malformed(&answer.operation, "too many redirects"))
    }
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Passes an answer of one of these statuses; reads the reason of any other.
    pub(super) async fn expect(self, statuses: &[StatusCode]) -> Result<Self, Error> {
        if statuses.contains(&self.status()) {
            return Ok(self);
        }
        let (head, body) = self.response.into_parts();
        let body = wire::collect(body, MAX_ERROR_BYTES)
            .await
            .unwrap_or_default();
        let refusal = Refusal::new(&self.operation, head.status, &head.headers, &body);
        Err(Box::new(refusal).into())
    }

    pub(super) fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// `Content-Length`, which an answer to HEAD has though its body is empty.
    pub(super) fn length(&self) -> Option<u64> {
        self.header(header::CONTENT_LENGTH)?.parse().ok()
    }

    /// `Docker-Content-Digest`, if it is there and readable.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.header(CONTENT_DIGEST)?.parse().ok()
    }

    /// The media type without parameters; empty when the answer names none.
    pub(super) fn media_type(&self) -> String {
        let value = self.header(header::CONTENT_TYPE).unwrap_or_default();
        value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    }

    /// Where the answer leads: path and query here, or an absolute URL.
    pub(super) fn location(&self) -> Result<String, Error> {
        let location = self.header(header::LOCATION).unwrap_or_default();
        if location.is_empty() {
            return Err(Error::malformed(
                &self.operation,
                "the answer has no Location",
            ));
        }
        Ok(location.to_owned())
    }

    /// The whole body, and the operation for later errors.
    pub(super) async fn bytes(self, limit: usize) -> Result<(String, Bytes), Error> {
        let operation = self.operation;
        match wire::collect(self.response.into_body(), limit).await {
            Ok(bytes) => Ok((operation, bytes)),
            Err(CollectError::Read(source)) => Err(Error::Body { operation, source }),
            Err(too_large @ CollectError::TooLarge { .. }) => {
                Err(Error::malformed(&operation, too_large.to_string()))
            }
        }
    }

    pub(super) async fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let (operation, bytes) = self.bytes(MAX_LISTING_BYTES).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Error::malformed(
                &operation,
                format!("the answer is not as specified: {error}"),
            )
        })
    }
}

/// Method and path, without the query, which may hold an upload session's state.
fn operation(request: &Request<Body>) -> String {
    let uri = request.uri();
    match uri.authority() {
        Some(authority) => format!("{} {authority}{}", request.method(), uri.path()),
        None => format!("{} {}", request.method(), uri.path()),
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Registries lead to a storage in one or two steps.
const MAX_REDIRECTS: u32 = 5;
/// Error bodies are some hundred bytes; a proxy's error page a few KiB.
const MAX_ERROR_BYTES: usize = 64 * 1024;
/// A page of 10,000 names of 255 bytes is 2.6 MiB.
const MAX_LISTING_BYTES: usize = 8 * 1024 * 1024;
