use std::time::Duration;

/// `[proxy]`: the limits of forwarding.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A body whose sender is silent for so long is broken off. There is no total limit.
    pub idle_timeout_seconds: u64,
    /// How long the registry behind may take to answer once it has the whole request; storing
    /// a large blob in an object store takes minutes.
    pub answer_timeout_seconds: u64,
    /// Memory for manifests that are being pushed, each at most 4 MiB; past it pushes wait.
    pub manifest_memory_mib: u32,
    /// Upload sessions that are remembered, so that they can be finished with an expired token.
    pub upload_sessions: usize,
    /// Tags that are looked at to find those which a deleted digest takes with it.
    pub delete_tags_examined: usize,
    /// Refuse every push and delete.
    pub read_only: bool,
}

impl Config {
    pub fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_seconds)
    }

    pub fn answer_timeout(&self) -> Duration {
        Duration::from_secs(self.answer_timeout_seconds)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            idle_timeout_seconds: 120,
            answer_timeout_seconds: 900,
            manifest_memory_mib: 64,
            upload_sessions: 10_000,
            delete_tags_examined: 1000,
            read_only: false,
        }
    }
}
