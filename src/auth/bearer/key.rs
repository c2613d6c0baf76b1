use std::fmt;

use jsonwebtoken::DecodingKey;

/// Signature algorithms we accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Es256,
    Rs256,
}

impl Algorithm {
    pub(super) const fn jwt(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
        }
    }
}

/// A key that checks signatures, and the `kid` tokens name it by.
#[derive(Clone)]
pub struct PublicKey {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// A public key that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the token key `{kid}` is not a public key of the stated algorithm: {reason}")]
pub struct InvalidKey {
    pub kid: String,
    pub reason: String,
}

impl PublicKey {
    /// `SubjectPublicKeyInfo` in PEM (`BEGIN PUBLIC KEY`).
    pub fn from_pem(
        kid: impl Into<String>,
        algorithm: Algorithm,
        pem: &str,
    ) -> Result<Self, InvalidKey> {
        let kid = kid.into();
        let key = match algorithm {
            Algorithm::Es256 => DecodingKey::from_ec_pem(pem.as_bytes()),
            Algorithm::Rs256 => DecodingKey::from_rsa_pem(pem.as_bytes()),
        };
        match key {
            Ok(key) => Ok(Self {
                kid,
                algorithm,
                key,
            }),
            Err(error) => Err(InvalidKey {
                kid,
                reason: error.to_string(),
            }),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {:?})", self.kid, self.algorithm)
    }
}
