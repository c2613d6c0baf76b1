use serde::Deserialize;

/// The `[audit]` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Events that may wait to be written; more are dropped, counted and logged.
    pub queue_length: usize,
    /// Events written in one transaction.
    pub batch_size: usize,
    /// Days an entry is kept; 0: for ever.
    pub keep_days: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue_length: 10_000,
            batch_size: 200,
            keep_days: 365,
        }
    }
}
