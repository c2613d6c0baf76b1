//! What reads the bytes of clients, for `tests/fuzz`.

use std::{net::IpAddr, sync::Arc};

use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Access, AccessLog, Area, Config, Limits, Metrics, Service, Shutdown, TrustedProxies,
    connection::{Connection, Doorway},
    crowd::Crowd,
    edge::Edge,
    handshake::Protocol,
    limits::Pacer,
    proxy_protocol::{self, Told},
    redaction::Redacted,
    speed::Speed,
};
use crate::wire::Peer;

/// Serves a client that speaks HTTP/1.1, as after its handshake, until the connection ends.
pub async fn http1<I, S>(stream: I, service: S)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service,
{
    let (config, limits) = (Config::default(), Limits::default());
    let metrics = Metrics::default();
    let door = Doorway {
        timeouts: config.timeouts(),
        shutdown: Shutdown::default(),
        trusted_proxies: config.trusted_proxies.clone(),
        proxy_protocol: config.proxy_protocol_from.clone(),
        response_headers: config.response_headers,
        access: Access::default(),
        crowd: Crowd::new(&limits, config.trusted_proxies),
        pacer: Pacer::new(&limits, &metrics),
        speed: Speed::new(&limits),
        metrics,
        access_log: AccessLog::none().0,
    };
    let client = IpAddr::from([192, 0, 2, 7]);
    let connection = Connection {
        remote: (client, 40_000).into(),
        tls: None,
        edge: Edge::new(service, |_path| Area::Other, Arc::new(door)),
    };
    let speaking = connection.speak(client, Protocol::Http1, "http", stream);
    speaking.await;
}

/// The client that a header of the PROXY protocol names, if it names one; the error says why it
/// is refused.
pub async fn proxy_header<I: AsyncRead + Unpin>(stream: &mut I) -> Result<Option<IpAddr>, String> {
    match proxy_protocol::read(stream).await {
        Ok(Told::Client(address)) => Ok(Some(address)),
        Ok(Told::Nothing) => Ok(None),
        Err(malformed) => Err(malformed.to_string()),
    }
}

/// Who is behind a connection, by its headers.
pub fn resolve(proxies: &TrustedProxies, direct: Peer, headers: &HeaderMap) -> Peer {
    proxies.resolve(direct, headers)
}

/// A request target as the access log has it.
pub fn redacted(target: &str) -> String {
    Redacted(target).to_string()
}
