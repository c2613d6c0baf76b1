use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use futures_util::future::{BoxFuture, FutureExt};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::{
    Access, Metrics, ResponseHeaders, Service, Shutdown, TrustedProxies,
    access_log::Lines,
    config::Timeouts,
    crowd::{Crowd, Place},
    edge::Edge,
    handshake::{self, Protocol},
    http,
    limits::Pacer,
    metrics::HandshakeFailure,
    proxy_protocol::{self, Told},
    retirement::Retirement,
    speed::Speed,
    stall::Stall,
};
use crate::network::Networks;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Doorway {
    pub(super) timeouts: Timeouts,
    pub(super) shutdown: Shutdown,
    pub(super) trusted_proxies: TrustedProxies,
    /// Whose connections begin with a header of the PROXY protocol.
    pub(super) proxy_protocol: Networks,
    pub(super) response_headers: ResponseHeaders,
    pub(super) access: Access,
    pub(super) crowd: Crowd,
    pub(super) pacer: Pacer,
    /// Of each answer; `None`: no limit.
    pub(super) speed: Option<Speed>,
    pub(super) metrics: Metrics,
    pub(super) access_log: Lines,
}

impl Doorway {
    /// Who has connected from `direct`, and the place that takes.
    async fn enter(
        &self,
        stream: &mut TcpStream,
        direct: IpAddr,
    ) -> Result<(IpAddr, Place), HandshakeFailure> {
        let direct = direct.to_canonical();
        let remote = if self.proxy_protocol.contains(direct) {
            match proxy_protocol::read(stream).await {
                Ok(Told::Client(client)) => client.to_canonical(),
                Ok(Told::Nothing) => direct,
                Err(error) => {
                    // Whoever configured the balancer and the gateway wants to know.
                    tracing::warn!("a connection of {direct} was closed: {error}");
                    return Err(HandshakeFailure::ProxyHeader);
                }
            }
        } else {
            direct
        };
        let place = self.crowd.enter(remote);
        place
            .map(|place| (remote, place))
            .ok_or(HandshakeFailure::TooMany)
    }
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
        match self.greet(stream).await {
            Ok((spoken, place)) => {
                spoken.await;
                drop(place);
            }
            Err(reason) => door.metrics.handshake_failed(reason),
        }
    }

    /// Everything before the first request, in the time of a handshake.
    async fn greet(
        self,
        mut stream: TcpStream,
    ) -> Result<(BoxFuture<'static, ()>, Place), HandshakeFailure> {
        let door = self.edge.door().clone();
        let timeouts = door.timeouts;
        let deadline = Instant::now() + timeouts.handshake;
        let entered = door.enter(&mut stream, self.remote.ip());
        let (remote, place) = in_time(deadline, entered).await?;
        let spoken = if let Some(config) = self.tls.clone() {
            let greeting = handshake::tls(stream, config, timeouts.body_idle);
            let (stream, protocol) = in_time(deadline, greeting).await?;
            self.speak(remote, protocol, "https", stream).boxed()
        } else {
            let protocol = in_time(deadline, handshake::plain(&stream)).await?;
            let stream = Stall::new(stream, timeouts.body_idle);
            self.speak(remote, protocol, "http", stream).boxed()
        };
        Ok((spoken, place))
    }

    /// Everything from the first request on, to the end of the connection.
    pub(super) async fn speak<I>(
        self,
        remote: IpAddr,
        protocol: Protocol,
        scheme: &'static str,
        stream: I,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let link = Arc::new(Link {
            remote,
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
    deadline: Instant,
    greeting: impl Future<Output = Result<T, HandshakeFailure>>,
) -> Result<T, HandshakeFailure> {
    timeout_at(deadline, greeting)
        .await
        .unwrap_or(Err(HandshakeFailure::Timeout))
}
