use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{
    ByHand, Failure, JobId, Log,
    slots::{Reason, Slot},
    system::queries,
};
use crate::store::Tx;

/// What runs the jobs of one kind.
///
/// A job may be run more than once for one wish (a crash, a lost lease), so a run brings about a
/// state and does nothing where it holds already.
pub trait Handler: Send + Sync {
    /// The kind of its jobs; unique within a [`Runner`](super::Runner).
    fn kind(&self) -> &'static str;

    /// Whether people may launch such jobs too, and with what.
    fn by_hand(&self) -> Option<ByHand> {
        None
    }

    /// How many jobs that are over stay, the newest, however old they are; `None`: all those of
    /// the last [`Config::history_days`](super::Config::history_days).
    fn keeps(&self) -> Option<u32> {
        None
    }

    /// Runs one job. A panic fails the job with [`Failure::Permanent`] and ends nothing else.
    fn run<'a>(&'a self, job: &'a Running) -> BoxFuture<'a, Result<(), Failure>>;
}

/// A job in the hands of its handler.
#[derive(Debug)]
pub struct Running {
    pub id: JobId,
    pub key: String,
    /// As enqueued, or as replaced by a newer wish before this run began.
    pub params: serde_json::Value,
    /// The first attempt is number 1.
    pub attempt: u32,
    /// Cancelled when the run must end: a person stopped the job, the process shuts down, or the
    /// lease is lost. Abort what is under way within a second and return [`Failure::Stopped`].
    pub stop: CancellationToken,
    /// What people read to learn what happened.
    pub log: Log,
    pub(super) slot: Arc<Slot>,
}

impl Running {
    /// Says that there is so much more to do, in bytes and in parts.
    pub fn expects(&self, bytes: u64, parts: u64) {
        self.slot.meter.expect(bytes, parts);
    }

    /// Says that the job has moved bytes to or from its target, which are done: who moves much
    /// waits longer for the next turn.
    pub fn moved(&self, bytes: u64) {
        self.slot.moved.fetch_add(bytes, Ordering::Relaxed);
        self.slot.meter.add_bytes(bytes);
    }

    /// Says that bytes are done that need not be moved.
    pub fn spared(&self, bytes: u64) {
        self.slot.meter.add_bytes(bytes);
    }

    /// Says that a part is done.
    pub fn did_part(&self) {
        self.slot.meter.add_part();
    }

    /// Says that this run does a part: if it returns `Ok` and nobody has stopped the job, another
    /// one follows after `pause`, without an attempt spent. The worker is free meanwhile.
    pub fn leave_rest(&self, pause: Duration) {
        // The first pause stands.
        let _ = self.slot.rest_after.set(pause);
    }

    /// Says what the run has to show when it ends; the last one counts.
    pub fn report(&self, result: serde_json::Value) {
        self.slot.report(result);
    }

    /// Writes with `tx` what this run and those before it have to show so far, which is then as
    /// lasting as what it counts. [`Running::report`] says it at the end all the same.
    pub async fn report_in(&self, tx: &mut Tx, result: &serde_json::Value) -> Result<(), Failure> {
        let run = (self.id, self.slot.epoch);
        let is_held = queries::put_result_so_far(tx, run, &result.to_string()).await?;
        if is_held {
            Ok(())
        } else {
            Err(Failure::Stopped)
        }
    }

    /// Whether `stop` was cancelled for the sake of the process, so that another run follows.
    pub fn is_interrupted(&self) -> bool {
        matches!(
            self.slot.reason(),
            Some(Reason::Shutdown | Reason::LeaseLost)
        )
    }
}
