//! The token service: who logs in gets a signed token that says what it may do.
//!
//! Keys, the JSON Web Tokens made with them, and `GET`/`POST /service/token` (Docker registry
//! token specification and its OAuth2 variant). Who a caller is and what it may do is asked
//! from the auth room; tokens are verified there too. Nothing here knows the proxy.
//! Start with `endpoint.rs`; `keys/mod.rs` tells which files operators find.

mod asked;
mod config;
mod endpoint;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod grants;
mod issuer;
mod keys;
mod metrics;
mod refusal;

pub use config::{Algorithm, Config, KeyReference};
pub use endpoint::{Answer, OPERATIONS, Service};
pub use error::Error;
pub use issuer::{Actions, Grant, Issuer, Token};
pub use keys::{Jwk, Jwks, Keys, SigningKey, VerifyingKey};
pub use metrics::Metrics;

#[cfg(test)]
mod tests;
