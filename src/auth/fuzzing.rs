//! What reads hashes that other programs have made, for `tests/fuzz`.

use super::foreign::ForeignHash;

/// Whether `password` is the one that was hashed; the error says why nobody can tell. Costs at
/// most what [`is_cheap`] says.
pub fn verify(hash: &str, password: &[u8]) -> Result<bool, &'static str> {
    ForeignHash::parse(hash).map(|hash| hash.verify(password))
}

/// Whether such a hash is made on purpose to be fast to verify.
pub fn is_cheap(hash: &str) -> bool {
    matches!(ForeignHash::parse(hash), Ok(ForeignHash::Sha1 { .. }))
}
