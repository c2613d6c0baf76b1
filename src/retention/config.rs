use std::time::Duration;

use serde::Deserialize;

/// The `[retention]` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Deletions that all runs of this process together make in a second.
    pub deletes_per_second: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            deletes_per_second: 20,
        }
    }
}

impl Config {
    /// From one deletion to the next.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.deletes_per_second.max(1)
    }
}
