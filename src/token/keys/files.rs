use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rcgen::KeyPair;

use super::{Keys, SigningKey, pair};
use crate::{
    clock::SharedClock,
    token::{Algorithm, Error},
};

/// `data_dir/token/`.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(Error::io(path))?;
        Ok(Self(path.into()))
    }

    /// Reads `<name>.key` and `<name>.crt`; `None` without a key. A missing certificate, or one
    /// of another key, is made anew.
    pub(super) fn load(
        &self,
        name: &str,
        clock: &SharedClock,
    ) -> Result<Option<SigningKey>, Error> {
        let path = self.0.join(format!("{name}.key"));
        let Some(pem) = read(&path)? else {
            return Ok(None);
        };
        let pair = KeyPair::from_pem(&pem).map_err(|error| Error::key(&path, &error))?;
        let certificate_path = self.0.join(format!("{name}.crt"));
        let stored = read(&certificate_path)?.and_then(|pem| pair::certificate_of(&pair, &pem));
        let certificate = match stored {
            Some(certificate) => certificate,
            None => self.certify(name, &pair, clock)?,
        };
        SigningKey::new(&pair, certificate)
            .map(Some)
            .map_err(|reason| Error::key(&path, &reason))
    }

    pub(super) fn create(
        &self,
        name: &str,
        algorithm: Algorithm,
        clock: &SharedClock,
    ) -> Result<SigningKey, Error> {
        let pair = KeyPair::generate_for(pair::rcgen_algorithm(algorithm))
            .map_err(|error| Error::Generate(error.to_string()))?;
        self.write(
            &format!("{name}.key"),
            pair.serialize_pem().as_bytes(),
            0o600,
        )?;
        let certificate = self.certify(name, &pair, clock)?;
        SigningKey::new(&pair, certificate).map_err(Error::Generate)
    }

    /// Makes room for a new signing key.
    pub(super) fn retire_signing_key(&self) -> Result<(), Error> {
        for extension in ["key", "crt"] {
            let from = self.0.join(format!("signing.{extension}"));
            let to = self.0.join(format!("previous.{extension}"));
            fs::rename(&from, to).map_err(Error::io(&from))?;
        }
        Ok(())
    }

    /// Writes the public parts for whoever runs the registry behind.
    pub(super) fn publish(&self, keys: &Keys) -> Result<(), Error> {
        let jwks = serde_json::to_vec_pretty(&keys.jwks())
            .map_err(|error| Error::Generate(error.to_string()))?;
        self.write("jwks.json", &jwks, 0o644)?;
        self.write("bundle.crt", keys.certificates_pem().as_bytes(), 0o644)
    }

    fn certify(&self, name: &str, pair: &KeyPair, clock: &SharedClock) -> Result<Vec<u8>, Error> {
        let certificate = pair::self_sign(pair, clock.now())
            .map_err(|error| Error::Generate(error.to_string()))?;
        self.write(&format!("{name}.crt"), certificate.pem().as_bytes(), 0o644)?;
        Ok(certificate.der().to_vec())
    }

    /// Replaces a file in one step, so that a crash leaves the old or the new one. An unchanged
    /// file is left alone.
    fn write(&self, name: &str, content: &[u8], mode: u32) -> Result<(), Error> {
        let path = self.0.join(name);
        if fs::read(&path).is_ok_and(|present| present == content) {
            return Ok(());
        }
        let temporary = self.0.join(format!(".{name}.new"));
        let written = || -> io::Result<()> {
            remove_if_there(&temporary)?;
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&temporary)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        };
        written().map_err(Error::io(&path))
    }
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path)(error)),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
