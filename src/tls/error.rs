use std::{io, path::PathBuf};

/// What can be wrong with certificates and trust. Every message names the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Only one of `tls.cert` and `tls.key` is set.
    #[error(
        "tls.{present} is set but tls.{absent} is not; set both, or neither for a self-signed certificate"
    )]
    HalfPair {
        present: &'static str,
        absent: &'static str,
    },
    #[error("cannot read {file}: {source}", file = file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("cannot write {file}: {source}", file = file.display())]
    Write { file: PathBuf, source: io::Error },
    #[error("{file} holds no {what} in PEM form", file = file.display())]
    NotPem { file: PathBuf, what: &'static str },
    #[error("{file} holds a key that cannot be used: {reason}", file = file.display())]
    BadKey { file: PathBuf, reason: String },
    #[error(
        "the key in {key} does not belong to the certificate in {cert}; \
         give the key the certificate was issued for",
        key = key.display(), cert = cert.display()
    )]
    Mismatch { cert: PathBuf, key: PathBuf },
    /// The text of a configured CA certificate is not PEM.
    #[error("the CA certificate is not a PEM certificate: {reason}")]
    BadCa { reason: String },
    #[error("cannot make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
}
