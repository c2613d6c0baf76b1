use std::{convert::Infallible, io, net::SocketAddr, sync::Arc};

use http::{Request, Response};
use tokio_util::task::TaskTracker;

use super::{
    Access, AccessLog, Area, Config, Error, Limits, Metrics, Shutdown,
    accept::Accept,
    config::Timeouts,
    connection::{Connection, Doorway},
    crowd::Crowd,
    edge::Edge,
    limits::Pacer,
    redirect::Redirect,
    speed::Speed,
};
use crate::{tls, wire::Body};

/// What answers requests: ready at once, never failing, cheap to clone.
pub trait Service:
    tower::Service<
        Request<Body>,
        Response = Response<Body>,
        Error = Infallible,
        Future: Future<Output = Result<Response<Body>, Infallible>> + Send,
    > + Clone
    + Send
    + 'static
{
}

impl<S> Service for S where
    S: tower::Service<
            Request<Body>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Future<Output = Result<Response<Body>, Infallible>> + Send,
        > + Clone
        + Send
        + 'static
{
}

/// The opened sockets, before anything is served on them.
#[derive(Debug)]
pub struct Listener {
    config: Config,
    accept: Accept,
    address: SocketAddr,
    redirect: Option<Accept>,
    tls: Option<tls::Server>,
    areas: fn(&str) -> Area,
    access: Access,
    limits: Limits,
    access_log: Option<AccessLog>,
    metrics: Metrics,
}

impl Listener {
    /// Opens the sockets. `tls` absent: plain HTTP.
    pub async fn bind(config: &Config, tls: Option<tls::Server>) -> Result<Self, Error> {
        let accept = open(config.listen, "listen", config.max_connections).await?;
        let address = accept
            .local_addr()
            .map_err(failed(config.listen, "listen"))?;
        let redirect = match config.redirect_listen {
            Some(address) => Some(open(address, "redirect_listen", config.max_connections).await?),
            None => None,
        };
        Ok(Self {
            config: config.clone(),
            accept,
            address,
            redirect,
            tls,
            areas: |_path| Area::Other,
            access: Access::default(),
            limits: Limits::default(),
            access_log: None,
            metrics: Metrics::default(),
        })
    }

    /// Writes a line for every exchange.
    #[must_use]
    pub fn with_access_log(mut self, log: AccessLog) -> Self {
        self.access_log = Some(log);
        self
    }

    /// Tells the parts of the service apart by path; without it all is [`Area::Other`].
    #[must_use]
    pub fn with_areas(mut self, areas: fn(&str) -> Area) -> Self {
        self.areas = areas;
        self
    }

    /// Holds clients to rules and limits; without it there are none.
    #[must_use]
    pub fn with_limits(mut self, access: Access, limits: Limits) -> Self {
        (self.access, self.limits) = (access, limits);
        self
    }

    /// The address that was opened, with the port the system chose if it was to.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The address of the redirecting socket.
    pub fn redirect_addr(&self) -> Option<SocketAddr> {
        self.redirect.as_ref()?.local_addr().ok()
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Serves until `shutdown`: then takes no more connections, lets the requests in flight
    /// finish for at most the drain timeout, and returns when the last connection is closed.
    pub async fn serve<S: Service>(self, service: S, shutdown: Shutdown) {
        let timeouts = self.config.timeouts();
        // Cutting connections at the drain timeout is not the second signal.
        let shutdown = shutdown.within();
        let tracker = TaskTracker::new();
        let (log, log_writer) = match self.access_log {
            Some(log) => log.start(self.config.access_log_queue, self.metrics.clone()),
            None => AccessLog::none(),
        };
        let door = Arc::new(Doorway {
            timeouts,
            shutdown: shutdown.clone(),
            trusted_proxies: self.config.trusted_proxies.clone(),
            proxy_protocol: self.config.proxy_protocol_from.clone(),
            response_headers: self.config.response_headers.clone(),
            access: self.access,
            crowd: Crowd::new(&self.limits, self.config.trusted_proxies.clone()),
            pacer: Pacer::new(&self.limits, &self.metrics),
            speed: Speed::new(&self.limits),
            metrics: self.metrics.clone(),
            access_log: log,
        });
        let main = accept_all(
            self.accept,
            self.tls,
            Edge::new(service, self.areas, door.clone()),
            tracker.clone(),
        );
        let redirect = self.redirect.map(|accept| {
            let redirect = Redirect::new(self.config.external_url.as_ref(), self.address);
            // Who is sent on is counted where it arrives.
            let edge = Edge::new(redirect, |_path| Area::Probe, door.clone());
            accept_all(accept, None, edge, tracker.clone())
        });
        drop(door);
        match redirect {
            Some(redirect) => {
                tokio::join!(main, redirect);
            }
            None => main.await,
        }
        finish(&tracker, timeouts, &shutdown).await;
        log_writer.await;
    }
}

/// Accepts until draining begins; the socket closes when this returns.
async fn accept_all<S: Service>(
    accept: Accept,
    tls: Option<tls::Server>,
    edge: Edge<S>,
    tracker: TaskTracker,
) {
    let draining = edge.door().shutdown.draining().clone();
    loop {
        let accepted = tokio::select! {
            biased;
            () = draining.cancelled() => return,
            accepted = accept.next() => accepted,
        };
        let connection = Connection {
            remote: accepted.remote,
            tls: tls.as_ref().map(tls::Server::config),
            edge: edge.clone(),
        };
        let place = accepted.place;
        tracker.spawn(async move {
            connection.run(accepted.stream).await;
            drop(place);
        });
    }
}

async fn finish(tracker: &TaskTracker, timeouts: Timeouts, shutdown: &Shutdown) {
    tracker.close();
    if !tracker.is_empty() {
        tracing::info!("draining {} connections", tracker.len());
    }
    if !drained(tracker, timeouts, shutdown).await {
        let busy = tracker.len();
        tracing::warn!("cutting {busy} connections that are still busy");
        shutdown.abort();
        tracker.wait().await;
    }
}

/// Whether all connections ended by themselves, before the timeout and the second signal.
async fn drained(tracker: &TaskTracker, timeouts: Timeouts, shutdown: &Shutdown) -> bool {
    tokio::select! {
        () = tracker.wait() => true,
        () = shutdown.aborting().cancelled() => false,
        () = tokio::time::sleep(timeouts.drain) => false,
    }
}

async fn open(address: SocketAddr, key: &'static str, places: usize) -> Result<Accept, Error> {
    Accept::bind(address, places)
        .await
        .map_err(failed(address, key))
}

fn failed(address: SocketAddr, key: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Bind {
        address,
        key,
        source,
    }
}
