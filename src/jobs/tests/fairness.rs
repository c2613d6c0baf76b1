use crate::jobs::{
    fairness::{Due, Fairness, Gate, Limits},
    lane::Lane,
};

const NO_LIMITS: Limits = Limits {
    workers: 8,
    per_kind: 0,
    per_target: 8,
    reserved: 0,
};

fn lane(target: &str, project: &str) -> Lane {
    Lane::new("copy", target, project, None)
}

fn due(lane: &Lane) -> Due {
    Due {
        lane: lane.clone(),
        since_ms: 0,
        gate: Gate::Open,
    }
}

struct Stage {
    fairness: Fairness,
    running: Vec<Lane>,
    limits: Limits,
}

impl Stage {
    fn new(limits: Limits) -> Self {
        Self {
            fairness: Fairness::default(),
            running: Vec::new(),
            limits,
        }
    }

    /// How many turns each of `lanes` gets of `free` workers.
    fn share<const N: usize>(&mut self, lanes: [&Lane; N], free: usize) -> [usize; N] {
        let waiting = lanes.map(due);
        let turns = self
            .fairness
            .share(&waiting, &self.running, free, self.limits);
        lanes.map(|lane| {
            let turn = turns.iter().find(|turn| turn.lane == *lane);
            turn.map_or(0, |turn| turn.jobs)
        })
    }
}

#[test]
fn targets_share_the_workers_whatever_projects_they_have() {
    let (a1, a2, b) = (lane("a", "one"), lane("a", "two"), lane("b", "one"));
    let mut stage = Stage::new(NO_LIMITS);
    assert_eq!(stage.share([&a1, &a2, &b], 8), [2, 2, 4]);
}

#[test]
fn what_a_lane_has_moved_counts_against_it() {
    let (heavy, light) = (lane("a", "heavy"), lane("a", "light"));
    let mut stage = Stage::new(NO_LIMITS);
    assert_eq!(stage.share([&heavy, &light], 2), [1, 1]);
    stage.fairness.charge(&heavy, 5 * 1024 * 1024);
    assert_eq!(stage.share([&heavy, &light], 5), [0, 5]);
    assert_eq!(stage.share([&heavy, &light], 2), [1, 1]);
}

#[test]
fn a_newcomer_is_served_beside_the_others_and_not_before_them() {
    let (old, new) = (lane("a", "old"), lane("b", "new"));
    let mut stage = Stage::new(NO_LIMITS);
    assert_eq!(stage.share([&old], 6), [6]);
    assert_eq!(stage.share([&old, &new], 4), [2, 2]);
}

#[test]
fn turns_without_a_job_are_given_back() {
    let (a, b) = (lane("a", ""), lane("b", ""));
    let mut stage = Stage::new(NO_LIMITS);
    assert_eq!(stage.share([&a, &b], 6), [3, 3]);
    stage.fairness.refund(&a, 2);
    assert_eq!(stage.share([&a, &b], 2), [2, 0]);
}

#[test]
fn the_last_worker_is_kept_for_another_target_once_there_are_two() {
    let (a, b) = (lane("a", ""), lane("b", ""));
    let mut stage = Stage::new(Limits {
        workers: 3,
        per_target: 0,
        ..NO_LIMITS
    });
    assert_eq!(stage.share([&a], 3), [3], "alone");
    stage.share([&a, &b], 0);
    assert_eq!(stage.share([&a], 3), [2]);
    stage.running = vec![a.clone(), a.clone()];
    assert_eq!(stage.share([&a, &b], 1), [0, 1]);
}

#[test]
fn limits_count_what_is_running() {
    let (a, other) = (lane("a", ""), Lane::new("scan", "", "", None));
    let per_target = Limits {
        per_target: 2,
        ..NO_LIMITS
    };
    let per_kind = Limits {
        per_kind: 3,
        ..NO_LIMITS
    };
    for (limits, expected) in [(per_target, [1, 6]), (per_kind, [2, 3])] {
        let mut stage = Stage::new(limits);
        stage.running = vec![a.clone()];
        assert_eq!(stage.share([&a, &other], 7), expected, "{limits:?}");
    }
}

#[test]
fn large_jobs_leave_the_reserved_workers_free() {
    let large = Lane::new("copy", "a", "", Some(u64::MAX));
    let small = lane("a", "");
    let mut stage = Stage::new(Limits {
        workers: 3,
        per_target: 3,
        reserved: 1,
        ..NO_LIMITS
    });
    assert_eq!(stage.share([&large], 3), [2]);
    stage.running = vec![large.clone(), large.clone()];
    assert_eq!(stage.share([&large, &small], 1), [0, 1]);
}

#[test]
fn a_parked_target_gets_one_job_when_its_time_has_come() {
    let lanes = [
        (lane("shut", ""), Gate::Shut, None),
        (lane("probed", ""), Gate::Probe, Some(1)),
        (lane("open", ""), Gate::Open, Some(4)),
    ];
    let waiting: Vec<Due> = lanes
        .iter()
        .map(|(lane, gate, _)| Due {
            gate: *gate,
            ..due(lane)
        })
        .collect();
    let turns = Fairness::default().share(&waiting, &[], 5, NO_LIMITS);
    for (lane, gate, expected) in &lanes {
        let turn = turns.iter().find(|turn| turn.lane == *lane);
        assert_eq!(turn.map(|turn| turn.jobs), *expected, "{gate:?}");
    }
}
