use std::time::Duration;

use serde::Deserialize;

/// The `[replication]` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Jobs at once, as Harbor's default pool.
    pub workers: usize,
    /// What happens to pushes while the database is away.
    pub mode: Mode,
    /// Blobs of one artifact that are copied at once.
    pub parallel_blobs: usize,
    /// Size of the first chunk of blobs that go up in chunks, those of at least four such, in MiB;
    /// 0: none does.
    pub chunk_mib: u32,
    /// Changes that may wait to be written down; more are refused.
    pub max_waiting_changes: usize,
    /// An intent whose outcome nobody learnt becomes a job after this time.
    pub unknown_after_seconds: u64,
    /// How long such an intent is looked at again: the registry may finish the change later.
    pub unknown_for_seconds: u64,
    /// A gateway that has not been heard of for this time is dead: others settle its intents.
    pub dead_after_seconds: u64,
    /// The file for changes in mode `best_effort` may have this many bytes.
    pub max_spill_bytes: u64,
    /// Whether blobs go to destinations while they are pushed, unless a policy says otherwise.
    pub tee: bool,
    /// Memory for bytes of pushes that destinations have yet to take, in MiB.
    pub tee_memory_mib: u32,
    /// Room on disk, under `data_dir`, for those of them for which there is no memory, in MiB.
    pub tee_disk_mib: u32,
    /// Blobs on their way to destinations at once while they are pushed, counted for each
    /// destination; more are left to the jobs.
    pub tee_uploads: usize,
    /// A destination, or a push, that stands still for this time is given up.
    pub tee_idle_seconds: u64,
    /// How often both sides of an event-based policy are compared, in hours; 0: never.
    pub audit_interval_hours: u32,
    /// What the comparison of one policy may ask of both registries, together.
    pub audit_requests_per_second: u32,
}

impl Config {
    pub(super) fn audit_interval(&self) -> Duration {
        Duration::from_hours(self.audit_interval_hours.into())
    }
}

/// What happens to pushes while the database is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// They are refused with 503: every push that is answered is replicated.
    Required,
    /// They go on; what they concern is kept in a file under `data_dir` and replicated when
    /// the database is back.
    #[default]
    BestEffort,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: 3,
            mode: Mode::default(),
            // An image of usual size goes in one round of requests.
            parallel_blobs: 10,
            chunk_mib: 16,
            max_waiting_changes: 4096,
            unknown_after_seconds: 15,
            unknown_for_seconds: 900,
            dead_after_seconds: 15,
            max_spill_bytes: 64 * 1024 * 1024,
            tee: true,
            tee_memory_mib: 12,
            tee_disk_mib: 1024,
            tee_uploads: 256,
            tee_idle_seconds: 30,
            audit_interval_hours: 24,
            audit_requests_per_second: 10,
        }
    }
}
