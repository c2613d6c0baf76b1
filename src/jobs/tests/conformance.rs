//! The engine on a database does what the pure state machine says.

use std::{sync::Arc, time::Duration};

use proptest::test_runner::{Config as Cases, TestCaseError, TestRunner};

use super::{
    enqueue, instance,
    lifecycle::{MAX_ATTEMPTS, Step, steps, take},
    noon,
};
use crate::{
    clock::{Clock, ManualClock},
    jobs::{
        JobId, Jobs, NewJob, State,
        lane::Lane,
        lease::Ending,
        lifecycle::Lifecycle,
        log::{Bounds, Log},
        queries,
        slots::Slot,
    },
    store::testing,
};

#[test]
fn databases_take_the_steps_of_the_state_machine() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for db in runtime.block_on(testing::databases()) {
        let cases = Cases {
            cases: 40,
            failure_persistence: None,
            ..Cases::default()
        };
        let case = std::cell::Cell::new(0);
        let result = TestRunner::new(cases).run(&steps(), |steps| {
            case.set(case.get() + 1);
            let clock = noon();
            let world = World {
                jobs: instance(&db, &clock),
                other: instance(&db, &clock),
                clock,
                kind: format!("case {}", case.get()),
            };
            runtime.block_on(world.compare(steps))
        });
        result.unwrap();
    }
}

struct World {
    jobs: Jobs,
    /// A second instance, which finds out that the first is dead.
    other: Jobs,
    clock: Arc<ManualClock>,
    /// One for each case, so that none claims what another left behind.
    kind: String,
}

impl World {
    async fn compare(&self, steps: Vec<Step>) -> Result<(), TestCaseError> {
        let mut id = self.push().await;
        let mut model = Lifecycle::new(self.clock.now(), MAX_ATTEMPTS);
        for step in steps {
            // Far enough for every backoff.
            self.clock.advance(Duration::from_mins(10));
            let before = self.read(id).await;
            let now = self.clock.now();
            let expected = take(&model, &step, now, now);
            if matches!(step, Step::Push) && model.state.is_final() {
                id = self.push().await;
                model = Lifecycle::new(now, MAX_ATTEMPTS);
            } else {
                self.take(id, &before, &step).await;
                model = expected.unwrap_or(model);
            }
            let after = self.read(id).await;
            if after.state == State::Retry {
                model.run_at = after.run_at;
            }
            proptest::prop_assert_eq!(&after, &model, "after {:?}", step);
        }
        Ok(())
    }

    async fn push(&self) -> JobId {
        let mut job = NewJob::new(self.kind.clone(), "a", serde_json::Value::Null);
        job.max_attempts = Some(u32::try_from(MAX_ATTEMPTS).unwrap());
        enqueue(&self.jobs, job).await.id
    }

    async fn read(&self, id: JobId) -> Lifecycle {
        let row = queries::job(&self.jobs.inner.db, id).await.unwrap();
        row.unwrap().lifecycle().unwrap()
    }

    /// Takes the step through the engine's doors; whether it applied shows in the row.
    async fn take(&self, id: JobId, before: &Lifecycle, step: &Step) {
        let inner = &self.jobs.inner;
        match step {
            Step::Push => drop(self.push().await),
            Step::Claim => drop(inner.claim(&[&self.kind], 1).await.unwrap()),
            Step::Succeed { stale } => self.settle(id, before, *stale, Ending::Succeeded).await,
            Step::Fail { failure, stale } => {
                let ending = Ending::Failed(failure.clone());
                self.settle(id, before, *stale, ending).await;
            }
            Step::Release => self.settle(id, before, false, Ending::Released).await,
            Step::GoOn => {
                let ending = Ending::Partial(Duration::ZERO);
                self.settle(id, before, false, ending).await;
            }
            Step::Crash => {
                // The lease ended long ago on this clock.
                self.other.inner.rescue().await.unwrap();
            }
            Step::Stop => drop(self.jobs.stop(id).await),
            Step::Retry => drop(self.jobs.retry(id).await),
        }
    }

    async fn settle(&self, id: JobId, before: &Lifecycle, stale: bool, ending: Ending) {
        let epoch = before.epoch - i64::from(stale);
        let bounds = Bounds {
            lines: 1,
            line_bytes: 80,
        };
        let log = Log::new(self.clock.clone(), (id, epoch), bounds);
        let slot = Arc::new(Slot::new(
            id,
            epoch,
            Lane::new(&self.kind, "", "", None),
            log,
        ));
        super::settle(&self.jobs, &slot, ending).await;
    }
}
