//! The gateway's own certificate: a CA made once, and a leaf it signs whenever the old one runs
//! out or the gateway's names change.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::{ServerName, UnixTime},
};

use super::{
    Error,
    files::{self, Pair, Readers},
    provider,
};
use crate::clock::{SharedClock, Timestamp};

/// Where the certificates live and which names the leaf must bear.
#[derive(Debug, Clone)]
pub(super) struct SelfSigned {
    directory: PathBuf,
    names: Vec<String>,
    clock: SharedClock,
}

impl SelfSigned {
    /// `names` are further host names and addresses beside those of the machine.
    pub(super) fn new(data_dir: &Path, names: &[String], clock: SharedClock) -> Self {
        let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1", machine.trim()]
            .into_iter()
            .map(str::to_owned)
            .chain(names.iter().map(|name| bare(name).to_ascii_lowercase()))
            .filter(|name| ServerName::try_from(name.as_str()).is_ok())
            .collect();
        all.sort_unstable();
        all.dedup();
        Self {
            directory: data_dir.join("tls"),
            names: all,
            clock,
        }
    }

    pub(super) fn ca_certificate(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    pub(super) fn pair(&self) -> Pair {
        Pair {
            cert: self.directory.join("tls.crt"),
            key: self.directory.join("tls.key"),
        }
    }

    /// Makes what is missing, about to expire, or made for other names.
    pub(super) fn ensure(&self) -> Result<(), Error> {
        let soon = self.clock.now().plus(RENEWAL);
        if self.is_good(soon) {
            return Ok(());
        }
        fs::create_dir_all(&self.directory).map_err(|source| Error::Write {
            file: self.directory.clone(),
            source,
        })?;
        if self.sign_leaf().is_ok() && self.is_good(soon) {
            tracing::info!(
                "made a new certificate signed by the CA in {}",
                self.shown()
            );
            return Ok(());
        }
        self.make_ca()?;
        self.sign_leaf()?;
        tracing::info!(
            "made a certificate and its CA; clients must trust {}",
            self.shown()
        );
        Ok(())
    }

    fn shown(&self) -> String {
        self.ca_certificate().display().to_string()
    }

    /// Whether the files on disk will convince a client at the time `at`, under every name.
    fn is_good(&self, at: Timestamp) -> bool {
        self.convinces(at).unwrap_or(false)
    }

    fn convinces(&self, at: Timestamp) -> Result<bool, Error> {
        let leaf = self.pair().load()?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(files::certificates(&self.ca_certificate())?);
        let Ok(verifier) =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()
        else {
            return Ok(false);
        };
        let seconds = u64::try_from(at.seconds()).unwrap_or(0);
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let [end_entity, intermediates @ ..] = leaf.cert.as_slice() else {
            return Ok(false);
        };
        Ok(self.names.iter().all(|name| {
            ServerName::try_from(name.as_str()).is_ok_and(|name| {
                verifier
                    .verify_server_cert(end_entity, intermediates, &name, &[], at)
                    .is_ok()
            })
        }))
    }

    fn make_ca(&self) -> Result<(), Error> {
        let key = KeyPair::generate()?;
        let certificate = self.ca_params().self_signed(&key)?;
        files::write(&self.ca_key(), &key.serialize_pem(), Readers::Owner)?;
        files::write(
            &self.ca_certificate(),
            &certificate.pem(),
            Readers::Everybody,
        )
    }

    fn sign_leaf(&self) -> Result<(), Error> {
        let ca_key = String::from_utf8_lossy(&files::read(&self.ca_key())?).into_owned();
        let issuer = Issuer::new(self.ca_params(), KeyPair::from_pem(&ca_key)?);
        let mut params = CertificateParams::new(self.names.clone())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Tidegate");
        self.set_validity(&mut params, LEAF_VALIDITY);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        let pair = self.pair();
        files::write(&pair.key, &key.serialize_pem(), Readers::Owner)?;
        files::write(&pair.cert, &certificate.pem(), Readers::Everybody)
    }

    /// The same for every call but for the dates, so that a leaf can be signed with nothing but
    /// the key.
    fn ca_params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Tidegate local CA");
        self.set_validity(&mut params, CA_VALIDITY);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    fn set_validity(&self, params: &mut CertificateParams, validity: Duration) {
        let now = self.clock.now();
        params.not_before = now.minus(CLOCK_SKEW).to_utc();
        params.not_after = now.plus(validity).to_utc();
    }

    fn ca_key(&self) -> PathBuf {
        self.directory.join("ca.key")
    }
}

/// An address as certificates write it: without the brackets of a URL.
fn bare(name: &str) -> &str {
    name.trim_start_matches('[').trim_end_matches(']')
}

/// Renewed this long before the end, so that a gateway that is seldom restarted is covered too.
const RENEWAL: Duration = Duration::from_hours(30 * 24);
/// The longest that browsers and Go accept without complaint is 398 days.
const LEAF_VALIDITY: Duration = Duration::from_hours(397 * 24);
/// Longer than any gateway lives, for a new CA has to be carried to every client by hand.
const CA_VALIDITY: Duration = Duration::from_hours(50 * 365 * 24);
/// Clients whose clocks run behind.
const CLOCK_SKEW: Duration = Duration::from_hours(24);
