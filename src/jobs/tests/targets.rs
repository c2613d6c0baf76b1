use std::time::Duration;

use super::{claim_one, enqueue, instance, noon, settle, state, try_claim, wish};
use crate::{
    jobs::{Failure, Jobs, NewJob, State, lease::Ending},
    store::testing,
};

fn job(key: &str, target: &str) -> NewJob {
    wish(key, 1).for_target(target)
}

async fn fail(jobs: &Jobs, failure: Failure) {
    let (_row, slot) = claim_one(jobs).await;
    settle(jobs, &slot, Ending::Failed(failure)).await;
}

fn down() -> Failure {
    Failure::target_down("connection refused\0")
}

#[tokio::test]
async fn jobs_of_a_target_that_is_down_wait_and_those_of_others_run() {
    for db in testing::databases().await {
        let clock = noon();
        let (jobs, other) = (instance(&db, &clock), instance(&db, &clock));
        let first = enqueue(&jobs, job("a", "down")).await.id;
        fail(&jobs, down()).await;
        let waiting = enqueue(&jobs, job("b", "down")).await.id;
        let elsewhere = enqueue(&jobs, job("c", "up")).await.id;
        other.inner.refresh_targets().await.unwrap();
        let row = try_claim(&other).await.expect("another target is served");
        assert_eq!(row.id, elsewhere.0);
        for instance in [&jobs, &other] {
            assert!(try_claim(instance).await.is_none());
        }
        let job = jobs.job(waiting).await.unwrap();
        assert_eq!((job.state, job.attempts), (State::Ready, 0));
        assert_eq!(jobs.job(first).await.unwrap().attempts, 0, "none is spent");
    }
}

#[tokio::test]
async fn one_job_tries_a_parked_target_and_its_success_lets_the_others_go() {
    for db in testing::databases().await {
        let clock = noon();
        let (jobs, other) = (instance(&db, &clock), instance(&db, &clock));
        for key in ["a", "b", "c"] {
            enqueue(&jobs, job(key, "down")).await;
        }
        fail(&jobs, down()).await;
        for pause in [10, 20, 40, 60, 60] {
            clock.advance(Duration::from_millis(pause * 1000 - 1));
            assert!(try_claim(&jobs).await.is_none(), "before {pause} s");
            clock.advance(Duration::from_millis(1));
            other.inner.refresh_targets().await.unwrap();
            let (_row, probe) = claim_one(&jobs).await;
            assert!(try_claim(&jobs).await.is_none(), "one probe here");
            assert!(try_claim(&other).await.is_none(), "one probe over all");
            settle(&jobs, &probe, Ending::Failed(down())).await;
        }
        clock.advance(Duration::from_mins(1));
        let (_row, probe) = claim_one(&jobs).await;
        settle(&jobs, &probe, Ending::Succeeded).await;
        claim_one(&jobs).await;
        assert!(
            other.inner.refresh_targets().await.unwrap(),
            "it was opened"
        );
        claim_one(&other).await;
    }
}

#[tokio::test]
async fn runs_that_fail_together_count_once() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let mut running = Vec::new();
        for key in ["a", "b", "c"] {
            enqueue(&jobs, job(key, "down")).await;
            running.push(claim_one(&jobs).await.1);
        }
        for slot in &running {
            settle(&jobs, slot, Ending::Failed(down())).await;
        }
        clock.advance(Duration::from_secs(10));
        assert!(try_claim(&jobs).await.is_some());
    }
}

#[tokio::test]
async fn a_target_that_asks_for_patience_gets_it_for_all_its_jobs() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let first = enqueue(&jobs, job("a", "busy")).await.id;
        let throttled = Failure::Throttled {
            message: "429".to_owned(),
            retry_after: Duration::from_secs(42),
        };
        fail(&jobs, throttled).await;
        assert_eq!(state(&jobs, first).await, State::Retry);
        enqueue(&jobs, job("b", "busy")).await;
        clock.advance(Duration::from_secs(41));
        assert!(try_claim(&jobs).await.is_none());
        clock.advance(Duration::from_secs(1));
        let (row, probe) = claim_one(&jobs).await;
        assert_eq!(row.attempts, 1);
        assert!(try_claim(&jobs).await.is_none(), "one at first");
        settle(&jobs, &probe, Ending::Succeeded).await;
        assert!(try_claim(&jobs).await.is_some());
    }
}

#[tokio::test]
async fn a_probe_that_nobody_hears_of_is_followed_by_another() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        enqueue(&jobs, job("a", "down")).await;
        enqueue(&jobs, job("b", "down")).await;
        fail(&jobs, down()).await;
        clock.advance(Duration::from_secs(10));
        claim_one(&jobs).await;
        let other = instance(&db, &clock);
        other.inner.refresh_targets().await.unwrap();
        assert!(try_claim(&other).await.is_none());
        clock.advance(Duration::from_secs(10));
        assert!(try_claim(&other).await.is_some());
    }
}
