//! `/service/notifications`: what the registry behind says has happened to it.
//!
//! CNCF distribution posts an envelope of events to its endpoints. Those of pushes and deletes
//! that did not pass the gateway are told to an [`Observer`], which `app` implements; those that
//! did carry the installation's mark and are known already. This room knows neither policies nor
//! the database. Read `envelope.rs` for what an event means, `endpoint.rs` for the answers.

mod config;
mod endpoint;
mod envelope;
mod metrics;

use futures_util::future::BoxFuture;

use crate::{
    oci::{Digest, Reference, RepositoryName},
    wire::BoxError,
};

pub use config::Config;
pub use endpoint::Service;
pub use metrics::Metrics;

/// Who wants to hear of changes that passed by the gateway. Implemented above this room.
pub trait Observer: Send + Sync + 'static {
    /// Takes the change in. On an error the registry is asked to tell it again.
    fn heard(&self, change: Change) -> BoxFuture<'_, Result<(), BoxError>>;
}

/// A push or a delete of a manifest that the registry behind says it has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub repository: RepositoryName,
    pub kind: ChangeKind,
    /// Who did it, as the registry knows them; empty for nobody.
    pub actor: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    Push {
        reference: Reference,
        digest: Digest,
    },
    Delete(Reference),
}
