use std::time::Duration;

use serde::Deserialize;

use crate::network::Networks;

/// Limits of the connections to one remote registry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Requests in flight at once; more wait for [`Config::max_wait_ms`].
    pub max_concurrent_requests: usize,
    /// How long a request waits for its turn before it is refused as overloaded.
    pub max_wait_ms: u64,
    /// Name lookup, TCP and TLS together.
    pub connect_timeout_seconds: u64,
    /// The longest silence of the registry while a body moves, and the wait for its answer to a
    /// GET or HEAD.
    pub idle_timeout_seconds: u64,
    /// The wait for the answer to a write after its body was sent. Registries on object storage
    /// copy a blob of many gigabytes before they answer the PUT that ends its upload.
    pub commit_timeout_seconds: u64,
    /// Idle connections are closed after this time. Must lie below the registry's own keep-alive
    /// (nginx 75 s, cloud load balancers 60 s), else requests meet closing connections.
    pub pool_idle_timeout_seconds: u64,
    /// Idle connections kept.
    pub pool_max_idle: usize,
    /// Bearer tokens kept, one for each scope.
    pub max_cached_tokens: usize,
    /// Networks that are not public and where a registry at a public address may lead to all the
    /// same: to its storage, its token service. Never loopback, link-local or metadata ones.
    pub allowed_networks: Networks,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_concurrent_requests: 512,
            max_wait_ms: 5_000,
            connect_timeout_seconds: 5,
            idle_timeout_seconds: 60,
            commit_timeout_seconds: 900,
            pool_idle_timeout_seconds: 30,
            pool_max_idle: 64,
            max_cached_tokens: 4096,
            allowed_networks: Networks::default(),
        }
    }
}

impl Config {
    pub(super) fn max_wait(&self) -> Duration {
        Duration::from_millis(self.max_wait_ms)
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_secs(self.connect_timeout_seconds)
    }

    pub(super) fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_seconds)
    }

    pub(super) fn commit_timeout(&self) -> Duration {
        Duration::from_secs(self.commit_timeout_seconds)
    }

    pub(super) fn pool_idle_timeout(&self) -> Duration {
        Duration::from_secs(self.pool_idle_timeout_seconds)
    }
}
