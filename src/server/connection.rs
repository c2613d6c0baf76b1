use std::{
    convert::Infallible,
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    Metrics, Service, Shutdown, TrustedProxies,
    access_log::Lines,
    body::Sent,
    config::Timeouts,
    edge::Edge,
    handshake::{self, Protocol},
    metrics::HandshakeFailure,
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
    begun: AtomicU64,
    in_flight: AtomicUsize,
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
            match in_time(limit, handshake::tls(stream, config, timeouts.body_idle)).await {
                Ok((stream, protocol)) => Ok(self.speak(protocol, "https", stream).await),
                Err(reason) => Err(reason),
            }
        } else {
            match in_time(limit, handshake::plain(&stream)).await {
                Ok(protocol) => {
                    let stream = Stall::new(stream, timeouts.body_idle);
                    Ok(self.speak(protocol, "http", stream).await)
                }
                Err(reason) => Err(reason),
            }
        };
        if let Err(reason) = greeted {
            door.metrics.handshake_failed(reason);
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
        });
        let door = self.edge.door().clone();
        let retirement = Retirement {
            door: &door,
            link: &link,
        };
        let (edge, of) = (self.edge, link.clone());
        let answer = move |request| -> Answer {
            let answer = edge.clone().answer(of.clone(), request);
            answer.map(Ok).boxed()
        };
        match protocol {
            Protocol::Http1 => http1(stream, answer, retirement).await,
            Protocol::Http2 => http2(stream, answer, retirement).await,
        }
    }
}

async fn in_time<T>(
    limit: Duration,
    greeting: impl Future<Output = Result<T, HandshakeFailure>>,
) -> Result<T, HandshakeFailure> {
    timeout(limit, greeting)
        .await
        .unwrap_or(Err(HandshakeFailure::timeout))
}

type Answer = BoxFuture<'static, Result<Response<Sent>, Infallible>>;

async fn http1<I, F>(stream: I, answer: F, retirement: Retirement<'_>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> Answer + Unpin,
{
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // hyper counts the idle time before a request into the time for its head.
        .header_read_timeout(retirement.door.timeouts.keep_alive)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(HTTP1_BUFFER_BYTES);
    let mut connection = builder.serve_connection(TokioIo::new(stream), service_fn(answer));
    let ended = tokio::select! {
        _ended = poll_fn(|context| connection.poll_without_shutdown(context)) => true,
        leave = retirement.http1() => match leave {
            Leave::AtOnce => return,
            Leave::Gracefully => false,
        },
    };
    if !ended {
        Pin::new(&mut connection).graceful_shutdown();
        // An error here is the client's: it went away or sent nonsense, and was answered.
        let _ = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    }
    linger(connection.into_parts().io.into_inner()).await;
}

async fn http2<I, F>(stream: I, answer: F, retirement: Retirement<'_>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> Answer,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_header_list_size(MAX_HEAD_BYTES_HTTP2);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service_fn(answer)));
    let leave = tokio::select! {
        _ended = connection.as_mut() => return,
        leave = retirement.http2() => leave,
    };
    if let Leave::Gracefully = leave {
        connection.as_mut().graceful_shutdown();
        // As above: what goes wrong now is the client's.
        let _ = connection.await;
    }
}

/// Closes without taking the last answer along: a socket closed with unread bytes resets the
/// connection, and the client may never see why its upload was refused.
async fn linger<I: AsyncRead + AsyncWrite + Unpin>(mut stream: I) {
    let farewell = async {
        stream.shutdown().await?;
        let mut rest = vec![0; LINGER_READ_BYTES];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whatever happens to it, the connection is over.
    let _ = timeout(LINGER, farewell).await;
}

/// When a connection must go though its client has not closed it.
struct Retirement<'a> {
    door: &'a Doorway,
    link: &'a Link,
}

enum Leave {
    AtOnce,
    /// Requests in flight finish.
    Gracefully,
}

impl Retirement<'_> {
    async fn http1(&self) -> Leave {
        tokio::select! {
            () = self.never_used() => Leave::AtOnce,
            () = self.door.shutdown.draining().cancelled() => {
                // Answers carry `Connection: close` already; a client in the middle of a row of
                // requests sees that before its idle connection is closed under its hands.
                tokio::time::sleep(DRAIN_GRACE).await;
                Leave::Gracefully
            }
        }
    }

    async fn http2(&self) -> Leave {
        tokio::select! {
            () = self.never_used() => Leave::AtOnce,
            () = self.long_idle() => Leave::Gracefully,
            // GOAWAY loses nothing: no grace is needed.
            () = self.door.shutdown.draining().cancelled() => Leave::Gracefully,
        }
    }

    /// Ready when the first request is overdue.
    async fn never_used(&self) {
        tokio::time::sleep(self.door.timeouts.header).await;
        if self.link.begun.load(Ordering::Relaxed) > 0 {
            std::future::pending::<()>().await;
        }
    }

    /// Ready after one to two keep-alive times without a request.
    async fn long_idle(&self) {
        let mut begun = self.link.begun.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(self.door.timeouts.keep_alive).await;
            let now = self.link.begun.load(Ordering::Relaxed);
            if now == begun && self.link.in_flight.load(Ordering::Relaxed) == 0 {
                return;
            }
            begun = now;
        }
    }
}

/// Request line and headers together. Bearer tokens are up to 8 KiB, and clients send several.
const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_HEAD_BYTES_HTTP2: u32 = 64 << 10;
/// Of a connection's read and write buffers each; more than a head, four TLS reads.
const HTTP1_BUFFER_BYTES: usize = 256 << 10;
/// 4 MiB are 80 MB/s at 50 ms.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// So that one stalled upload does not hold up the others of its connection.
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const HTTP2_STREAMS: u32 = 128;
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
const DRAIN_GRACE: Duration = Duration::from_millis(500);
/// nginx lingers for 5 s without data and 30 s in all.
const LINGER: Duration = Duration::from_secs(10);
const LINGER_READ_BYTES: usize = 16 << 10;
