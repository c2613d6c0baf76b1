use std::time::Duration;

use crate::oci::MAX_MANIFEST_BYTES;

/// `[proxy]`: the limits of forwarding.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Memory for manifests that are being pushed, each at most 4 MiB, an eighth of it for those
    /// of one account; past it pushes wait.
    pub manifest_memory_mib: u32,
    /// How long a push waits for that memory before it is told to come back.
    pub manifest_wait_seconds: u64,
    /// The whole time a client may take to send a manifest.
    pub manifest_read_seconds: u64,
    /// Upload sessions that are remembered, so that they can be finished with an expired token.
    pub upload_sessions: usize,
    /// Sizes of blobs that are remembered, so that the registry behind is not asked for them with
    /// each manifest for a project with a storage limit.
    pub blob_sizes: usize,
    /// Tags that are looked at to find those which a deleted digest takes with it; immutable ones
    /// are looked at however many there are.
    pub delete_tags_examined: usize,
    /// Pages of a thousand names that are read from the registry behind for one `_catalog`
    /// request, at least one; a list that is not complete by then says where it goes on.
    pub catalog_pages_examined: u32,
    pub cache: CacheConfig,
}

/// `[proxy.cache]`: answers of the registry behind that are kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// For all of them together; 0: nothing is kept.
    pub memory_mib: usize,
    /// After which the registry is asked again, though nothing was written that the gateway knows
    /// of.
    pub max_age_seconds: u64,
}

impl CacheConfig {
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_mib.saturating_mul(1024 * 1024)
    }

    pub fn max_age(&self) -> Duration {
        Duration::from_secs(self.max_age_seconds)
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            memory_mib: 32,
            max_age_seconds: 60,
        }
    }
}

impl Config {
    /// At least room for one manifest of the largest size.
    pub(super) fn manifest_memory_kib(&self) -> usize {
        let mib = usize::try_from(self.manifest_memory_mib).unwrap_or(usize::MAX);
        mib.saturating_mul(1024).max(MAX_MANIFEST_BYTES / 1024)
    }

    pub(super) fn manifest_wait(&self) -> Duration {
        Duration::from_secs(self.manifest_wait_seconds)
    }

    pub(super) fn manifest_read_limit(&self) -> Duration {
        Duration::from_secs(self.manifest_read_seconds)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            manifest_memory_mib: 64,
            manifest_wait_seconds: 5,
            manifest_read_seconds: 120,
            upload_sessions: 10_000,
            blob_sizes: 20_000,
            delete_tags_examined: 1000,
            catalog_pages_examined: 10,
            cache: CacheConfig::default(),
        }
    }
}
