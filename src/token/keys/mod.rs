//! The signing keys: made on first start, kept under `data_dir/token/`, at most two alive.
//!
//! | file | what |
//! | --- | --- |
//! | `signing.key` | private key, PKCS#8 PEM, mode 0600; signs every new token |
//! | `signing.crt` | its self-signed certificate, for `x5c` |
//! | `previous.key`, `previous.crt` | the key before it; its tokens are still accepted |
//! | `bundle.crt` | both certificates: distribution's `rootcertbundle` |
//! | `jwks.json` | both public keys: distribution's `jwks` |
//!
//! To rotate, rename `signing.*` to `previous.*` and restart; `previous.*` may be deleted once
//! the longest-lived token has expired. Several gateways share the folder's content.

mod files;
mod pair;
mod public;

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Algorithm, Error, KeyReference};
use crate::{
    auth::bearer::{self, InvalidKey, PublicKey},
    clock::SharedClock,
};

use files::Folder;
pub use pair::SigningKey;
pub use public::{Jwk, VerifyingKey};

/// The key that signs and those that still verify.
#[derive(Debug)]
pub struct Keys {
    signing: SigningKey,
    previous: Option<VerifyingKey>,
}

/// A JSON Web Key Set (RFC 7517 §5).
#[derive(Debug, Serialize, JsonSchema)]
pub struct Jwks<'a> {
    pub keys: Vec<&'a Jwk>,
}

impl Keys {
    /// Loads the keys under `data_dir/token`, makes what is missing, and publishes the public
    /// parts beside them. A key of another algorithm becomes the previous one.
    pub fn load(data_dir: &Path, algorithm: Algorithm, clock: &SharedClock) -> Result<Self, Error> {
        let folder = Folder::open(&data_dir.join("token"))?;
        if let Some(present) = folder.load("signing", clock)?
            && present.public().algorithm() != algorithm
        {
            folder.retire_signing_key()?;
        }
        let signing = match folder.load("signing", clock)? {
            Some(key) => key,
            None => folder.create("signing", algorithm, clock)?,
        };
        let previous = folder.load("previous", clock)?.map(SigningKey::into_public);
        let keys = Self { signing, previous };
        folder.publish(&keys)?;
        Ok(keys)
    }

    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The public keys whose tokens are accepted, the signing key's first.
    pub fn verifying(&self) -> impl Iterator<Item = &VerifyingKey> {
        std::iter::once(self.signing.public()).chain(&self.previous)
    }

    /// The same keys for whoever checks tokens named by `reference`.
    pub fn verifiers(&self, reference: KeyReference) -> Result<Vec<PublicKey>, InvalidKey> {
        self.verifying()
            .map(|key| {
                let algorithm = match key.algorithm() {
                    Algorithm::Es256 => bearer::Algorithm::Es256,
                    Algorithm::Rs256 => bearer::Algorithm::Rs256,
                };
                PublicKey::from_pem(key.key_id(reference), algorithm, &key.public_key_pem())
            })
            .collect()
    }

    pub fn jwks(&self) -> Jwks<'_> {
        Jwks {
            keys: self.verifying().map(VerifyingKey::jwk).collect(),
        }
    }

    /// The certificates as PEM, the signing key's first.
    pub fn certificates_pem(&self) -> String {
        self.verifying()
            .map(VerifyingKey::certificate_pem)
            .collect()
    }
}

#[cfg(test)]
mod tests;
