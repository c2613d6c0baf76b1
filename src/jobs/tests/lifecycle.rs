use proptest::prelude::*;

use crate::{
    clock::Timestamp,
    jobs::{
        Class, Failure, State,
        lifecycle::{Lifecycle, Refused},
    },
};

#[derive(Debug, Clone)]
pub(super) enum Step {
    Push,
    Claim,
    Succeed { stale: bool },
    Fail { failure: Failure, stale: bool },
    Release,
    GoOn,
    Crash,
    Stop,
    Retry,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let failure = prop_oneof![
        4 => Just(Failure::retryable("500")),
        1 => Just(Failure::Throttled {
            message: "429".to_owned(),
            retry_after: std::time::Duration::from_secs(7),
        }),
        1 => Just(Failure::target_down("refused")),
        1 => Just(Failure::permanent("403")),
        1 => Just(Failure::Stopped),
    ];
    let stale = || prop::bool::weighted(0.1);
    let step = prop_oneof![
        4 => Just(Step::Push),
        6 => Just(Step::Claim),
        2 => stale().prop_map(|stale| Step::Succeed { stale }),
        4 => (failure, stale()).prop_map(|(failure, stale)| Step::Fail { failure, stale }),
        1 => Just(Step::Release),
        1 => Just(Step::GoOn),
        2 => Just(Step::Crash),
        1 => Just(Step::Stop),
        1 => Just(Step::Retry),
    ];
    proptest::collection::vec(step, 1..60)
}

pub(super) const MAX_ATTEMPTS: i64 = 3;

/// Takes a step at `now`; every retry is due at `retry_at`.
pub(super) fn take(
    job: &Lifecycle,
    step: &Step,
    now: Timestamp,
    retry_at: Timestamp,
) -> Result<Lifecycle, Refused> {
    let epoch = |stale: bool| job.epoch - i64::from(stale);
    match step {
        Step::Push => job.push(now),
        Step::Claim => job.claim(now),
        Step::Succeed { stale } => job.succeed(epoch(*stale)),
        Step::Fail { failure, stale } => job.fail(epoch(*stale), failure, retry_at),
        Step::Release => job.release(job.epoch),
        Step::GoOn => job.go_on(job.epoch, now),
        Step::Crash => job.crash(retry_at),
        Step::Stop => job.stop(),
        Step::Retry => job.retry(now),
    }
}

/// What a user of the queue may rely on, kept without generations, epochs or revisions.
#[derive(Debug, Default)]
struct Promise {
    /// Wishes that no run has known and no stop has cancelled.
    owed: u32,
    failures: i64,
}

impl Promise {
    fn hear(&mut self, step: &Step, before: State) {
        match step {
            Step::Push => self.owed += 1,
            Step::Retry => (self.owed, self.failures) = (1, 0),
            Step::Claim | Step::Stop => self.owed = 0,
            Step::Crash | Step::Release | Step::GoOn | Step::Succeed { .. } | Step::Fail { .. } => {
            }
        }
        if matches!(step, Step::Push) && before != State::Running {
            self.failures = 0;
        }
        if let Step::Fail {
            failure: Failure::Retryable { .. },
            ..
        } = step
        {
            self.failures += 1;
        }
        if self.owed > 0 && before == State::Running && !matches!(step, Step::Push) {
            self.failures = 0;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_wish_is_lost_and_every_limit_holds(steps in steps()) {
        let now = Timestamp::from_seconds(1000);
        let mut job = Lifecycle::new(now, MAX_ATTEMPTS);
        let mut promise = Promise { owed: 1, ..Promise::default() };
        for step in steps {
            let Ok(next) = take(&job, &step, now, now) else {
                continue;
            };
            prop_assert_eq!(next.rev, job.rev + 1);
            prop_assert!(next.state == job.state || job.state.may_become(next.state));
            prop_assert!(job.state != State::Done, "nothing leaves done");
            promise.hear(&step, job.state);

            if promise.owed > 0 {
                prop_assert!(!next.state.is_final(), "{step:?} lost a wish: {next:?}");
            }
            if next.state == State::Done {
                prop_assert_eq!(next.generation, next.run_generation);
            }
            if next.state == State::Stopped {
                prop_assert!(
                    next.stop_generation > 0
                        || next.fault.as_ref().is_some_and(|fault| fault.class == Class::Stopped)
                );
            }
            if next.state == State::Failed {
                let permanent = matches!(
                    step, Step::Fail { failure: Failure::Permanent { .. }, .. }
                );
                prop_assert!(permanent || promise.failures >= MAX_ATTEMPTS, "{next:?}");
            }
            if matches!(step, Step::Crash) {
                prop_assert!(matches!(next.state, State::Ready | State::Retry) || job.stop_requested());
            }
            prop_assert!((0..=MAX_ATTEMPTS).contains(&next.attempts), "{next:?}");
            prop_assert!(next.epoch == job.epoch + i64::from(matches!(step, Step::Claim)));
            job = next;
        }
    }
}

#[test]
fn a_job_that_takes_the_process_down_again_waits_whoever_wishes_for_it() {
    let now = Timestamp::from_seconds(1000);
    let late = Timestamp::from_seconds(1300);
    let once = Lifecycle::new(now, MAX_ATTEMPTS)
        .claim(now)
        .and_then(|job| job.crash(late))
        .unwrap();
    assert_eq!((once.state, once.run_at), (State::Ready, now));
    let again = once.claim(now).unwrap();
    for running in [again.clone(), again.push(now).unwrap()] {
        let waits = running.crash(late).unwrap();
        assert_eq!((waits.state, waits.run_at), (State::Retry, late));
        let pushed = waits.push(now).unwrap();
        assert_eq!(pushed.run_at, late);
        assert_eq!(pushed.claim(now), Err(Refused));
        // A person may.
        assert!(waits.retry(now).unwrap().claim(now).is_ok());
    }
}
