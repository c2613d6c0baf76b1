//! Everything under `/v2/`: who asks, may they, and what the registry behind says to it.
//!
//! [`Proxy::handle`] is the page to read first: a request passes one phase after another, and
//! each has a file of its own: `parse`, `authenticate`, `authorise`, `guard`, then for pushes
//! and deletes `push` and `delete` with `intend` (written down before it can happen) and
//! `conclude`, for everything else `forward`. The room talks to a [`crate::wire::Exchange`] and
//! does not know whether a remote or the embedded registry answers, or `cache`; nor who listens to
//! changes ([`Observer`]) or wants the bytes of uploads ([`Follower`]).

mod authenticate;
mod authorise;
mod cache;
mod catalog;
mod challenge;
mod conclude;
mod config;
mod delete;
mod follow;
mod forward;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guard;
mod intend;
mod memory;
mod metrics;
mod observer;
mod parse;
mod push;
mod quota;
mod refusal;
mod sessions;
mod sizes;
mod tags;
mod trusted;
mod untag;
mod upstream;

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, Request, Response};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::{
    auth::{Auth, bearer::Verifier},
    clock::SharedClock,
    oci::{RepositoryName, Route},
    quota::Quota,
    secret::SealingKey,
    settings,
    wire::Body,
};

use cache::Cache;
pub use challenge::PublicAddress;
pub use config::{CacheConfig, Config};
pub use follow::{Follower, Following, NewUpload};
use guard::Turns;
use memory::Memory;
pub use metrics::Metrics;
pub use observer::{Actor, Change, ChangeKind, Observer, Outcome, Pull, Push, Ticket};
use parse::Asked;
pub use refusal::Refusal;
use sessions::Sessions;
use sizes::Sizes;
pub use upstream::{Keep, Upstream};

/// The registry API, guarded. Cheap to clone.
#[derive(Clone)]
pub struct Proxy(Arc<Inner>);

/// What a [`Proxy`] is made of.
pub struct Parts {
    pub config: Config,
    pub settings: settings::Reader,
    pub auth: Auth,
    pub quota: Quota,
    pub verifier: Verifier,
    pub upstream: Upstream,
    pub observer: Arc<dyn Observer>,
    /// Wants the bytes of blob uploads; `None` when nobody ever does.
    pub follower: Option<Arc<dyn Follower>>,
    pub address: PublicAddress,
    /// Put after the user agent of a change, so that the registry's notification of it is known.
    pub mark: String,
    pub clock: SharedClock,
    pub metrics: Metrics,
    /// Hides places in lists; all gateways of an installation have the same.
    pub sealing: Arc<SealingKey>,
    /// Runs the exchanges that must end even when the client is gone; await it when draining.
    pub tasks: TaskTracker,
}

struct Inner {
    parts: Parts,
    sessions: Sessions,
    sizes: Sizes,
    turns: Turns,
    /// What `parts.upstream` keeps.
    cache: Option<Arc<Cache>>,
    manifest_memory: Memory,
}

impl Proxy {
    pub fn new(mut parts: Parts) -> Self {
        let (config, metrics) = (&parts.config.cache, parts.metrics.clone());
        let cache = parts.upstream.keep(config, metrics);
        Self(Arc::new(Inner {
            sessions: Sessions::new(parts.config.upload_sessions),
            sizes: Sizes::new(parts.config.blob_sizes),
            turns: Turns::default(),
            cache,
            manifest_memory: Memory::new(&parts.config),
            parts,
        }))
    }

    /// Answers one request under `/v2/`.
    ///
    /// Its extensions should hold [`crate::wire::Peer`] and [`crate::wire::RequestId`]. The body
    /// is not touched before the request is allowed, so a client that waits for
    /// `100 Continue` gets its refusal first. Bodies that stand still, and what is left of them
    /// after a refusal, are the listener's business.
    pub async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let (endpoint, answer) = match Asked::parse(head) {
            Ok(asked) => (asked.route.endpoint(), self.pass(asked, body).await),
            Err(refusal) => ("unknown", Err(refusal)),
        };
        let mut response = answer.unwrap_or_else(Refusal::into_response);
        self.0
            .parts
            .metrics
            .observe(endpoint, response.status(), started.elapsed());
        // docker takes a 401 without it for no registry at all and goes on to plain HTTP.
        let version = HeaderValue::from_static("registry/2.0");
        response.headers_mut().entry(API_VERSION).or_insert(version);
        response
    }

    /// The registry behind says that this repository was changed, not by way of the proxy.
    pub fn heard(&self, repository: &RepositoryName) {
        if let Some(cache) = &self.0.cache {
            cache.heard(repository);
        }
    }

    /// The phases, in order.
    async fn pass(&self, asked: Asked, body: Body) -> Result<Response<Body>, Refusal> {
        let inner = &self.0;
        let caller = inner.authenticate(&asked).await?;
        if let Some(visitor) = &asked.visitor {
            visitor.is(caller.principal.name()).await?;
        }
        let admitted = inner.authorise(asked, &caller).await?;
        inner.guard(&admitted.asked.method)?;
        match (&admitted.asked.route, &admitted.asked.method) {
            (Route::Ping, _) => Ok(forward::pong()),
            (Route::Catalog { page }, _) => inner.catalog(&caller.principal, page).await,
            (Route::Manifest { .. }, &Method::PUT) => Arc::clone(inner).push(admitted, body).await,
            (Route::Manifest { .. }, &Method::DELETE) => Arc::clone(inner).delete(admitted).await,
            _ => inner.forward(admitted, body).await,
        }
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("config", &self.config)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

/// On every answer of a registry (Docker Registry HTTP API V2, "API Version Check").
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
