use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    server::{ProducesTickets, ResolvesServerCert},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{
    Config, Error, MinVersion, Mode,
    files::{Fingerprint, Pair},
    provider,
    self_signed::SelfSigned,
};
use crate::clock::SharedClock;

/// The listener's side of TLS: the certificate of the moment. Clones share it.
///
/// Connections take [`Server::config`] when they begin and keep it to their end, so that a new
/// certificate drops none.
#[derive(Debug, Clone)]
pub struct Server {
    current: Arc<ArcSwap<ServerConfig>>,
    tickets: Arc<dyn ProducesTickets>,
    min_version: MinVersion,
    pair: Pair,
    /// What the files held when they were loaded, for [`Server::watch`] to compare with.
    loaded: Option<Fingerprint>,
    own: Option<SelfSigned>,
}

impl Server {
    /// Reads the certificate, or makes one under `data_dir/tls` when none is configured; `None`
    /// when TLS is off. `host_names` are the names and addresses, beside those of the machine,
    /// which a self-signed certificate is to bear.
    pub fn load(
        config: &Config,
        data_dir: &Path,
        host_names: &[String],
        clock: SharedClock,
    ) -> Result<Option<Self>, Error> {
        if config.mode == Mode::Off {
            return Ok(None);
        }
        let (pair, own) = match (&config.cert, &config.key) {
            (Some(cert), Some(key)) => {
                let (cert, key) = (cert.clone(), key.clone());
                (Pair { cert, key }, None)
            }
            (None, None) => {
                let own = SelfSigned::new(data_dir, host_names, clock);
                own.ensure()?;
                (own.pair(), Some(own))
            }
            (Some(_), None) => return Err(half("cert", "key")),
            (None, Some(_)) => return Err(half("key", "cert")),
        };
        let tickets = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        let loaded = pair.fingerprint();
        let current = server_config(pair.load()?, tickets.clone(), config.min_version)?;
        Ok(Some(Self {
            min_version: config.min_version,
            current: Arc::new(ArcSwap::from_pointee(current)),
            tickets,
            pair,
            loaded,
            own,
        }))
    }

    /// What a connection that begins now is to use. Offers `h2` and `http/1.1`.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// The file of the CA that clients must trust; `None` when the certificate was configured.
    pub fn ca_certificate(&self) -> Option<PathBuf> {
        self.own.as_ref().map(SelfSigned::ca_certificate)
    }

    /// Reads the files again. On an error the certificate in use stays.
    pub fn reload(&self) -> Result<(), Error> {
        if let Some(own) = &self.own {
            own.ensure()?;
        }
        let config = server_config(self.pair.load()?, self.tickets.clone(), self.min_version)?;
        self.current.store(Arc::new(config));
        Ok(())
    }

    /// Takes up changed files, and renews a self-signed certificate, until `stop`.
    ///
    /// Looks at the content every ten seconds, and at once on SIGHUP: watching for file events would miss the
    /// symbolic links that Kubernetes swaps.
    pub async fn watch(self, stop: CancellationToken) {
        let mut seen = self.loaded;
        let mut hangup = signal(SignalKind::hangup()).ok();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = received(&mut hangup) => {}
            }
            let found = self.look().await;
            if found == seen {
                continue;
            }
            seen = found;
            self.take_up();
        }
    }

    async fn look(&self) -> Option<Fingerprint> {
        let this = self.clone();
        let look = move || {
            if let Some(Err(error)) = this.own.as_ref().map(SelfSigned::ensure) {
                tracing::warn!("cannot renew the self-signed certificate: {error}");
            }
            this.pair.fingerprint()
        };
        tokio::task::spawn_blocking(look).await.ok().flatten()
    }

    fn take_up(&self) {
        match self.reload() {
            Ok(()) => tracing::info!("took up the changed certificate {}", self.shown()),
            Err(error) => tracing::warn!("keeping the certificate in use: {error}"),
        }
    }

    fn shown(&self) -> String {
        self.pair.cert.display().to_string()
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        // The system gives no signals; looking now and then must do.
        None => std::future::pending().await,
    }
}

fn half(present: &'static str, absent: &'static str) -> Error {
    Error::HalfPair { present, absent }
}

fn server_config(
    certified: Arc<CertifiedKey>,
    tickets: Arc<dyn ProducesTickets>,
    min_version: MinVersion,
) -> Result<ServerConfig, Error> {
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(certified));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(min_version.versions())?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    // Some clients of HTTP/1.0 name it, and go away when nobody knows it.
    config.alpn_protocols = [&b"h2"[..], b"http/1.1", b"http/1.0"]
        .map(<[u8]>::to_vec)
        .into();
    // dockerd opens a connection for each request; tickets make all but the first cheap, and
    // outlive a new certificate and a full session cache. One ticket a handshake is enough for
    // clients that come back one connection at a time.
    config.ticketer = tickets;
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// How soon a changed certificate is taken up.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
