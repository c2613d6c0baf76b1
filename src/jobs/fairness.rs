//! Whose turn it is: pure, without database or clock.
//!
//! Targets share the workers, and within a target its lanes do. What has been served least comes
//! next (start-time fair queueing); served is counted in bytes, with a floor for each job, so
//! that many small jobs and few large ones weigh what they cost. Who comes back after having
//! had nothing to do begins where the least served of the others stands: idleness earns nothing.

use std::collections::{HashMap, HashSet};

use super::lane::Lane;

/// What each target and each lane has been served, in bytes.
#[derive(Debug, Default)]
pub(super) struct Fairness {
    targets: HashMap<String, u64>,
    lanes: HashMap<Lane, u64>,
    /// Whether jobs of more than one target have been seen.
    is_shared: bool,
}

/// A lane with work that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub lane: Lane,
    /// When its oldest job was due, for turns that are otherwise equal.
    pub since_ms: i64,
    pub gate: Gate,
}

/// Whether a target takes jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// One job may try whether it answers again.
    Probe,
    Shut,
}

/// What the configuration allows, each counted over this process. 0: no limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub workers: usize,
    pub per_kind: usize,
    pub per_target: usize,
    /// Workers that large jobs leave free.
    pub reserved: usize,
}

/// A lane's turn: up to `jobs` of its jobs may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    pub lane: Lane,
    pub gate: Gate,
    pub jobs: usize,
}

impl Fairness {
    /// Shares `free` workers among the lanes that have work due, beside what is `running`.
    pub(super) fn share(
        &mut self,
        due: &[Due],
        running: &[Lane],
        free: usize,
        limits: Limits,
    ) -> Vec<Turn> {
        self.admit(due, running);
        let mut taken = Taken::count(running, limits.within(self.is_shared));
        let mut turns: HashMap<&Lane, Turn> = HashMap::new();
        for _ in 0..free {
            let next = due
                .iter()
                .filter(|due| taken.allows(&due.lane) && has_turns(due, turns.get(&due.lane)))
                .min_by_key(|due| (self.served(&due.lane), due.since_ms));
            let Some(next) = next else { break };
            taken.add(&next.lane);
            self.charge(&next.lane, JOB_BYTES);
            let turn = turns.entry(&next.lane).or_insert_with(|| Turn {
                lane: next.lane.clone(),
                gate: next.gate,
                jobs: 0,
            });
            turn.jobs += 1;
        }
        turns.into_values().collect()
    }

    /// Counts bytes that a job of the lane has moved.
    pub(super) fn charge(&mut self, lane: &Lane, bytes: u64) {
        self.change(lane, |served| served.saturating_add(bytes));
    }

    /// Takes back turns that the lane had no job for.
    pub(super) fn refund(&mut self, lane: &Lane, jobs: usize) {
        let bytes = JOB_BYTES.saturating_mul(u64::try_from(jobs).unwrap_or(u64::MAX));
        self.change(lane, |served| served.saturating_sub(bytes));
    }

    fn change(&mut self, lane: &Lane, change: impl Fn(u64) -> u64) {
        let target = self.targets.get_mut(lane.target());
        for served in target.into_iter().chain(self.lanes.get_mut(lane)) {
            *served = change(*served);
        }
    }

    fn served(&self, lane: &Lane) -> (u64, u64) {
        let target = self.targets.get(lane.target()).copied().unwrap_or(0);
        (target, self.lanes.get(lane).copied().unwrap_or(0))
    }

    /// Forgets who has neither work nor a run, and lets newcomers in where the least served stand.
    fn admit(&mut self, due: &[Due], running: &[Lane]) {
        let present: HashSet<&Lane> = due.iter().map(|due| &due.lane).chain(running).collect();
        let targets: HashSet<&str> = present.iter().map(|lane| lane.target()).collect();
        self.is_shared |= targets.iter().filter(|target| !target.is_empty()).count() > 1;
        self.targets
            .retain(|target, _| targets.contains(target.as_str()));
        self.lanes.retain(|lane, _| present.contains(lane));
        let least = self.targets.values().copied().min().unwrap_or(0);
        for target in targets {
            self.targets.entry(target.to_owned()).or_insert(least);
        }
        let mut least: HashMap<&str, u64> = HashMap::new();
        for (lane, served) in &self.lanes {
            let least = least.entry(lane.target()).or_insert(*served);
            *least = (*least).min(*served);
        }
        let newcomers: Vec<(Lane, u64)> = present
            .into_iter()
            .filter(|lane| !self.lanes.contains_key(*lane))
            .map(|lane| (lane.clone(), least.get(lane.target()).copied().unwrap_or(0)))
            .collect();
        self.lanes.extend(newcomers);
    }
}

fn has_turns(due: &Due, turn: Option<&Turn>) -> bool {
    match due.gate {
        Gate::Open => true,
        Gate::Probe => turn.is_none(),
        Gate::Shut => false,
    }
}

/// Workers taken, by what the limits count.
struct Taken {
    limits: Limits,
    kinds: HashMap<String, usize>,
    targets: HashMap<String, usize>,
    large: usize,
}

impl Taken {
    fn count(running: &[Lane], limits: Limits) -> Self {
        let mut taken = Self {
            limits,
            kinds: HashMap::new(),
            targets: HashMap::new(),
            large: 0,
        };
        for lane in running {
            taken.add(lane);
        }
        taken
    }

    fn add(&mut self, lane: &Lane) {
        *self.kinds.entry(lane.kind().to_owned()).or_default() += 1;
        *self.targets.entry(lane.target().to_owned()).or_default() += 1;
        self.large += usize::from(lane.is_large());
    }

    fn allows(&self, lane: &Lane) -> bool {
        let of = |map: &HashMap<String, usize>, key: &str| map.get(key).copied().unwrap_or(0);
        of(&self.kinds, lane.kind()) < self.limits.per_kind
            && (lane.target().is_empty()
                || of(&self.targets, lane.target()) < self.limits.per_target)
            && (!lane.is_large() || self.large < self.limits.workers - self.limits.reserved)
    }
}

impl Limits {
    /// The limits in force: a target that is not alone leaves a worker to the others.
    fn within(self, is_shared: bool) -> Self {
        let workers = self.workers.max(1);
        let limit = |limit: usize, default: usize| if limit == 0 { default } else { limit };
        let all_but_one = workers.saturating_sub(1).max(1);
        Self {
            workers,
            per_kind: limit(self.per_kind, workers),
            per_target: limit(
                self.per_target,
                if is_shared { all_but_one } else { workers },
            ),
            reserved: self.reserved.min(workers - 1),
        }
    }
}

/// What a job counts at least: about what a link moves while a small job waits for answers.
const JOB_BYTES: u64 = 1024 * 1024;
