use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::FutureExt;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use super::{
    Metrics, Service, Shutdown, TrustedProxies,
    access_log::Lines,
    config::Timeouts,
    edge::Edge,
    handshake::{self, Protocol},
    http,
    metrics::HandshakeFailure,
    retirement::Retirement,
    stall::Stall,
};

/// What all connections share.
#[derive(Debug)]
pub(super) struct Doorway {
    pub(super) timeouts: Timeouts,
    pub(super) shutdown: Shutdown,
    pub(super) trusted_proxies: TrustedProxies,
    pub(super) metrics: Metrics,
    pub(super) access_log: Lines,
}

/// What all requests of one connection share.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) remote: IpAddr,
    pub(super) scheme: &'static str,
    pub(super) begun: AtomicU64,
    pub(super) in_flight: AtomicUsize,
    /// Whether some request was answered before its body was read to its end.
    pub(super) unread: Arc<AtomicBool>,
}

impl Link {
    pub(super) fn request_began(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn request_ended(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection, not yet greeted.
pub(super) struct Connection<S> {
    pub(super) remote: SocketAddr,
    /// Absent: plain HTTP.
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) edge: Edge<S>,
}

impl<S: Service> Connection<S> {
    /// Serves until the connection ends or everything is to end at once.
    pub(super) async fn run(self, stream: TcpStream) {
        let door = self.edge.door().clone();
        door.metrics.accepted_connections.inc();
        door.metrics.connections.inc();
        let aborting = door.shutdown.aborting().clone();
        tokio::select! {
            () = self.serve(stream) => {}
            () = aborting.cancelled() => {}
        }
        door.metrics.connections.dec();
    }

    async fn serve(self, stream: TcpStream) {
        let door = self.edge.door().clone();
        let timeouts = door.timeouts;
        let limit = timeouts.handshake;
        let greeted = if let Some(config) = self.tls.clone() {
            in_time(limit, handshake::tls(stream, config, timeouts.body_idle))
                .await
                .map(|(stream, protocol)| self.speak(protocol, "https", stream).boxed())
        } else {
            in_time(limit, handshake::plain(&stream))
                .await
                .map(|protocol| {
                    let stream = Stall::new(stream, timeouts.body_idle);
                    self.speak(protocol, "http", stream).boxed()
                })
        };
        match greeted {
            Ok(spoken) => spoken.await,
            Err(reason) => door.metrics.handshake_failed(reason),
        }
    }

    async fn speak<I>(self, protocol: Protocol, scheme: &'static str, stream: I)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let link = Arc::new(Link {
            remote: self.remote.ip().to_canonical(),
            scheme,
            begun: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            unread: Arc::default(),
        });
        let door = self.edge.door().clone();
        let retirement = Retirement {
            door: &door,
            link: &link,
        };
        // Boxed for `Unpin`, which a service need not be.
        let (edge, of) = (self.edge, link.clone());
        let answer = move |request| edge.clone().answer(of.clone(), request).map(Ok);
        match protocol {
            Protocol::Http1 => http::http1(stream, answer, retirement).await,
            Protocol::Http2 => http::http2(stream, answer, retirement).await,
        }
    }
}

async fn in_time<T>(
    limit: Duration,
    greeting: impl Future<Output = Result<T, HandshakeFailure>>,
) -> Result<T, HandshakeFailure> {
    timeout(limit, greeting)
        .await
        .unwrap_or(Err(HandshakeFailure::Timeout))
}
