use std::time::Duration;

use serde::Deserialize;

use crate::network::Networks;

/// The `[webhook]` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether receivers may be at private, loopback and link-local addresses.
    pub allow_private_addresses: bool,
    /// Networks of such addresses that receivers may be at.
    pub allowed_networks: Networks,
    /// Name lookup, TCP and TLS together.
    pub connect_timeout_seconds: u64,
    /// One whole delivery, from the connection to the end of the answer.
    pub timeout_seconds: u64,
    /// Answers of a receiver that refuse before a delivery fails for good.
    pub max_attempts: u32,
    /// How long after the event a delivery is given up, whatever the reason it waits for.
    pub give_up_after_hours: u32,
    /// Events that may wait to be written to the database; more are dropped and counted.
    pub max_waiting_events: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            allow_private_addresses: false,
            allowed_networks: Networks::default(),
            connect_timeout_seconds: 5,
            timeout_seconds: 10,
            max_attempts: 10,
            give_up_after_hours: 72,
            max_waiting_events: 10_000,
        }
    }
}

impl Config {
    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_secs(self.connect_timeout_seconds.max(1))
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.max(1))
    }

    pub(super) fn give_up_after(&self) -> Duration {
        Duration::from_hours(self.give_up_after_hours.max(1).into())
    }
}
