//! Answers of the registry behind that are kept, so that it need not be asked for them again.
//!
//! A manifest under a digest never changes; tags, and what exists at all, change only by writes.
//! All writes pass here, those of the gateway itself too, and a write to a repository makes
//! everything worthless that was read of it before (`watch.rs`): no answer is older than a write
//! whose end somebody knows. Only what clients ask for is answered from here ([`Cache::kept`]);
//! whoever in the gateway wants to know what the registry has asks the registry.
//!
//! What is written past the gateway ends it, too, when the registry tells ([`Cache::heard`]).
//! An entry also has an age at which it ends: it bounds how long a change is overlooked that the
//! registry makes by itself. The embedded registry hears of a HEAD once in that time: a client may
//! leave a push out for what is there, which is then not garbage for a while that is longer.

mod answer;
#[cfg(test)]
mod tests;
mod watch;

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderName, Method, Request, Response, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
        IF_UNMODIFIED_SINCE, RANGE,
    },
};
use quick_cache::{Weighter, sync};
use tokio::time::Instant;
use tower::ServiceExt;

use super::{CacheConfig, Metrics, upstream::Keep};
use crate::{
    oci::{RepositoryName, Route},
    wire::{Body, Exchange, ExchangeError},
};

use answer::Answer;
use watch::{Epoch, Watch};

/// A request of a client, whose answer may be kept; a request extension.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keepable;

/// The registry behind, with a memory.
pub(super) struct Cache {
    behind: Exchange,
    kept: sync::Cache<Key, Arc<Kept>, Weight>,
    watch: Watch,
    max_age: Duration,
    keep: Keep,
    metrics: Metrics,
}

/// Path, query and the headers that choose between representations (RFC 9110 §12).
type Key = Box<[u8]>;

struct Kept {
    answer: Answer,
    epoch: Epoch,
    since: Instant,
}

impl Cache {
    /// A memory of `behind`; `None` when nothing may be kept, or `config` has no room for it.
    pub(super) fn over(
        behind: Exchange,
        keep: Keep,
        config: &CacheConfig,
        metrics: Metrics,
    ) -> Option<Arc<Self>> {
        let bytes = config.memory_bytes();
        (bytes > 0 && keep != Keep::Nothing).then(|| {
            Arc::new(Self {
                behind,
                kept: sync::Cache::with_weighter(bytes / USUAL_BYTES, bytes as u64, Weight),
                watch: Watch::new(),
                max_age: config.max_age(),
                keep,
                metrics,
            })
        })
    }

    /// The registry behind, through the memory.
    pub(super) fn exchange(self: &Arc<Self>) -> Exchange {
        let cache = Arc::clone(self);
        Exchange::new(tower::service_fn(move |request| {
            let cache = Arc::clone(&cache);
            async move { cache.send(request).await }
        }))
    }

    /// The answer to a client's request if it is here, so that none to the registry need be made.
    pub(super) fn kept(
        &self,
        method: &Method,
        route: &Route,
        headers: &HeaderMap,
    ) -> Option<Response<Body>> {
        if !self.is_kept(method, route, headers) {
            return None;
        }
        let key = key(&route.path_and_query(), headers);
        let kept = self.kept.get(&key)?;
        let is_current = self.watch.is_current(route.repository()?, kept.epoch)
            && kept.since.elapsed() < self.max_age;
        let answer = is_current.then_some(&kept.answer)?;
        let response = answer.response(method == Method::HEAD)?;
        self.metrics.cache.hits.inc();
        Some(response)
    }

    /// Somebody says that the repository was written to, not by way of this cache.
    pub(super) fn heard(&self, name: &RepositoryName) {
        self.watch.heard(name);
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, ExchangeError> {
        let (method, uri) = (request.method(), request.uri());
        match Route::parse(method, uri.path(), uri.query()) {
            Ok(route)
                if request.extensions().get::<Keepable>().is_some()
                    && self.is_kept(method, &route, request.headers()) =>
            {
                self.fetch(&route, request).await
            }
            Ok(route) if writes(&route, method) => self.write(&route, request).await,
            _ => self.pass(request).await,
        }
    }

    fn is_kept(&self, method: &Method, route: &Route, headers: &HeaderMap) -> bool {
        !CONDITIONS.iter().any(|name| headers.contains_key(name))
            && match (route, method) {
                (Route::Manifest { .. } | Route::Blob { .. }, &Method::HEAD) => {
                    self.keep == Keep::Everything
                }
                (
                    Route::Manifest { .. } | Route::Tags { .. } | Route::Referrers { .. },
                    &Method::GET,
                ) => true,
                _ => false,
            }
    }

    async fn fetch(
        &self,
        route: &Route,
        request: Request<Body>,
    ) -> Result<Response<Body>, ExchangeError> {
        let Some(name) = route.repository() else {
            return self.pass(request).await;
        };
        self.metrics.cache.misses.inc();
        let is_head = request.method() == Method::HEAD;
        let key = key(&route.path_and_query(), request.headers());
        let epoch = self.watch.epoch(name);
        let since = Instant::now();
        let response = self.pass(request).await?;
        let Some(epoch) = epoch.filter(|_| response.status() == StatusCode::OK) else {
            return Ok(response);
        };
        let (answer, response) = Answer::take(response, is_head).await?;
        if let Some(answer) = answer {
            let kept = Kept {
                answer,
                epoch,
                since,
            };
            self.kept.insert(key, Arc::new(kept));
        }
        Ok(response)
    }

    async fn write(
        &self,
        route: &Route,
        request: Request<Body>,
    ) -> Result<Response<Body>, ExchangeError> {
        let write = route.repository().map(|name| self.watch.write(name));
        let answer = self.pass(request).await;
        let is_settled = match &answer {
            Ok(response) => !response.status().is_server_error(),
            Err(error) => error.nothing_sent(),
        };
        if let Some(write) = write.filter(|_| is_settled) {
            write.settle();
        }
        answer
    }

    async fn pass(&self, request: Request<Body>) -> Result<Response<Body>, ExchangeError> {
        self.behind.clone().oneshot(request).await
    }
}

/// Whether the request can change what a read of its repository finds.
fn writes(route: &Route, method: &Method) -> bool {
    match route {
        Route::Manifest { .. } => matches!(*method, Method::PUT | Method::DELETE),
        Route::Blob { .. } => *method == Method::DELETE,
        _ => false,
    }
}

fn key(target: &str, headers: &HeaderMap) -> Key {
    let mut key = Vec::with_capacity(512);
    key.extend_from_slice(target.as_bytes());
    for name in [ACCEPT, ACCEPT_ENCODING] {
        for value in headers.get_all(name) {
            // No value of a header has a line break.
            key.push(b'\n');
            key.extend_from_slice(value.as_bytes());
        }
        key.push(b'\n');
    }
    key.into()
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<Kept>> for Weight {
    fn weight(&self, key: &Key, kept: &Arc<Kept>) -> u64 {
        (key.len() + kept.answer.size_bytes() + ENTRY_BYTES) as u64
    }
}

/// Requests with these are answered by the registry alone.
const CONDITIONS: [HeaderName; 6] = [
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
];
/// A manifest of some layers with its headers and the key.
const USUAL_BYTES: usize = 4096;
/// What an entry takes besides its bytes.
const ENTRY_BYTES: usize = 256;
