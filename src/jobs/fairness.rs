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
        let mut desk = Desk::new(running, limits.within(self.is_shared));
        let mut candidates: Vec<Candidate<'_>> = due
            .iter()
            .filter(|due| due.gate != Gate::Shut)
            .map(|due| {
                let (of_target, of_lane) = self.served(&due.lane);
                desk.candidate(due, of_target, of_lane)
            })
            .collect();
        for _ in 0..free {
            if !desk.give_one(&mut candidates) {
                break;
            }
        }
        let served = candidates
            .into_iter()
            .filter(|candidate| candidate.jobs > 0);
        let turns: Vec<Turn> = served.map(Candidate::into_turn).collect();
        for turn in &turns {
            self.charge(&turn.lane, bytes_of(turn.jobs));
        }
        turns
    }

    /// Counts bytes that a job of the lane has moved.
    pub(super) fn charge(&mut self, lane: &Lane, bytes: u64) {
        self.change(lane, |served| served.saturating_add(bytes));
    }

    /// Takes back turns that the lane had no job for.
    pub(super) fn refund(&mut self, lane: &Lane, jobs: usize) {
        self.change(lane, |served| served.saturating_sub(bytes_of(jobs)));
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

fn bytes_of(jobs: usize) -> u64 {
    JOB_BYTES.saturating_mul(u64::try_from(jobs).unwrap_or(u64::MAX))
}

/// A lane that wants workers; kind and target by their numbers on the [`Desk`], which is asked
/// about every candidate for every worker.
struct Candidate<'a> {
    due: &'a Due,
    kind: usize,
    target: usize,
    is_large: bool,
    needs_target: bool,
    served: u64,
    jobs: usize,
}

impl Candidate<'_> {
    fn into_turn(self) -> Turn {
        Turn {
            lane: self.due.lane.clone(),
            gate: self.due.gate,
            jobs: self.jobs,
        }
    }
}

/// Gives workers away, one at a time, and counts who has how many.
struct Desk<'a> {
    limits: Limits,
    kinds: Counts<'a>,
    targets: Counts<'a>,
    /// What the targets have been served, by their numbers.
    served: Vec<u64>,
    large: usize,
}

impl<'a> Desk<'a> {
    fn new(running: &'a [Lane], limits: Limits) -> Self {
        let mut desk = Self {
            limits,
            kinds: Counts::default(),
            targets: Counts::default(),
            served: Vec::new(),
            large: 0,
        };
        for lane in running {
            let kind = desk.kinds.number(lane.kind());
            let target = desk.targets.number(lane.target());
            desk.kinds.taken[kind] += 1;
            desk.targets.taken[target] += 1;
            desk.large += usize::from(lane.is_large());
        }
        desk
    }

    fn candidate(&mut self, due: &'a Due, of_target: u64, of_lane: u64) -> Candidate<'a> {
        let target = self.targets.number(due.lane.target());
        self.served.resize(self.targets.taken.len(), 0);
        self.served[target] = of_target;
        Candidate {
            due,
            kind: self.kinds.number(due.lane.kind()),
            target,
            is_large: due.lane.is_large(),
            needs_target: !due.lane.target().is_empty(),
            served: of_lane,
            jobs: 0,
        }
    }

    /// Gives a worker to the candidate that has been served least; false if none may have it.
    fn give_one(&mut self, candidates: &mut [Candidate<'_>]) -> bool {
        let next = candidates
            .iter_mut()
            .filter(|candidate| self.allows(candidate))
            .min_by_key(|candidate| {
                let of_target = self.served[candidate.target];
                (of_target, candidate.served, candidate.due.since_ms)
            });
        let Some(next) = next else { return false };
        self.kinds.taken[next.kind] += 1;
        self.targets.taken[next.target] += 1;
        self.large += usize::from(next.is_large);
        self.served[next.target] = self.served[next.target].saturating_add(JOB_BYTES);
        next.served = next.served.saturating_add(JOB_BYTES);
        next.jobs += 1;
        true
    }

    fn allows(&self, candidate: &Candidate<'_>) -> bool {
        self.kinds.taken[candidate.kind] < self.limits.per_kind
            && (!candidate.needs_target
                || self.targets.taken[candidate.target] < self.limits.per_target)
            && (!candidate.is_large || self.large < self.limits.workers - self.limits.reserved)
            && (candidate.due.gate == Gate::Open || candidate.jobs == 0)
    }
}

/// Names with numbers, and how many workers each has.
#[derive(Default)]
struct Counts<'a> {
    numbers: HashMap<&'a str, usize>,
    taken: Vec<usize>,
}

impl<'a> Counts<'a> {
    fn number(&mut self, name: &'a str) -> usize {
        let next = self.taken.len();
        let number = *self.numbers.entry(name).or_insert(next);
        if number == next {
            self.taken.push(0);
        }
        number
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
