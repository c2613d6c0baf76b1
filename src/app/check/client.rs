use std::{fmt, io, sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    server::{ExternalUrl, SEEN, SHOW, Seen},
    tls::{self, ClientTrust},
};

/// Asks one address by HTTP/1.1, each time on a connection of its own, and for what the gateway
/// sees of it. What is sent is sent as it is: a body may end before it is whole, as no client that
/// keeps to HTTP's rules could let it.
#[derive(Debug)]
pub(super) struct Client {
    origin: String,
    /// Name or address, and port.
    host: String,
    port: u16,
    /// Absent: plain HTTP.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// What is sent after the head of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Nothing,
    /// A body that goes on until there is an answer.
    EndlessBody,
}

/// The head of an answer; its body is of no interest.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Absent: the answer is not Tidegate's.
    pub(super) seen: Option<Seen>,
}

impl Client {
    /// `ca_certificate`, PEM, is believed besides the system's.
    pub(super) fn new(url: &ExternalUrl, ca_certificate: Option<String>) -> anyhow::Result<Self> {
        let parsed = url::Url::parse(url.origin())?;
        let host = url.host_name().trim_matches(['[', ']']).to_owned();
        let tls = if parsed.scheme() == "https" {
            let trust = ClientTrust {
                ca_certificate,
                insecure: false,
            };
            let name = ServerName::try_from(host.clone())?;
            Some((Arc::new(tls::client_config(&trust)?), name))
        } else {
            None
        };
        Ok(Self {
            origin: url.origin().to_owned(),
            host,
            port: parsed.port_or_known_default().unwrap_or(443),
            tls,
        })
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.ask(&format!("GET {path}"), "", Sent::Nothing).await
    }

    /// `target` is a method and a path; `headers` are whole lines, each with its end.
    pub(super) async fn ask(
        &self,
        target: &str,
        headers: &str,
        sent: Sent,
    ) -> anyhow::Result<Answer> {
        let (_, host) = self.origin.split_once("://").unwrap_or_default();
        let head = format!("{target} HTTP/1.1\r\nHost: {host}\r\n{SHOW}: 1\r\n{headers}\r\n");
        match timeout(PATIENCE, self.connect_and_send(&head, sent)).await {
            Ok(answer) => answer,
            Err(_elapsed) => bail!("{self} does not answer within {} s", PATIENCE.as_secs()),
        }
    }

    async fn connect_and_send(&self, head: &str, sent: Sent) -> anyhow::Result<Answer> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .with_context(|| format!("{self} cannot be reached"))?;
        let Some((config, name)) = &self.tls else {
            return exchange(stream, head, sent).await;
        };
        let connector = TlsConnector::from(config.clone());
        let stream = connector
            .connect(name.clone(), stream)
            .await
            .with_context(|| format!("clients cannot speak TLS with {self}"))?;
        exchange(stream, head, sent).await
    }
}

/// Sends a request and reads the head of its final answer (RFC 9110 §15.2).
async fn exchange<I>(stream: I, head: &str, sent: Sent) -> anyhow::Result<Answer>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let (read, mut write) = tokio::io::split(stream);
    let sending = async {
        // Who answers early may not take the rest.
        let _cut = send(&mut write, head, sent).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = receive(read) => answer,
        () = sending => bail!("nothing is sent any more"),
    }
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), head: &str, sent: Sent) -> io::Result<()> {
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;
    if sent == Sent::Nothing {
        return Ok(());
    }
    loop {
        stream.write_all(&PIECE).await?;
        stream.flush().await?;
        tokio::time::sleep(BETWEEN_PIECES).await;
    }
}

async fn receive(mut stream: impl AsyncRead + Unpin) -> anyhow::Result<Answer> {
    let mut bytes = Vec::new();
    loop {
        let end = bytes.windows(HEAD_END.len()).position(|at| at == HEAD_END);
        if let Some(end) = end {
            let answer = Answer::parse(&bytes[..end]).context("the answer is no HTTP")?;
            if !answer.status.is_informational() {
                return Ok(answer);
            }
            bytes.drain(..end + HEAD_END.len());
            continue;
        }
        ensure!(bytes.len() < HEAD_BYTES, "the answer has no end");
        let read = stream.read_buf(&mut bytes).await?;
        ensure!(read > 0, "the connection was closed without an answer");
    }
}

impl Answer {
    fn parse(head: &[u8]) -> Option<Self> {
        let head = std::str::from_utf8(head).ok()?;
        let (first, rest) = head.split_once("\r\n").unwrap_or((head, ""));
        let mut first = first.split(' ');
        first.next().filter(|word| word.starts_with("HTTP/1."))?;
        let status = first.next()?.parse().ok()?;
        let mut headers = HeaderMap::new();
        for line in rest.lines() {
            let (name, value) = line.split_once(':')?;
            let name = name.parse::<HeaderName>().ok()?;
            headers.append(name, HeaderValue::from_str(value.trim()).ok()?);
        }
        Some(Self {
            status,
            seen: headers.get(SEEN).and_then(Seen::parse),
            headers,
        })
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

/// Go's server, and so Caddy, takes in 256 KiB of a body before it passes on an early answer.
static PIECE: [u8; 64 << 10] = [0; 64 << 10];
const BETWEEN_PIECES: Duration = Duration::from_millis(50);
const HEAD_END: &[u8] = b"\r\n\r\n";
/// More than any server sends.
const HEAD_BYTES: usize = 64 << 10;
/// Of one request, from the name's look-up to the head of the answer.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of the bytes that a server sends before it closes.
    async fn answered(sent: &'static [u8]) -> anyhow::Result<Answer> {
        let (near, mut far) = tokio::io::duplex(64 << 10);
        far.write_all(sent).await.unwrap();
        far.shutdown().await.unwrap();
        exchange(near, "GET / HTTP/1.1\r\n\r\n", Sent::Nothing).await
    }

    #[tokio::test]
    async fn the_final_answer_is_read_and_its_headers() {
        let answer = answered(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 Unauthorized\r\nA: b\r\n\
              Tidegate-Seen: https://r; forwarded=absent\r\n\r\n{}",
        );
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 401);
        assert_eq!(answer.headers["a"], "b");
        assert_eq!(answer.seen.unwrap().host, "r");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_said_to_be_none() {
        for (sent, why) in [
            (&b""[..], "without an answer"),
            (b"HTTP/1.1 100 Continue\r\n\r\n", "without an answer"),
            (b"SSH-2.0-OpenSSH\r\n\r\n", "no HTTP"),
            (b"HTTP/1.1 abc\r\n\r\n", "no HTTP"),
        ] {
            let error = answered(sent).await.unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
