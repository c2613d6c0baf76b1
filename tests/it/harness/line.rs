use std::{path::Path, sync::Arc};

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Gateway, http::trust};

/// A TLS connection on which a test writes every byte itself.
pub struct Line(TlsStream<TcpStream>);

impl Line {
    pub async fn to(gateway: &Gateway) -> Self {
        Self::open(gateway.port(), &gateway.ca()).await.unwrap()
    }

    pub async fn open(port: u16, ca: &Path) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(trust(ca)));
        Ok(Self(connector.connect(name, stream).await?))
    }

    /// The server's own, in DER.
    pub fn certificate(&self) -> CertificateDer<'static> {
        let (_, session) = self.0.get_ref();
        session.peer_certificates().unwrap()[0].clone().into_owned()
    }

    pub async fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// One read: what is there, empty when the other side has ended.
    pub async fn hear(&mut self) -> String {
        let mut bytes = vec![0; 16 * 1024];
        let length = self.0.read(&mut bytes).await.unwrap_or(0);
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// Ends it with a reset, whatever is under way.
    pub fn reset(self) {
        let (stream, _) = self.0.get_ref();
        stream.set_zero_linger().unwrap();
    }
}
