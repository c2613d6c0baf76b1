use std::fmt;

use futures_util::future::BoxFuture;

/// A part of the system whose health is shown.
pub trait Probe: fmt::Debug + Send + Sync {
    /// Harbor's name of the component: `core`, `database`, `jobservice`, `registry`.
    fn component(&self) -> &'static str;

    /// Whether it works; the error is one sentence for people, without secrets or addresses.
    /// Anybody may have it asked for at any time, so it must be cheap and come soon.
    fn check(&self) -> BoxFuture<'_, Result<(), String>>;
}
