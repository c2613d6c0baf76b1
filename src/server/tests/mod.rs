//! The listener over real sockets on the loopback address.

mod attacks;
mod connections;
mod drain;
mod limits;
mod proxy_protocol;
mod requests;

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use http::{Request, Response};
use http_body_util::BodyExt;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Access, AccessLog, Area, Config, Limits, Listener, Metrics, Shutdown, TooManyRequests, Visitor,
};
use crate::{
    clock::SystemClock,
    telemetry::AccessLogFormat,
    tls,
    wire::{self, Body, Peer, RequestId},
};

/// A listener being served.
struct Gateway {
    address: SocketAddr,
    redirect: Option<SocketAddr>,
    shutdown: Shutdown,
    metrics: Metrics,
    tls: Option<tls::Server>,
    log: DuplexStream,
    served: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Gateway {
    async fn tls() -> Self {
        Self::start(Config::default(), tls::Mode::Auto).await
    }

    async fn plain(config: Config) -> Self {
        Self::start(config, tls::Mode::Off).await
    }

    async fn start(config: Config, mode: tls::Mode) -> Self {
        Self::limited(config, mode, Access::default(), Limits::default()).await
    }

    async fn limited(mut config: Config, mode: tls::Mode, access: Access, limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let certificate = tls::Config {
            mode,
            ..tls::Config::default()
        };
        let clock = Arc::new(SystemClock);
        let tls = tls::Server::load(&certificate, directory.path(), &[], clock.clone()).unwrap();
        config.listen = ([127, 0, 0, 1], 0).into();
        let (log, sink) = tokio::io::duplex(1 << 20);
        let listener = Listener::bind(&config, tls.clone())
            .await
            .unwrap()
            .with_areas(area)
            .with_limits(access, limits);
        let shutdown = Shutdown::default();
        Self {
            address: listener.local_addr(),
            redirect: listener.redirect_addr(),
            metrics: listener.metrics().clone(),
            served: tokio::spawn(
                listener
                    .with_access_log(AccessLog::to(AccessLogFormat::Json, clock, sink).unwrap())
                    .serve(tower::service_fn(answer), shutdown.clone()),
            ),
            shutdown,
            tls,
            log,
            _directory: directory,
        }
    }

    /// Drains the gateway and reads its access log.
    async fn log(mut self) -> String {
        self.shutdown.drain();
        self.served.await.unwrap();
        let mut text = String::new();
        self.log.read_to_string(&mut text).await.unwrap();
        text
    }

    fn trust(&self) -> tls::ClientTrust {
        let file = self.tls.as_ref().unwrap().ca_certificate().unwrap();
        tls::ClientTrust {
            ca_certificate: Some(std::fs::read_to_string(file).unwrap()),
            insecure: false,
        }
    }

    async fn connect_tls(&self, protocols: &[&str]) -> TlsStream<TcpStream> {
        let mut config = tls::client_config(&self.trust()).unwrap();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap()
    }

    /// Sends bytes on a plain connection of their own and reads until the gateway closes it.
    async fn send(&self, request: impl AsRef<[u8]>) -> String {
        send(self.address, request).await
    }
}

async fn send(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_ref()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// More than all buffers between the gateway and its client take.
const LARGE: usize = 32 << 20;
/// One piece of an answer on HTTP/2.
const PAGE: usize = 20 << 10;

fn area(path: &str) -> Area {
    match path {
        "/token" => Area::Token,
        "/api" => Area::Api,
        "/metrics" => Area::Metrics,
        "/healthz" => Area::Probe,
        _ => Area::Registry,
    }
}

/// Tells the client what the service was told, after reading the whole request body.
async fn answer(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().unwrap().clone();
    let id = parts.extensions.get::<RequestId>().unwrap().clone();
    let visitor = parts.extensions.get::<Visitor>().unwrap().clone();
    let name = parts
        .headers
        .get("user")
        .map_or("mary", |name| name.to_str().unwrap());
    if let Err(TooManyRequests { .. }) = visitor.is(name).await {
        let refused = Response::builder().status(429).body(Body::Empty);
        return Ok(refused.unwrap());
    }
    assert!(parts.uri.path() != "/panic", "asked to");
    if parts.uri.path() == "/refuse" {
        return Ok(Response::builder()
            .status(403)
            .body(Body::from("no\n"))
            .unwrap());
    }
    if parts.uri.path() == "/large" {
        return Ok(Response::new(Body::from(vec![b'x'; LARGE])));
    }
    if parts.uri.path() == "/page" {
        return Ok(Response::new(Body::from(vec![b'x'; PAGE])));
    }
    if parts.uri.path() == "/relay" {
        relay(body).await;
        return Ok(Response::new(Body::Empty));
    }
    let read = match wire::collect(body, 64 << 20).await {
        Ok(body) => body.len().to_string(),
        Err(error) => error.to_string(),
    };
    let told = format!(
        "{} {} from {} by {}://{} id {} read {read}\n",
        parts.method, parts.uri, peer.address, peer.scheme, peer.host, id.0
    );
    Ok(Response::new(Body::from(told)))
}

/// Reads as hyper's client does when it sends a body on: not past the trailers.
async fn relay(mut body: Body) {
    while let Some(Ok(frame)) = body.frame().await {
        if frame.is_trailers() {
            return;
        }
    }
}
