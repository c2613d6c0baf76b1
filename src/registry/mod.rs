//! The client's side of the registry protocol: remote registries and typed operations.
//!
//! [`Remote`] carries HTTP to one registry: connections, TLS trust, credentials, timeouts and
//! limits. [`Client`] speaks the distribution API over any [`crate::wire::Exchange`], a remote
//! one or the embedded registry in the same process. This room must not know of projects,
//! policies or jobs, nor who asks. Read `client/mod.rs` first, then `remote.rs`; what
//! differs between clouds stands in `provider`.

mod client;
mod config;
mod credential;
mod endpoint;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod guard;
mod ping;
mod provider;
mod remote;
#[cfg(test)]
pub(crate) mod tests;
mod transport;

pub use client::{
    Blob, BlobRange, Client, Cursor, Deletion, Listing, ManifestHead, Mounted, Onward, PageOf,
    Pong, PutManifest, Referrers, RemoteManifest, Upload, onward, verified,
};
pub use config::Config;
pub use credential::{Authentication, IssuedToken, TokenSource};
pub use endpoint::{Account, Credential, Endpoint, EndpointUrl};
pub use error::{Error, Kind, Refusal};
pub use ping::{Unusable, ping};
pub use provider::{AccessKey, Addresses, Listed, Provider, Traits};
pub use remote::Remote;
pub use transport::Proxies;

/// What this client calls itself.
const USER_AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));
