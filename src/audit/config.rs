use std::path::PathBuf;

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
    /// A file that gets a line of JSON for each event, opened anew when it was moved away.
    pub forward_json: Option<PathBuf>,
    /// The certificate of the authority of a syslog receiver, PEM, believed besides the system's.
    pub forward_ca_cert: Option<PathBuf>,
    /// Events that may wait to be sent on to each place; more are not sent on, counted and logged.
    pub forward_queue_length: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue_length: 10_000,
            batch_size: 200,
            keep_days: 365,
            forward_json: None,
            forward_ca_cert: None,
            forward_queue_length: 10_000,
        }
    }
}
