use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

/// Encrypts small secrets at rest with AES-256-GCM.
///
/// A sealed value is `nonce (12 bytes) ‖ ciphertext ‖ tag (16 bytes)`. The context names the
/// place the value belongs to (`registries.secret`), so that it cannot be moved elsewhere.
pub struct SealingKey(RandomizedNonceKey);

/// Why a sealed value could not be opened or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("the sealed value was made with another key, for another place, or is damaged")]
    Open,
    #[error("the secret could not be encrypted")]
    Seal,
    #[error("the sealing key must be 32 bytes long")]
    Key,
}

impl SealingKey {
    pub const LEN: usize = 32;

    pub fn new(key: &[u8]) -> Result<Self, SealError> {
        let key =
            RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_unspecified| SealError::Key)?;
        Ok(Self(key))
    }

    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut body = plain.to_vec();
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(context), &mut body)
            .map_err(|_unspecified| SealError::Seal)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut body);
        Ok(sealed)
    }

    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, body) = sealed
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(SealError::Open)?;
        let mut body = body.to_vec();
        let plain = self
            .0
            .open_in_place(Nonce::from(nonce), Aad::from(context), &mut body)
            .map_err(|_unspecified| SealError::Open)?;
        Ok(plain.to_vec())
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_values_open_only_with_their_key_and_context() {
        let key = SealingKey::new(&[7; 32]).unwrap();
        let sealed = key.seal("registries.secret", b"hunter2").unwrap();
        assert_eq!(key.open("registries.secret", &sealed).unwrap(), b"hunter2");
        assert_eq!(key.open("elsewhere", &sealed), Err(SealError::Open));
        let other = SealingKey::new(&[8; 32]).unwrap();
        assert_eq!(
            other.open("registries.secret", &sealed),
            Err(SealError::Open)
        );
        assert_eq!(
            key.open("registries.secret", &sealed[..5]),
            Err(SealError::Open)
        );
    }

    #[test]
    fn sealing_twice_gives_different_bytes() {
        let key = SealingKey::new(&[7; 32]).unwrap();
        assert_ne!(key.seal("c", b"x").unwrap(), key.seal("c", b"x").unwrap());
    }

    #[test]
    fn keys_of_the_wrong_length_are_refused() {
        assert_eq!(SealingKey::new(&[7; 16]).unwrap_err(), SealError::Key);
    }
}
