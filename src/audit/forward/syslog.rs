use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UdpSocket, lookup_host},
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

use super::{Sink, message::Origin};
use crate::{
    audit::recorder::Noted,
    settings::{self, Endpoint, Transport},
    tls::{self, ClientTrust},
};

/// The receiver that the setting `audit_log_forward_endpoint` names.
#[derive(Debug)]
pub(super) struct Syslog {
    settings: settings::Reader,
    trust: ClientTrust,
    origin: Origin,
    connected: Option<(Endpoint, Link)>,
    /// What was tried last.
    tried: Option<Endpoint>,
}

/// A way to a receiver.
enum Link {
    /// RFC 5426: a message a datagram.
    Datagrams(UdpSocket),
    /// RFC 6587 §3.4.1 and RFC 5425 §4.3: each message behind its length.
    Stream(Box<dyn Stream>),
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Datagrams(_) => "Datagrams",
            Self::Stream(_) => "Stream",
        })
    }
}

/// A byte stream, with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

impl Syslog {
    pub(super) fn new(settings: settings::Reader, trust: ClientTrust) -> Self {
        Self {
            settings,
            trust,
            origin: Origin::here(),
            connected: None,
            tried: None,
        }
    }

    /// The receiver as it is set now.
    fn wanted(&self) -> Option<Endpoint> {
        Endpoint::parse(&self.settings.values().audit_log_forward_endpoint)
    }

    /// The way to this receiver: the one at hand while it holds, else a new one.
    async fn link(&mut self, wanted: &Endpoint) -> io::Result<Link> {
        if let Some((endpoint, mut link)) = self.connected.take()
            && endpoint == *wanted
            && link.is_open().await
        {
            return Ok(link);
        }
        let connecting = timeout(CONNECTING, connect(wanted, &self.trust));
        let connected = connecting.await.unwrap_or_else(|_elapsed| Err(no_answer()));
        connected.map_err(|error| io::Error::new(error.kind(), format!("{wanted}: {error}")))
    }
}

impl Sink for Syslog {
    async fn send(&mut self, events: &mut Vec<Arc<Noted>>) -> io::Result<bool> {
        self.tried = self.wanted();
        let Some(wanted) = self.tried.clone() else {
            self.connected = None;
            return Ok(false);
        };
        let mut link = self.link(&wanted).await?;
        let sending = timeout(WRITING, link.send(&self.origin, events));
        let sent = sending.await.unwrap_or_else(|_elapsed| Err(no_answer()));
        sent.map_err(|error| io::Error::new(error.kind(), format!("{wanted}: {error}")))?;
        self.connected = Some((wanted, link));
        Ok(true)
    }

    fn has_moved(&self) -> bool {
        self.wanted() != self.tried
    }
}

impl Link {
    /// Whether the other side has not hung up, as far as it is known here.
    async fn is_open(&mut self) -> bool {
        let Self::Stream(stream) = self else {
            return true;
        };
        let mut ignored = [0; 256];
        for _ in 0..MOST_READS {
            tokio::select! {
                biased;
                read = stream.read(&mut ignored) => {
                    if !matches!(read, Ok(1..)) {
                        return false;
                    }
                }
                () = sleep(LISTENING) => return true,
            }
        }
        true
    }

    async fn send(&mut self, origin: &Origin, events: &mut Vec<Arc<Noted>>) -> io::Result<()> {
        match self {
            Self::Datagrams(socket) => {
                while let Some(noted) = events.first() {
                    let message = origin.message(noted, LONGEST_DATAGRAM);
                    socket.send(message.as_bytes()).await?;
                    events.remove(0);
                }
            }
            Self::Stream(stream) => {
                let mut bytes = Vec::new();
                for noted in &*events {
                    let message = origin.message(noted, LONGEST_FRAME);
                    bytes.extend_from_slice(format!("{} {message}", message.len()).as_bytes());
                }
                stream.write_all(&bytes).await?;
                stream.flush().await?;
                events.clear();
            }
        }
        Ok(())
    }
}

async fn connect(endpoint: &Endpoint, trust: &ClientTrust) -> io::Result<Link> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((endpoint.host.as_str(), endpoint.port)).await? {
        match connect_to(address, endpoint, trust).await {
            Ok(link) => return Ok(link),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn connect_to(
    address: SocketAddr,
    endpoint: &Endpoint,
    trust: &ClientTrust,
) -> io::Result<Link> {
    if endpoint.transport == Transport::Udp {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(address).await?;
        return Ok(Link::Datagrams(socket));
    }
    let connecting = timeout(EACH_ADDRESS, TcpStream::connect(address));
    let tcp = connecting
        .await
        .unwrap_or_else(|_elapsed| Err(no_answer()))?;
    if endpoint.transport == Transport::Tcp {
        return Ok(Link::Stream(Box::new(tcp)));
    }
    let config = tls::client_config(trust).map_err(io::Error::other)?;
    let name = ServerName::try_from(endpoint.host.clone()).map_err(io::Error::other)?;
    let tls = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await?;
    Ok(Link::Stream(Box::new(tls)))
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

/// RFC 5426 §3.2: what receivers should take at least.
const LONGEST_DATAGRAM: usize = 2048;

/// RFC 5425 §4.3.1: what receivers should take at least.
const LONGEST_FRAME: usize = 8192;

/// Long enough that a hang-up which has arrived is noticed.
const LISTENING: Duration = Duration::from_millis(1);

/// What a receiver says beyond so many reads is left unread: it may talk without an end.
const MOST_READS: usize = 8;

const CONNECTING: Duration = Duration::from_secs(10);
const EACH_ADDRESS: Duration = Duration::from_secs(3);

/// A receiver that takes nothing for so long has gone.
const WRITING: Duration = Duration::from_secs(10);
