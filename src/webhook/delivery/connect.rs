use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use http::Uri;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::guard::{NotPublic, permit};
use crate::{
    registry::Proxies,
    tls::{self, ClientTrust},
    webhook::Config,
};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Forbidden(#[from] NotPublic),
    #[error("cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
}

/// A byte stream to a receiver, with or without TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to the host of a URL, through an HTTP proxy where one is set for it.
///
/// What a name means is asked once, here, and only the permitted addresses of the answer are
/// tried: a name that means another address the next time gains nothing. Behind a proxy it is
/// the proxy that looks names up and decides.
pub(super) async fn connect(
    config: &Config,
    proxies: &Proxies,
    url: &Url,
    trust: &ClientTrust,
) -> Result<Box<dyn Stream>, Error> {
    let opened = tokio::time::timeout(config.connect_timeout(), async {
        let tcp = match proxies.tunnel(&uri_of(url)?) {
            Some(tunnel) => {
                check_literal(config, url)?;
                tunnel.await.map_err(io::Error::other)?
            }
            None => direct(config, url).await?,
        };
        if url.scheme() != "https" {
            return Ok(Box::new(tcp) as Box<dyn Stream>);
        }
        Ok(Box::new(encrypt(tcp, url, trust).await?) as Box<dyn Stream>)
    });
    opened.await.unwrap_or_else(|_elapsed| {
        let seconds = config.connect_timeout().as_secs();
        Err(timed_out(&format!("no connection within {seconds} s")).into())
    })
}

async fn direct(config: &Config, url: &Url) -> Result<TcpStream, Error> {
    let mut refusal = None;
    let mut failure = None;
    for address in addresses(url).await? {
        if let Err(refused) = permit(config, address.ip()) {
            refusal = Some(refused);
            continue;
        }
        match tokio::time::timeout(EACH_ADDRESS, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => failure = Some(error),
            Err(_elapsed) => failure = Some(timed_out("no answer")),
        }
    }
    match (failure, refusal) {
        (None, Some(refusal)) => Err(refusal.into()),
        (Some(failure), _) => Err(failure.into()),
        (None, None) => Err(io::Error::other("its name has no address").into()),
    }
}

/// The addresses of a URL's host; a number in brackets or dots is one itself.
async fn addresses(url: &Url) -> io::Result<Vec<SocketAddr>> {
    let port = url.port_or_known_default().unwrap_or(443);
    match url.host() {
        Some(Host::Ipv4(address)) => Ok(vec![(address, port).into()]),
        Some(Host::Ipv6(address)) => Ok(vec![(address, port).into()]),
        Some(Host::Domain(name)) => Ok(tokio::net::lookup_host((name, port)).await?.collect()),
        None => Err(io::Error::other("the address names no host")),
    }
}

fn check_literal(config: &Config, url: &Url) -> Result<(), NotPublic> {
    match url.host() {
        Some(Host::Ipv4(address)) => permit(config, address.into()),
        Some(Host::Ipv6(address)) => permit(config, address.into()),
        _ => Ok(()),
    }
}

async fn encrypt(
    tcp: TcpStream,
    url: &Url,
    trust: &ClientTrust,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let config = tls::client_config(trust).map_err(io::Error::other)?;
    let host = url.host_str().unwrap_or_default();
    let name = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
}

fn uri_of(url: &Url) -> io::Result<Uri> {
    url.as_str().parse().map_err(io::Error::other)
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// So that a second address is tried within the limit for all of it.
const EACH_ADDRESS: Duration = Duration::from_secs(2);
