//! Bearer tokens: what they say, and whether we made them.
//!
//! Signing is the token room's; this side holds public keys only. What a token allows is the
//! most its bearer may do; what the bearer may do *now* is [`super::Auth`]'s to say.

mod claims;
mod key;
#[cfg(test)]
mod tests;
mod verifier;

pub use claims::{Access, Claims};
pub use key::{Algorithm, InvalidKey, PublicKey};
pub use verifier::{Error, Expected, Verifier};
