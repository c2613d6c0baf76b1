//! HTTP/1.1 to remote hosts: pooled connections, time limits, a bound on requests at once.
//!
//! Knows nothing of credentials or registries: it sends what it is given where the URI says, if
//! the guard lets it.
//! HTTP/1.1 only, because parallel blobs are faster on connections of their own than on the
//! streams of one. This is the hot path of the proxy: bodies pass as hyper made them.

mod connect;
mod failure;
mod lookup;
mod proxies;
mod receiving;
mod sending;
mod tcp;

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, Response, Uri, Version, header};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Config, guard::Guard};
use crate::wire::{Body, ExchangeError};
use connect::Connector;
pub use proxies::Proxies;
use sending::{Sending, Silence};

/// Connections to any number of hosts under one set of limits. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    client: Client<Connector, Sending>,
    slots: Arc<Semaphore>,
    max_wait: Duration,
    idle: Duration,
    commit: Duration,
}

impl Transport {
    /// Connects where `proxies` or else `guard` say. Both go by host and port, as the pool does
    /// (and by the scheme): no request meets a connection that would not be made for it.
    pub(super) fn new(
        config: &Config,
        tls: rustls::ClientConfig,
        proxies: Proxies,
        guard: Guard,
    ) -> Self {
        let connector = Connector::new(config.connect_timeout(), tls, proxies, guard);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.pool_idle_timeout())
            .pool_max_idle_per_host(config.pool_max_idle)
            .http1_max_buf_size(MAX_BUFFER_BYTES)
            .set_host(false)
            .build(connector);
        Self {
            client,
            slots: Arc::new(Semaphore::new(config.max_concurrent_requests)),
            max_wait: config.max_wait(),
            idle: config.idle_timeout(),
            commit: config.commit_timeout(),
        }
    }

    /// Sends a request with an absolute URI and a `Host` header; the answer's body is still to
    /// be read, and counts as a request in flight until it is.
    ///
    /// A GET or HEAD without body is sent once more when its connection broke before an answer:
    /// pooled connections are closed by the other side at any time. What has a body is not.
    pub(super) async fn exchange(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Body>, ExchangeError> {
        let slot = self.slot(request.uri()).await?;
        let request = normalized(request);
        let is_bodyless = matches!(request.body(), Body::Empty);
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let answer_within = if is_read { self.idle } else { self.commit };
        if !(is_bodyless && is_read) {
            let answer = self.attempt(request, answer_within).await?;
            return Ok(receiving::hold(answer, self.idle, slot));
        }
        let (parts, _empty) = request.into_parts();
        let again = Request::from_parts(parts.clone(), Body::Empty);
        let first = Request::from_parts(parts, Body::Empty);
        let answer = match self.send(first, answer_within).await {
            Err(failure) if failure.is_stale_connection() => {
                self.attempt(again, answer_within).await?
            }
            Err(failure) => return Err(failure.into_error(again.uri())),
            Ok(answer) => answer,
        };
        Ok(receiving::hold(answer, self.idle, slot))
    }

    async fn attempt(
        &self,
        request: Request<Body>,
        answer_within: Duration,
    ) -> Result<Response<Incoming>, ExchangeError> {
        let uri = request.uri().clone();
        let answer = self.send(request, answer_within).await;
        answer.map_err(|failure| failure.into_error(&uri))
    }

    async fn send(
        &self,
        request: Request<Body>,
        answer_within: Duration,
    ) -> Result<Response<Incoming>, failure::Failure> {
        let (request, silence) = Silence::watch(request, self.idle, answer_within);
        let answer = self.client.request(request);
        match silence.bound(answer).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(failure::Failure::Client(error)),
            None => Err(failure::Failure::Silence),
        }
    }

    async fn slot(&self, uri: &Uri) -> Result<OwnedSemaphorePermit, ExchangeError> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(slot);
        }
        let waiting = Arc::clone(&self.slots).acquire_owned();
        match tokio::time::timeout(self.max_wait, waiting).await {
            Ok(Ok(slot)) => Ok(slot),
            _no_slot => Err(ExchangeError::Overloaded {
                address: address(uri),
            }),
        }
    }
}

/// Without what the client library must not see: the version and the extensions of a request
/// that came in from elsewhere. A write without body says so (RFC 9110 §8.6; some object stores
/// answer 411 else).
fn normalized(request: Request<Body>) -> Request<Body> {
    let (mut parts, body) = request.into_parts();
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let expects_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
    if expects_body && matches!(body, Body::Empty) {
        parts.headers.remove(header::TRANSFER_ENCODING);
        parts
            .headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Request::from_parts(parts, body)
}

/// Host and port of a URI, for errors.
fn address(uri: &Uri) -> String {
    uri.authority().map(ToString::to_string).unwrap_or_default()
}

/// hyper doubles a connection's read buffer up to this size while reads fill it, so small answers
/// stay in small buffers and blobs move in few system calls. Larger ones are no faster, but each
/// slow download holds some of them.
const MAX_BUFFER_BYTES: usize = 48 * 1024;
