//! The taking of jobs that are due.

use std::sync::{PoisonError, atomic::Ordering};

use super::{
    Error,
    fairness::{Due, Fairness, Gate, Turn},
    lane::Lane,
    queries::{self, JobRow, Lease},
    queue::Inner,
};
use crate::clock::Timestamp;

impl Inner {
    /// Takes up to `limit` due jobs of `kinds` under leases of this process, shared fairly. Jobs
    /// of a target that does not answer are left, but for one now and then that tries it.
    ///
    /// May take fewer than there are: ask again until nothing comes.
    pub(super) async fn claim(&self, kinds: &[&str], limit: usize) -> Result<Vec<JobRow>, Error> {
        let now = self.clock.now();
        let due: Vec<Due> = queries::lanes(&self.db)
            .await?
            .into_iter()
            .filter(|row| row.run_at_ms <= now.millis())
            .map(|row| (Lane::from_column(row.lane), row.run_at_ms))
            .filter(|(lane, _since)| kinds.contains(&lane.kind()))
            .map(|(lane, since_ms)| Due {
                gate: self.targets.gate(lane.target(), now),
                lane,
                since_ms,
            })
            .collect();
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let running: Vec<Lane> = self
            .slots
            .all()
            .iter()
            .map(|slot| slot.lane.clone())
            .collect();
        let limits = self.config.limits();
        let turns = self.fairness().share(&due, &running, limit, limits);
        let mut claimed = Vec::new();
        for turn in turns {
            match self.take_turn(&turn, now).await {
                Ok(rows) => {
                    self.fairness().refund(&turn.lane, turn.jobs - rows.len());
                    claimed.extend(rows);
                }
                Err(error) if claimed.is_empty() => return Err(error),
                // What was taken must not be forgotten.
                Err(error) => {
                    tracing::warn!("cannot read the job queue: {error}");
                    break;
                }
            }
        }
        claimed.sort_by_key(|row: &JobRow| (row.run_at_ms, row.id));
        Ok(claimed)
    }

    async fn take_turn(&self, turn: &Turn, now: Timestamp) -> Result<Vec<JobRow>, Error> {
        if turn.gate == Gate::Probe && !self.begin_probe(turn.lane.target(), now).await? {
            return Ok(Vec::new());
        }
        let lease = Lease {
            owner: &self.boot,
            now,
            until: now.plus(self.config.lease()),
        };
        Ok(queries::claim(&self.db, lease, turn.lane.as_str(), turn.jobs).await?)
    }

    /// Counts what running jobs have moved since the last time.
    pub(super) fn charge_moved(&self) {
        for slot in self.slots.all() {
            let bytes = slot.moved.swap(0, Ordering::Relaxed);
            if bytes > 0 {
                self.fairness().charge(&slot.lane, bytes);
            }
        }
    }

    pub(super) fn fairness(&self) -> std::sync::MutexGuard<'_, Fairness> {
        self.fairness.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
