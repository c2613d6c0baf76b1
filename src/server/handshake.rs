//! From a fresh TCP connection to one that speaks a known protocol.

use std::{io, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{metrics::HandshakeFailure, stall::Stall};

/// The two protocols that are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Shakes hands; the client's choice of protocol is in the ALPN extension.
pub(super) async fn tls(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    body_idle: Duration,
) -> Result<(TlsStream<Stall<TcpStream>>, Protocol), HandshakeFailure> {
    if !begins_with_tls(&stream).await {
        tell_to_use_https(stream).await;
        return Err(HandshakeFailure::PlainHttp);
    }
    let stream = TlsAcceptor::from(config)
        .accept(Stall::new(stream, body_idle))
        .await
        .map_err(|error| {
            // Scanners and clients that do not trust the CA: of interest only when sought.
            tracing::debug!("a TLS handshake failed: {error}");
            HandshakeFailure::Tls
        })?;
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    Ok((stream, protocol))
}

/// Waits for the first bytes of a plain connection and tells which protocol they are of.
pub(super) async fn plain(stream: &TcpStream) -> Result<Protocol, HandshakeFailure> {
    let mut first = [0; 24];
    let length = stream
        .peek(&mut first)
        .await
        .map_err(|_gone| HandshakeFailure::Closed)?;
    if length == 0 {
        return Err(HandshakeFailure::Closed);
    }
    // No method of HTTP/1 begins with these bytes, so a part of the preface decides.
    Ok(
        if length > 2 && HTTP2_PREFACE.starts_with(&first[..length]) {
            Protocol::Http2
        } else {
            Protocol::Http1
        },
    )
}

async fn begins_with_tls(stream: &TcpStream) -> bool {
    let mut first = [0];
    let read = stream.peek(&mut first).await;
    !matches!(read, Ok(1) if first[0].is_ascii_alphabetic())
}

/// Clients that were told the registry is insecure try plain HTTP on any port.
async fn tell_to_use_https(mut stream: TcpStream) {
    let answer = async {
        stream.write_all(USE_HTTPS).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection and take the answer along.
        let mut rest = [0; 4096];
        let mut budget = REST_OF_PLAIN_REQUEST;
        while budget > 0 {
            match stream.read(&mut rest).await? {
                0 => break,
                read => budget = budget.saturating_sub(read),
            }
        }
        io::Result::Ok(())
    };
    // Best effort: the client may be gone.
    let _ = timeout(Duration::from_secs(1), answer).await;
}

const USE_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 60\r\n\
    Connection: close\r\n\r\n\
    This port speaks HTTPS. Use https:// in the address instead\n";
/// More than the head of any sane request.
const REST_OF_PLAIN_REQUEST: usize = 64 << 10;
/// RFC 9113 §3.4.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
