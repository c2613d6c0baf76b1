//! The taking of jobs that are due.

use std::{
    collections::HashMap,
    sync::{PoisonError, atomic::Ordering},
};

use super::{
    Error,
    fairness::{Due, Fairness, Gate, Turn},
    lane::Lane,
    queries::{self, Claimed, LaneTurn, Lease},
    queue::Inner,
};
use crate::clock::Timestamp;

impl Inner {
    /// Takes up to `limit` due jobs of `kinds` under leases of this process, shared fairly. Jobs
    /// of a target that does not answer are left, but for one now and then that tries it.
    ///
    /// May take fewer than there are: ask again until nothing comes.
    pub(super) async fn claim(&self, kinds: &[&str], limit: usize) -> Result<Vec<Claimed>, Error> {
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
        self.take_turns(turns, now).await
    }

    async fn take_turns(&self, turns: Vec<Turn>, now: Timestamp) -> Result<Vec<Claimed>, Error> {
        let mut allowed = Vec::with_capacity(turns.len());
        for turn in turns {
            if turn.gate == Gate::Probe && !self.begin_probe(turn.lane.target(), now).await? {
                self.fairness().refund(&turn.lane, turn.jobs);
            } else {
                allowed.push(turn);
            }
        }
        if allowed.is_empty() {
            return Ok(Vec::new());
        }
        let lease = Lease {
            owner: &self.boot,
            now,
            until: now.plus(self.config.lease()),
        };
        let of_lanes: Vec<LaneTurn<'_>> = allowed.iter().map(Turn::of_lane).collect();
        let mut claimed = queries::claim(&self.db, lease, &of_lanes).await?;
        self.refund_unused(&allowed, &claimed);
        claimed.sort_by_key(|row: &Claimed| (row.run_at_ms, row.id));
        Ok(claimed)
    }

    /// Takes back the turns that other instances, or a stop, left without a job.
    fn refund_unused(&self, turns: &[Turn], claimed: &[Claimed]) {
        let mut taken: HashMap<&str, usize> = HashMap::new();
        for row in claimed {
            *taken.entry(&row.lane).or_default() += 1;
        }
        let mut fairness = self.fairness();
        for turn in turns {
            let taken = taken.get(turn.lane.as_str()).copied().unwrap_or(0);
            fairness.refund(&turn.lane, turn.jobs.saturating_sub(taken));
        }
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

impl Turn {
    fn of_lane(&self) -> LaneTurn<'_> {
        LaneTurn {
            lane: self.lane.as_str(),
            jobs: self.jobs,
        }
    }
}
