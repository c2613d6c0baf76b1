//! Deletion of entries that are older than somebody wants to keep them, by their types: now, and
//! by a schedule.

mod parameters;
#[cfg(test)]
mod tests;

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::{log::uncount, queries, types::Types};
use crate::{
    clock::{SharedClock, Timestamp},
    failpoint,
    jobs::{Failure, Handler, Jobs, Running, SystemJob},
    store::Db,
};

pub use parameters::PurgeParameters;

/// The deletion of old entries. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Purge {
    db: Db,
    clock: SharedClock,
    job: SystemJob,
}

/// One run.
struct Run<'a> {
    db: &'a Db,
    job: &'a Running,
    before: Timestamp,
    types: Types,
    only_counts: bool,
}

impl Purge {
    pub fn new(db: Db, jobs: Jobs, clock: SharedClock) -> Self {
        Self {
            db,
            clock,
            job: SystemJob::new(jobs, KIND),
        }
    }

    /// Its runs and its schedule; they take [`PurgeParameters`].
    pub fn job(&self) -> &SystemJob {
        &self.job
    }

    async fn execute(&self, job: &Running) -> Result<(), Failure> {
        let parameters: PurgeParameters = job.parameters()?;
        let kept = Duration::from_hours(parameters.audit_retention_hour.into());
        let run = Run {
            db: &self.db,
            job,
            before: self.clock.now().minus(kept),
            types: parameters.types().map_err(Failure::permanent)?,
            only_counts: parameters.dry_run,
        };
        let mut purged = self.deleted_before(job).await?;
        let ended = run.all(&mut purged).await;
        let verb = if run.only_counts {
            "would delete"
        } else {
            "deleted"
        };
        job.log.line(format!(
            "{verb} {purged} entries from before {}",
            run.before
        ));
        job.report(shown(purged));
        ended
    }

    /// How many entries earlier attempts at the run have deleted.
    async fn deleted_before(&self, job: &Running) -> Result<u64, Failure> {
        let run = self.job.run(job.id).await;
        let run = run.map_err(|error| Failure::retryable(error.to_string()))?;
        let shown = run.result.and_then(|shown| shown[ENTRIES].as_u64());
        Ok(shown.unwrap_or_default())
    }
}

impl Run<'_> {
    /// Goes through the old entries, oldest first, and counts in `purged` those that are meant.
    async fn all(&self, purged: &mut u64) -> Result<(), Failure> {
        let old = queries::count_before(self.db, self.before).await?;
        self.job.expects(0, old.div_ceil(AT_ONCE));
        let mut behind = (i64::MIN, 0);
        loop {
            if self.job.stop.is_cancelled() {
                return Err(Failure::Stopped);
            }
            let looked = queries::look(self.db, self.before, behind, AT_ONCE).await?;
            let Some(last) = looked.last() else {
                return Ok(());
            };
            behind = (last.at_ms, last.id);
            let meant = looked
                .iter()
                .filter(|entry| self.types.has(&entry.operation, &entry.resource_type));
            let meant: Vec<i64> = meant.map(|entry| entry.id).collect();
            if self.only_counts {
                *purged += meant.len() as u64;
            } else {
                self.delete(&meant, purged).await?;
            }
            self.job.did_part();
        }
    }

    /// Deletes entries and takes them out of the totals; `purged` is what has gone so far.
    async fn delete(&self, ids: &[i64], purged: &mut u64) -> Result<(), Failure> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        let gone = queries::delete(&mut tx, ids).await?;
        uncount(&mut tx, &gone).await?;
        let so_far = *purged + gone.len() as u64;
        self.job.report_in(&mut tx, &shown(so_far)).await?;
        failpoint::hit("audit.purge_before_commit");
        tx.commit().await?;
        failpoint::hit("audit.purge_committed");
        *purged = so_far;
        Ok(())
    }
}

impl Handler for Purge {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn keeps(&self) -> Option<u32> {
        Some(RUNS_KEPT)
    }

    fn run<'a>(&'a self, job: &'a Running) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.execute(job))
    }
}

fn shown(purged: u64) -> Value {
    json!({ ENTRIES: purged })
}

const ENTRIES: &str = "entries";

/// Harbor's name of the kind.
const KIND: &str = "PURGE_AUDIT_LOG";

/// Harbor's number.
const RUNS_KEPT: u32 = 10;

/// Entries looked at, and deleted in one transaction: on SQLite it holds the only writer.
const AT_ONCE: u64 = 1000;
