use std::time::Duration;

use serde::Deserialize;

/// The `[quota]` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long a blob counts that is in no manifest.
    pub hold_minutes: u32,
    /// Blobs and uploads that count so at once, of all projects with a limit; of one project a
    /// sixteenth.
    pub max_held: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hold_minutes: 120,
            max_held: 100_000,
        }
    }
}

impl Config {
    pub(super) fn hold(&self) -> Duration {
        Duration::from_mins(self.hold_minutes.into())
    }
}
