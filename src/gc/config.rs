use std::time::Duration;

use serde::Deserialize;

/// The `[gc]` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What was pushed or asked for within this time stays.
    pub window_hours: u32,
    /// How long the embedded registry keeps content aside before it deletes it; 0: not at all.
    pub quarantine_hours: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window_hours: 2,
            quarantine_hours: 24,
        }
    }
}

impl Config {
    pub fn window(&self) -> Duration {
        Duration::from_hours(self.window_hours.into())
    }

    pub(super) fn quarantine(&self) -> Duration {
        Duration::from_hours(self.quarantine_hours.into())
    }
}
