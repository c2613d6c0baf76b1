use std::time::Duration;

use serde::Deserialize;

use super::fairness::Limits;
use crate::backoff::Backoff;

/// The `[jobs]` section; `replication.workers` sets `workers`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Jobs that run at once in this process.
    pub workers: usize,
    /// How often the queue is read when nobody wakes it.
    pub poll_ms: u64,
    /// How long a silent instance keeps its jobs before others take them.
    pub lease_seconds: u64,
    /// How often leases are extended, stop requests read and log lines written.
    pub heartbeat_ms: u64,
    /// Attempts before a job that could be retried fails for good.
    pub max_attempts: u32,
    /// The longest delay before the first retry; it doubles with each.
    pub retry_base_ms: u64,
    /// The longest delay before any retry.
    pub retry_cap_seconds: u64,
    /// The longest time between two tries of a target that does not answer; the first follows
    /// after ten seconds, the others each after twice as long.
    pub target_down_seconds: u64,
    /// Jobs of one kind at once in this process; 0: as many as there are workers.
    pub per_kind: usize,
    /// Jobs of one target at once in this process; 0: as many as there are workers, but one fewer
    /// where jobs go to several targets.
    pub per_target: usize,
    /// Workers that jobs known to be large, from 256 MiB, leave free for others.
    pub reserved_workers: usize,
    /// Runs in a row that end with the death of the process before the job is suspected of it:
    /// from then on it waits for half to all of `retry_cap_seconds` before each run.
    pub max_crashes: u32,
    /// How long a stopped job may clean up before it is dropped.
    pub stop_grace_seconds: u64,
    /// Lines kept of one run's log, and of all earlier runs of the same job.
    pub log_lines: usize,
    /// The longest line of a log; the rest of the line is cut.
    pub log_line_bytes: usize,
    /// Clients that may follow logs at once on this process.
    pub log_followers: usize,
    /// How long finished jobs and their logs are kept.
    pub history_days: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: 3,
            poll_ms: 1000,
            lease_seconds: 8,
            heartbeat_ms: 500,
            max_attempts: 20,
            retry_base_ms: 1000,
            retry_cap_seconds: 300,
            target_down_seconds: 60,
            per_kind: 0,
            per_target: 0,
            reserved_workers: 1,
            max_crashes: 3,
            stop_grace_seconds: 5,
            log_lines: 1000,
            log_line_bytes: 2048,
            log_followers: 32,
            history_days: 14,
        }
    }
}

impl Config {
    /// Why these values cannot work together, naming the key.
    pub fn check(&self) -> Result<(), String> {
        if self.workers == 0 {
            return Err("workers must be at least 1".to_owned());
        }
        if self.poll_ms == 0 || self.heartbeat_ms == 0 {
            return Err("poll_ms and heartbeat_ms must be at least 1".to_owned());
        }
        if self.lease().as_millis() < 3 * self.heartbeat().as_millis() {
            return Err("lease_seconds must be at least three times heartbeat_ms".to_owned());
        }
        Ok(())
    }

    pub(super) fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }

    pub(super) fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds)
    }

    pub(super) fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms)
    }

    pub(super) fn stop_grace(&self) -> Duration {
        Duration::from_secs(self.stop_grace_seconds)
    }

    pub(super) fn history(&self) -> Duration {
        Duration::from_secs(self.history_days.saturating_mul(24 * 60 * 60))
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            workers: self.workers,
            per_kind: self.per_kind,
            per_target: self.per_target,
            reserved: self.reserved_workers,
        }
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff {
            base: Duration::from_millis(self.retry_base_ms),
            cap: Duration::from_secs(self.retry_cap_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_cannot_work_are_refused_by_name() {
        let check = |text: &str| toml::from_str::<Config>(text).unwrap().check();
        assert_eq!(check(""), Ok(()));
        assert!(check("workers = 0").unwrap_err().contains("workers"));
        assert!(check("poll_ms = 0").unwrap_err().contains("poll_ms"));
        assert!(check("lease_seconds = 1").unwrap_err().contains("lease"));
    }
}
