use std::{collections::HashSet, sync::Arc};

use arc_swap::ArcSwap;
use jsonwebtoken::{Validation, decode_header, errors::ErrorKind};
use quick_cache::sync::Cache;

use super::{Claims, PublicKey};
use crate::{
    clock::{SharedClock, Timestamp},
    secret::sha256,
};

/// Why a token is refused; all are `error="invalid_token"` in the challenge (RFC 6750 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the token is not a JSON Web Token of ours")]
    Malformed,
    #[error("the token has expired, or is not valid yet")]
    Expired,
    #[error("the token's signature is wrong or its key is not known")]
    WrongSignature,
    #[error("the token was made by somebody else or for another service")]
    WrongAudience,
}

/// Whose tokens, and for whom, are accepted; compared exactly.
#[derive(Debug, Clone)]
pub struct Expected {
    pub issuer: String,
    pub audience: String,
}

/// Checks tokens. Cheap to clone.
///
/// A signature costs about 60 µs to check, so verified tokens are remembered by their SHA-256
/// in a bounded cache; their times are looked at on every use.
#[derive(Debug, Clone)]
pub struct Verifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Swapped as a whole, so that what was verified by a key goes with it.
    trust: ArcSwap<Trust>,
    expected: Expected,
    clock: SharedClock,
    entries: usize,
}

#[derive(Debug)]
struct Trust {
    keys: Vec<PublicKey>,
    verified: Cache<[u8; 32], Arc<Claims>>,
}

impl Verifier {
    /// `entries` bounds the cache of verified tokens.
    pub fn new(
        keys: Vec<PublicKey>,
        expected: Expected,
        clock: SharedClock,
        entries: usize,
    ) -> Self {
        Self(Arc::new(Inner {
            trust: ArcSwap::from_pointee(Trust::new(keys, entries)),
            expected,
            clock,
            entries,
        }))
    }

    /// The claims of a token of ours that is valid now, give or take [`LEEWAY_SECONDS`].
    pub fn verify(&self, token: &str) -> Result<Arc<Claims>, Error> {
        let claims = self.signed(token)?;
        let now = self.0.clock.now();
        if has_begun(&claims, now) && !has_ended(&claims, now) {
            Ok(claims)
        } else {
            Err(Error::Expired)
        }
    }

    /// Like [`Verifier::verify`] for a token that may have expired: an upload that began while
    /// it was valid may be finished with it.
    pub fn verify_expired(&self, token: &str) -> Result<Arc<Claims>, Error> {
        let claims = self.signed(token)?;
        if has_begun(&claims, self.0.clock.now()) {
            Ok(claims)
        } else {
            Err(Error::Expired)
        }
    }

    /// The claims of a token that we made for this service, whenever.
    fn signed(&self, token: &str) -> Result<Arc<Claims>, Error> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Error::Malformed);
        }
        let trust = self.0.trust.load();
        let digest = sha256(token.as_bytes());
        if let Some(claims) = trust.verified.get(&digest) {
            return Ok(claims);
        }
        let claims = Arc::new(trust.check_signature(token)?);
        self.check_parties(&claims)?;
        trust.verified.insert(digest, Arc::clone(&claims));
        Ok(claims)
    }

    /// Takes other keys from now on, as when they are rotated; tokens of keys that are gone are
    /// refused at once.
    pub fn replace_keys(&self, keys: Vec<PublicKey>) {
        self.0
            .trust
            .store(Arc::new(Trust::new(keys, self.0.entries)));
    }

    fn check_parties(&self, claims: &Claims) -> Result<(), Error> {
        let Expected { issuer, audience } = &self.0.expected;
        if claims.iss == *issuer && claims.aud == *audience {
            Ok(())
        } else {
            Err(Error::WrongAudience)
        }
    }
}

impl Trust {
    fn new(keys: Vec<PublicKey>, entries: usize) -> Self {
        Self {
            keys,
            verified: Cache::new(entries),
        }
    }

    /// The algorithm is the key's, never the token's: a token cannot choose a weaker one.
    fn check_signature(&self, token: &str) -> Result<Claims, Error> {
        let header = decode_header(token).map_err(|_unreadable| Error::Malformed)?;
        let key = self
            .keys
            .iter()
            .find(|key| header.kid.as_deref() == Some(&key.kid))
            .ok_or(Error::WrongSignature)?;
        let mut validation = Validation::new(key.algorithm.jwt());
        validation.required_spec_claims = HashSet::new();
        // Times and parties are checked by us: our clock, our error kinds.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        jsonwebtoken::decode::<Claims>(token, &key.key, &validation)
            .map(|data| data.claims)
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidSignature
                | ErrorKind::InvalidAlgorithm
                | ErrorKind::InvalidAlgorithmName => Error::WrongSignature,
                _ => Error::Malformed,
            })
    }
}

fn has_begun(claims: &Claims, now: Timestamp) -> bool {
    claims.nbf <= now.seconds().saturating_add(LEEWAY_SECONDS)
}

fn has_ended(claims: &Claims, now: Timestamp) -> bool {
    claims.exp.saturating_add(LEEWAY_SECONDS) <= now.seconds()
}

/// What clocks may differ by, as distribution and Harbor allow.
pub(super) const LEEWAY_SECONDS: i64 = 60;

/// Longer tokens are not ours: we keep them under 4 KiB but for very many scopes.
const MAX_TOKEN_BYTES: usize = 64 * 1024;
