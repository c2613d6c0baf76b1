use std::{
    convert::Infallible,
    fmt,
    path::Path,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{Method, Request, Response, request::Parts};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use super::{
    answer::{API_VERSION, Answer},
    config::Config,
    disk::Disk,
    endpoint::{ReferrersQuery, Target, Upload, ping},
    error::Error,
    metrics::Metrics,
    threads::Threads,
    upload::Sessions,
};
use crate::{
    clock::SharedClock,
    oci::Route,
    wire::{Body, Exchange, ExchangeError},
};

/// The registry. Cheap to clone; all clones are one registry.
#[derive(Clone)]
pub struct Registry {
    pub(super) disk: Arc<Disk>,
    pub(super) threads: Threads,
    pub(super) sessions: Arc<Sessions>,
    pub(super) metrics: Metrics,
    pub(super) clock: SharedClock,
    expiry: Duration,
    interval: Duration,
}

impl Registry {
    /// Opens the registry under `root` with the default configuration.
    pub fn open(root: &Path, clock: SharedClock) -> Result<Self, Error> {
        Self::open_with(root, &Config::default(), clock)
    }

    /// Opens the registry under `root`, making it when it is not there. One process can have it
    /// open at a time, once. Blocks on the file system for an instant.
    pub fn open_with(root: &Path, config: &Config, clock: SharedClock) -> Result<Self, Error> {
        let disk = Arc::new(Disk::open(root, config.durability)?);
        Ok(Self {
            sessions: Arc::new(Sessions::new(Arc::clone(&disk), config.open_uploads)),
            disk,
            threads: Threads::new(config.file_threads),
            metrics: Metrics::default(),
            clock,
            expiry: Duration::from_secs(config.upload_expiry_seconds),
            interval: Duration::from_secs(config.sweep_interval_seconds.max(1)),
        })
    }

    /// The registry as a service for requests under `/v2/`.
    pub fn exchange(&self) -> Exchange {
        let service = self
            .clone()
            .map_err(|never: Infallible| -> ExchangeError { match never {} });
        BoxCloneSyncService::new(service)
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Gives up old uploads, at once and then at intervals, until told to stop.
    pub async fn sweep_uploads(self, stop: CancellationToken) {
        loop {
            self.sweep_once().await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.interval) => {}
            }
        }
    }

    async fn sweep_once(&self) {
        let (sessions, limit) = (
            Arc::clone(&self.sessions),
            self.clock.now().minus(self.expiry),
        );
        match self.threads.run(move || sessions.sweep(limit)).await {
            Ok(0) => {}
            Ok(removed) => {
                self.metrics.swept_files.inc_by(removed);
                tracing::info!("{removed} files of abandoned uploads were removed");
            }
            Err(failure) => tracing::warn!("abandoned uploads were not swept: {failure}"),
        }
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let is_head = parts.method == Method::HEAD;
        let answer = match Route::parse(&parts.method, parts.uri.path(), parts.uri.query()) {
            Ok(route) => self.dispatch(route, &parts, body).await,
            Err(error) => Err(error.into()),
        };
        let mut response = answer.unwrap_or_else(|failure| {
            self.metrics.failed(&failure);
            failure.into_response()
        });
        let version = http::HeaderValue::from_static("registry/2.0");
        response.headers_mut().insert(API_VERSION, version);
        if is_head {
            // Content-Length stays: clients read sizes from it.
            *response.body_mut() = Body::Empty;
        }
        response
    }

    async fn dispatch(&self, route: Route, parts: &Parts, body: Body) -> Answer {
        match route {
            Route::Ping => Ok(ping()),
            Route::Catalog { page } => self.catalog(page).await,
            Route::Tags { name, page } => self.tags(name, page).await,
            Route::Referrers {
                name,
                digest,
                artifact_type,
                state,
            } => {
                let asked = ReferrersQuery {
                    subject: digest,
                    artifact_type,
                    state,
                };
                self.referrers(name, asked).await
            }
            Route::Manifest {
                name,
                reference,
                tags,
            } => {
                let target = Target {
                    name,
                    reference,
                    tags,
                };
                self.manifests(target, parts, body).await
            }
            Route::Blob { name, digest } => self.blobs(name, digest, parts).await,
            Route::StartUpload {
                name,
                mount,
                digest,
                algorithm,
            } => {
                if let Some(mounted) = self.mount(&name, mount).await? {
                    return Ok(mounted);
                }
                match digest {
                    Some(digest) => self.upload_at_once(name, digest, body).await,
                    None => self.start_upload(name, algorithm).await,
                }
            }
            Route::Upload {
                name, id, digest, ..
            } => {
                let upload = Upload { name, id };
                self.uploads(upload, digest, parts, body).await
            }
        }
    }
}

impl Service<Request<Body>> for Registry {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let registry = self.clone();
        Box::pin(async move { Ok(registry.answer(request).await) })
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("disk", &self.disk.layout)
            .finish_non_exhaustive()
    }
}
