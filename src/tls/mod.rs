//! TLS on both sides: the listener's certificate, kept fresh, and the trust of outgoing calls.
//!
//! [`Server`] owns the certificate files and hands out the configuration of the moment;
//! [`client_config`] builds what a connector needs. The room opens no sockets and knows nothing
//! of HTTP beyond the two protocol names it offers. Read `server.rs` first.

mod client;
mod error;
mod files;
mod self_signed;
mod server;
#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use rustls::{SupportedProtocolVersion, crypto::CryptoProvider, version};

pub use client::{ClientTrust, client_config};
pub use error::Error;
pub use server::Server;

/// `[tls]`: what the listener shows to clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub mode: Mode,
    /// PEM file with the certificate, followed by its intermediates.
    pub cert: Option<PathBuf>,
    /// PEM file with the private key of the certificate.
    pub key: Option<PathBuf>,
    /// The oldest version that clients may speak.
    pub min_version: MinVersion,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
pub enum MinVersion {
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

impl MinVersion {
    /// This one and all that are newer.
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => &FROM_TLS12,
            Self::Tls13 => &FROM_TLS13,
        }
    }
}

static FROM_TLS12: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
static FROM_TLS13: [&SupportedProtocolVersion; 1] = [&version::TLS13];

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The given certificate, or else one signed by an own CA under the data directory.
    #[default]
    Auto,
    /// Plain HTTP: somebody else terminates TLS.
    Off,
}

/// Makes aws-lc-rs the process's cryptography. Harmless when repeated; call it first in `main`
/// and in tests that use libraries which ask for the process's default.
pub fn install_crypto() {
    // Fails only when one is installed already, and there is only one to install.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// The one provider that every configuration of this room is built with.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    PROVIDER.clone()
}
