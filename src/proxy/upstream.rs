use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ACCEPT, CONTENT_LENGTH},
};
use serde::Deserialize;
use tower::ServiceExt;
use url::Url;

use super::{CacheConfig, Metrics, Refusal, cache::Cache, refusal::RETRY_LATER};
use crate::{
    oci::{Digest, ErrorCode, MANIFEST_MEDIA_TYPES, Page, Reference, RepositoryName, Route, Tag},
    registry,
    wire::{Body, Exchange, ExchangeError, collect, looking},
};

/// The registry behind.
#[derive(Debug)]
pub struct Upstream {
    pub exchange: Exchange,
    /// What it may call itself in `Location`; a path of it stands before `/v2/`. `None` for the
    /// embedded registry, which knows no host.
    pub url: Option<Url>,
    pub keep: Keep,
}

/// Which answers of the registry behind may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// None: others than this proxy write to it.
    Nothing,
    /// Those to GET: the registry must hear of each HEAD.
    Gets,
    Everything,
}

impl Upstream {
    /// Has answers kept from now on, where they can be; the memory of them.
    pub(super) fn keep(&mut self, config: &CacheConfig, metrics: Metrics) -> Option<Arc<Cache>> {
        let cache = Cache::over(self.exchange.clone(), self.keep, config, metrics)?;
        self.exchange = cache.exchange();
        Some(cache)
    }

    pub(super) async fn send(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Body>, ExchangeError> {
        self.exchange.clone().oneshot(request).await
    }

    /// What a tag points to; `None` when it does not exist. Refuses when the registry does not
    /// say: for whoever must know before something is done.
    pub(super) async fn digest(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<Digest>, Refusal> {
        let found = self.look(name, tag).await;
        found.map_err(|error| unsaid(name, tag, error))
    }

    /// As [`Upstream::digest`], for whoever can do without: `None`, too, when the registry answers
    /// and does not say.
    pub(super) async fn digest_if_said(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<Digest>, Refusal> {
        match self.look(name, tag).await {
            Err(registry::Error::Exchange { source, .. }) => Err(source.into()),
            said => Ok(said.ok().flatten()),
        }
    }

    /// Only a 404 says that a tag is not there; one whose digest is not stated is read.
    async fn look(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<Digest>, registry::Error> {
        let registry = registry::Client::new(looking(self.exchange.clone()));
        let reference = Reference::Tag(tag.clone());
        let head = registry.head_manifest(name, &reference).await?;
        Ok(head.map(|head| head.digest))
    }

    /// A blob of a repository. Who keeps blobs in an object store redirects to it, and only when
    /// the blob is the repository's.
    pub(super) async fn blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Blob, Refusal> {
        let route = Route::Blob {
            name: name.clone(),
            digest: digest.clone(),
        };
        let answer = self.ask(request(Method::HEAD, &route)?).await?;
        Ok(match answer.status() {
            StatusCode::OK => Blob::Here {
                size_bytes: length(&answer),
            },
            StatusCode::TEMPORARY_REDIRECT => Blob::Here { size_bytes: None },
            StatusCode::NOT_FOUND => Blob::Missing,
            _ => Blob::Unsaid,
        })
    }

    /// One page of all repository names; empty at the end.
    pub(super) async fn repositories(&self, page: Page) -> Result<Vec<String>, Refusal> {
        let target = Route::Catalog { page }.path_and_query();
        let listed: Option<(_, Catalog)> = self.list(&target).await?;
        Ok(listed
            .and_then(|(_headers, list)| list.repositories)
            .unwrap_or_default())
    }

    /// A page of a list, with its headers; `None` when there is no such list.
    pub(super) async fn list<T: for<'de> Deserialize<'de>>(
        &self,
        target: &str,
    ) -> Result<Option<(HeaderMap, T)>, Refusal> {
        let unreadable = || {
            Refusal::new(
                ErrorCode::BadGateway,
                "the registry behind sent a list that cannot be read",
            )
        };
        let answer = self.ask(request_to(Method::GET, target)?).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => {
                tracing::warn!(
                    status = status.as_u16(),
                    "the registry behind does not list"
                );
                let message = "the registry behind does not list what it has";
                return Err(Refusal::new(ErrorCode::BadGateway, message));
            }
        }
        let (head, body) = answer.into_parts();
        let body = collect(body, MAX_LIST_BYTES).await;
        let body = body.map_err(|_broken| unreadable())?;
        serde_json::from_slice(&body)
            .map(|list| Some((head.headers, list)))
            .map_err(|_not_json| unreadable())
    }

    async fn ask(&self, mut request: Request<Body>) -> Result<Response<Body>, Refusal> {
        let accept = HeaderValue::from_static(MANIFEST_MEDIA_TYPES);
        request.headers_mut().insert(ACCEPT, accept);
        Ok(self.send(request).await?)
    }
}

/// Why it is not known what a tag points to, for the client who wants something that depends on it.
fn unsaid(name: &RepositoryName, tag: &Tag, error: registry::Error) -> Refusal {
    if let registry::Error::Exchange { source, .. } = error {
        return source.into();
    }
    tracing::warn!(%error, "the registry behind does not say what a tag points to");
    let message = format!(
        "the registry behind does not say what the tag {tag} of {name} points to, without which \
         this cannot be decided"
    );
    match error.kind() {
        registry::Kind::TooManyRequests { retry_after }
        | registry::Kind::Unavailable { retry_after } => {
            Refusal::unavailable(message, retry_after.unwrap_or(RETRY_LATER))
        }
        _ => Refusal::new(ErrorCode::BadGateway, message),
    }
}

/// What the registry behind says of a blob.
pub(super) enum Blob {
    /// With the size, if it says that.
    Here {
        size_bytes: Option<u64>,
    },
    Missing,
    Unsaid,
}

/// The size that an answer without a body gives.
pub(super) fn length(answer: &Response<Body>) -> Option<u64> {
    let length = answer.headers().get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// A request of the gateway's own.
pub(super) fn request(method: Method, route: &Route) -> Result<Request<Body>, Refusal> {
    request_to(method, &route.path_and_query())
}

fn request_to(method: Method, target: &str) -> Result<Request<Body>, Refusal> {
    let mut request = Request::new(Body::Empty);
    *request.method_mut() = method;
    *request.uri_mut() = Uri::try_from(target).map_err(|_invalid| {
        Refusal::new(
            ErrorCode::BadRequest,
            "the request target cannot be forwarded",
        )
    })?;
    Ok(request)
}

#[derive(Deserialize)]
struct Catalog {
    repositories: Option<Vec<String>>,
}

/// A thousand names of 255 bytes take a quarter of a megabyte; distribution 2 lists all tags
/// at once, a hundred thousand of them fit.
const MAX_LIST_BYTES: usize = 16 * 1024 * 1024;
