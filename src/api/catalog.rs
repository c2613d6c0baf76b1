//! What the API asks of the rest of the process; `app` implements it.

use std::fmt;

use futures_util::future::BoxFuture;

use crate::oci::RepositoryName;

/// The repositories in the registry behind the gateway.
pub trait Catalog: fmt::Debug + Send + Sync {
    /// Names that begin with `prefix`, sorted, at most `limit` of them. Fails with a sentence
    /// for the log when the registry does not answer.
    fn repositories<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<RepositoryName>, crate::wire::BoxError>>;
}

/// A part of the system whose health is shown.
pub trait Probe: fmt::Debug + Send + Sync {
    /// Harbor's name of the component: `core`, `database`, `jobservice`, `registry`.
    fn component(&self) -> &'static str;

    /// Whether it works; the error is one sentence for people, without secrets or addresses.
    fn check(&self) -> BoxFuture<'_, Result<(), String>>;
}
