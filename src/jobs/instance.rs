//! The processes that run jobs, and what each is running.

use std::time::Duration;

use super::{Error, JobId, Jobs, ledger::queries, queue::Inner};
use crate::clock::Timestamp;

/// One life of a process that runs jobs.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Random, as in the leases of its jobs.
    pub id: String,
    pub host: String,
    pub pid: i64,
    /// Jobs it runs at once.
    pub workers: u32,
    pub kinds: Vec<String>,
    pub started: Timestamp,
    pub heartbeat: Timestamp,
}

/// A job that an instance is running.
#[derive(Debug, Clone)]
pub struct Work {
    pub job: JobId,
    pub kind: String,
    pub instance: String,
    pub started: Option<Timestamp>,
}

impl Instance {
    /// Whether it was heard of lately.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        now.since(self.heartbeat) <= SILENCE
    }
}

impl Jobs {
    /// Instances heard of within the last hour, those that ended properly left out.
    pub async fn instances(&self) -> Result<Vec<Instance>, Error> {
        let rows = queries::instances(&self.inner.db).await?.into_iter();
        let instances = rows.map(|row| Instance {
            kinds: serde_json::from_str(&row.kinds).unwrap_or_default(),
            workers: u32::try_from(row.workers).unwrap_or(0),
            started: Timestamp::from_millis(row.started_ms),
            heartbeat: Timestamp::from_millis(row.heartbeat_ms),
            id: row.boot,
            host: row.host,
            pid: row.pid,
        });
        Ok(instances.collect())
    }

    /// What all instances are running.
    pub async fn work(&self) -> Result<Vec<Work>, Error> {
        let rows = queries::work(&self.inner.db).await?.into_iter();
        let work = rows.map(|row| Work {
            job: JobId(row.id),
            kind: row.kind,
            instance: row.lease_owner.unwrap_or_default(),
            started: row.started_ms.map(Timestamp::from_millis),
        });
        Ok(work.collect())
    }
}

impl Inner {
    /// Says that this process is alive, and forgets those that have not been for long.
    pub(super) async fn announce(&self, started: Timestamp) -> Result<(), Error> {
        let now = self.clock.now();
        let kinds: Vec<&str> = self
            .kinds
            .get()
            .into_iter()
            .flatten()
            .map(|kind| *kind.0)
            .collect();
        let row = queries::InstanceRow {
            boot: self.boot.clone(),
            host: host(),
            pid: i64::from(std::process::id()),
            workers: i64::try_from(self.config.workers).unwrap_or(i64::MAX),
            kinds: serde_json::json!(kinds).to_string(),
            started_ms: started.millis(),
            heartbeat_ms: now.millis(),
        };
        queries::announce(&self.db, &row).await?;
        Ok(queries::forget_instances(&self.db, now.minus(FORGOTTEN)).await?)
    }

    /// Says that this process ends.
    pub(super) async fn leave(&self) -> Result<(), Error> {
        Ok(queries::leave(&self.db, &self.boot).await?)
    }
}

/// The machine's name, as the kernel knows it.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// How often a process says that it is alive.
pub(super) const ANNOUNCE_EVERY: Duration = Duration::from_secs(3);
/// jobservice, too, calls a pool dead after ten seconds.
const SILENCE: Duration = Duration::from_secs(10);
const FORGOTTEN: Duration = Duration::from_hours(1);
