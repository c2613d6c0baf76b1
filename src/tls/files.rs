//! Certificate and key files.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};

use super::{Error, provider};

/// The two files of a certificate.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

impl Pair {
    /// Reads both files and checks that they belong together.
    pub(super) fn load(&self) -> Result<Arc<CertifiedKey>, Error> {
        let chain = certificates(&self.cert)?;
        let key =
            PrivateKeyDer::from_pem_slice(&read(&self.key)?).map_err(|_parse| Error::NotPem {
                file: self.key.clone(),
                what: "private key",
            })?;
        let key = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|error| Error::BadKey {
                file: self.key.clone(),
                reason: error.to_string(),
            })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // `Unknown`: the key cannot tell its public half; there is nothing to compare.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
                Ok(Arc::new(certified))
            }
            Err(rustls::Error::InconsistentKeys(_)) => Err(Error::Mismatch {
                cert: self.cert.clone(),
                key: self.key.clone(),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// A value that changes whenever the content of either file does; `None` while one is
    /// missing or unreadable.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        let cert = fs::read(&self.cert).ok()?;
        let key = fs::read(&self.key).ok()?;
        let mut both = crate::secret::sha256(&cert).to_vec();
        both.extend_from_slice(&crate::secret::sha256(&key));
        Some(Fingerprint(crate::secret::sha256(&both)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

/// All certificates of a PEM file, at least one.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let not_pem = || Error::NotPem {
        file: file.to_owned(),
        what: "certificate",
    };
    let chain = CertificateDer::pem_slice_iter(&read(file)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_parse| not_pem())?;
    if chain.is_empty() {
        return Err(not_pem());
    }
    Ok(chain)
}

pub(super) fn read(file: &Path) -> Result<Vec<u8>, Error> {
    fs::read(file).map_err(|source| Error::Read {
        file: file.to_owned(),
        source,
    })
}

/// Who may read a written file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Readers {
    Everybody,
    Owner,
}

/// Puts a file in place whole or not at all.
pub(super) fn write(file: &Path, content: &str, readers: Readers) -> Result<(), Error> {
    let mode = match readers {
        Readers::Everybody => 0o644,
        Readers::Owner => 0o600,
    };
    let draft = file.with_extension("new");
    let put = || -> io::Result<()> {
        // A draft left by a killed process may have another mode.
        if let Err(error) = fs::remove_file(&draft)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut open = fs::OpenOptions::new();
        let mut out = open.write(true).create_new(true).mode(mode).open(&draft)?;
        out.write_all(content.as_bytes())?;
        out.sync_all()?;
        fs::rename(&draft, file)
    };
    put().map_err(|source| Error::Write {
        file: file.to_owned(),
        source,
    })
}
