use std::{collections::HashSet, sync::Arc, time::Duration};

use serde_json::json;

use super::{KIND, claim_one, enqueue, instance, listed, noon, state, try_claim, wish};
use crate::{
    clock::Clock,
    jobs::{Error, Failure, JobId, Jobs, State, Stopping, lease::Ending, runner, slots::Slot},
    store::testing,
};

async fn settle(jobs: &Jobs, slot: &Arc<Slot>, ending: Ending) -> State {
    let state = super::settle(jobs, slot, ending).await;
    state.expect("the lease is held")
}

async fn fail(jobs: &Jobs, failure: Failure) -> State {
    let (_row, slot) = claim_one(jobs).await;
    settle(jobs, &slot, Ending::Failed(failure)).await
}

#[tokio::test]
async fn a_waiting_job_takes_a_further_wish_in() {
    for db in testing::databases().await {
        let jobs = instance(&db, &noon());
        let first = enqueue(&jobs, wish("a", 1)).await;
        let second = enqueue(&jobs, wish("a", 2)).await;
        assert!(!first.coalesced && second.coalesced);
        assert_eq!(first.id, second.id);
        let job = jobs.job(first.id).await.unwrap();
        assert_eq!((job.params, job.generation), (json!({ "n": 2 }), 2));
        claim_one(&jobs).await;
        assert!(try_claim(&jobs).await.is_none());
    }
}

#[tokio::test]
async fn wishes_during_a_run_make_exactly_one_more() {
    for db in testing::databases().await {
        let jobs = instance(&db, &noon());
        let id = enqueue(&jobs, wish("a", 1)).await.id;
        let (row, slot) = claim_one(&jobs).await;
        assert_eq!(row.params().unwrap(), json!({ "n": 1 }));
        for n in 2..=4 {
            assert!(enqueue(&jobs, wish("a", n)).await.coalesced);
        }
        assert!(try_claim(&jobs).await.is_none(), "one run at a time");
        assert_eq!(settle(&jobs, &slot, Ending::Succeeded).await, State::Ready);
        let (row, slot) = claim_one(&jobs).await;
        assert_eq!((row.id, row.params().unwrap()), (id.0, json!({ "n": 4 })));
        assert_eq!(settle(&jobs, &slot, Ending::Succeeded).await, State::Done);
        assert!(try_claim(&jobs).await.is_none());
    }
}

#[tokio::test]
async fn what_is_wished_again_and_again_is_no_older_than_its_last_run() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let oldest = async || {
            let backlogs = jobs.backlogs(KIND, clock.now()).await.unwrap();
            backlogs.get("a").and_then(|backlog| backlog.oldest)
        };
        let first = clock.now();
        enqueue(&jobs, wish("a/b", 1)).await;
        clock.advance(Duration::from_mins(1));
        enqueue(&jobs, wish("a/b", 2)).await;
        assert_eq!(oldest().await, Some(first), "neither is fulfilled");
        let began = clock.now();
        let (_, slot) = claim_one(&jobs).await;
        clock.advance(Duration::from_mins(1));
        enqueue(&jobs, wish("a/b", 3)).await;
        assert_eq!(settle(&jobs, &slot, Ending::Succeeded).await, State::Ready);
        assert_eq!(oldest().await, Some(began), "the first two are");
        let (_, slot) = claim_one(&jobs).await;
        assert_eq!(settle(&jobs, &slot, Ending::Succeeded).await, State::Done);
        assert_eq!(oldest().await, None);
    }
}

#[tokio::test]
async fn a_wish_that_is_rolled_back_was_never_made() {
    for db in testing::databases().await {
        let jobs = instance(&db, &noon());
        let mut tx = db.begin().await.unwrap();
        let id = jobs.enqueue(&mut tx, wish("a", 1)).await.unwrap().id;
        drop(tx);
        assert!(matches!(jobs.job(id).await, Err(Error::NotFound(_))));
    }
}

#[tokio::test]
async fn several_wishes_are_answered_in_their_order() {
    for db in testing::databases().await {
        let jobs = instance(&db, &noon());
        let existing = enqueue(&jobs, wish("b", 0)).await.id;
        let wishes = [wish("c", 1), wish("b", 2), wish("a", 3), wish("c", 4)];
        let mut tx = db.begin().await.unwrap();
        let answers = jobs.enqueue_all(&mut tx, &wishes).await.unwrap();
        tx.commit().await.unwrap();
        let coalesced: Vec<bool> = answers.iter().map(|answer| answer.coalesced).collect();
        assert_eq!(coalesced, [false, true, false, true]);
        assert_eq!(answers[1].id, existing);
        assert_eq!(answers[0].id, answers[3].id);
        let last = jobs.job(answers[3].id).await.unwrap();
        assert_eq!((last.key.as_str(), last.params), ("c", json!({ "n": 4 })));
    }
}

#[tokio::test]
async fn jobs_wait_for_their_time_and_the_earliest_wish_counts() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let at = |seconds| clock.now().plus(Duration::from_secs(seconds));
        enqueue(&jobs, wish("a", 1).at(at(60))).await;
        enqueue(&jobs, wish("a", 2).at(at(30))).await;
        enqueue(&jobs, wish("a", 3).at(at(90))).await;
        assert!(try_claim(&jobs).await.is_none());
        clock.advance(Duration::from_secs(30));
        assert!(try_claim(&jobs).await.is_some());
    }
}

async fn claim_all(jobs: Jobs) -> Vec<i64> {
    let mut taken = Vec::new();
    loop {
        let rows = jobs.inner.claim(&[KIND], 7).await.unwrap();
        assert!(rows.len() <= 7, "never more than asked for");
        if rows.is_empty() {
            return taken;
        }
        taken.extend(rows.into_iter().map(|row| row.id));
    }
}

#[tokio::test]
async fn concurrent_claims_hand_each_job_out_once() {
    for db in testing::databases().await {
        let clock = noon();
        let instances = [instance(&db, &clock), instance(&db, &clock)];
        let wishes: Vec<_> = (0..200).map(|n| wish(&format!("k{n}"), n)).collect();
        let mut tx = db.begin().await.unwrap();
        instances[0].enqueue_all(&mut tx, &wishes).await.unwrap();
        tx.commit().await.unwrap();
        let claimers = (0..4).map(|n| tokio::spawn(claim_all(instances[n % 2].clone())));
        let mut taken = Vec::new();
        for claimer in claimers.collect::<Vec<_>>() {
            taken.extend(claimer.await.unwrap());
        }
        let distinct: HashSet<i64> = taken.iter().copied().collect();
        assert_eq!((taken.len(), distinct.len()), (200, 200));
    }
}

#[tokio::test]
async fn a_stopped_waiting_job_stays_stopped_and_a_later_wish_is_a_new_job() {
    for db in testing::databases().await {
        let jobs = instance(&db, &noon());
        let first = enqueue(&jobs, wish("a", 1)).await.id;
        assert_eq!(jobs.stop(first).await.unwrap(), Stopping::Stopped);
        assert_eq!(jobs.stop(first).await.unwrap(), Stopping::AlreadyFinished);
        assert!(try_claim(&jobs).await.is_none());
        let second = enqueue(&jobs, wish("a", 2)).await;
        assert!(!second.coalesced && second.id != first);
        assert_eq!(state(&jobs, first).await, State::Stopped);
        let error = jobs.stop(JobId(999_999)).await.unwrap_err();
        assert!(matches!(error, Error::NotFound(_)), "{error}");
    }
}

#[tokio::test]
async fn a_stop_cancels_the_run_and_the_wishes_before_it_but_none_after() {
    for db in testing::databases().await {
        let jobs = instance(&db, &noon());
        let id = enqueue(&jobs, wish("a", 1)).await.id;
        let (_row, slot) = claim_one(&jobs).await;
        enqueue(&jobs, wish("a", 2)).await;
        assert_eq!(jobs.stop(id).await.unwrap(), Stopping::Requested);
        assert!(slot.stop.is_cancelled());
        assert!(jobs.job(id).await.unwrap().stopping);
        let ending = Ending::Failed(Failure::Stopped);
        assert_eq!(settle(&jobs, &slot, ending.clone()).await, State::Stopped);

        let id = enqueue(&jobs, wish("a", 3)).await.id;
        let (_row, slot) = claim_one(&jobs).await;
        jobs.stop(id).await.unwrap();
        assert!(enqueue(&jobs, wish("a", 4)).await.coalesced);
        assert_eq!(settle(&jobs, &slot, ending).await, State::Ready);
        let (row, _slot) = claim_one(&jobs).await;
        assert_eq!(row.params().unwrap(), json!({ "n": 4 }));
    }
}

/// PostgreSQL refuses a NUL, which a registry may send.
#[tokio::test]
async fn a_failure_ends_its_run_whatever_its_message() {
    for db in testing::databases().await {
        let jobs = instance(&db, &noon());
        let id = enqueue(&jobs, wish("a", 1)).await.id;
        let message = format!("a\0b{}", "ä".repeat(100_000));
        let failure = Failure::permanent(message);
        assert_eq!(fail(&jobs, failure).await, State::Failed);
        let error = jobs.job(id).await.unwrap().error.unwrap();
        assert!(error.starts_with("a\u{fffd}bää") && error.len() < 3000);
    }
}

#[tokio::test]
async fn failures_are_retried_by_their_class() {
    let throttled = Failure::Throttled {
        message: "429".to_owned(),
        retry_after: Duration::from_secs(42),
    };
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let id = enqueue(&jobs, wish("a", 1)).await.id;

        assert_eq!(fail(&jobs, Failure::retryable("500")).await, State::Retry);
        let job = jobs.job(id).await.unwrap();
        assert_eq!((job.attempts, job.error.as_deref()), (1, Some("500")));
        assert!(job.run_at <= clock.now().plus(Duration::from_secs(1)));

        clock.advance(Duration::from_secs(1));
        assert_eq!(fail(&jobs, throttled.clone()).await, State::Retry);
        let job = jobs.job(id).await.unwrap();
        assert_eq!(job.attempts, 1, "no attempt is spent");
        assert_eq!(job.run_at, clock.now().plus(Duration::from_secs(42)));

        clock.advance(Duration::from_secs(41));
        assert!(try_claim(&jobs).await.is_none());
        clock.advance(Duration::from_secs(1));
        let down = Failure::target_down("connection refused");
        assert_eq!(fail(&jobs, down).await, State::Retry);
        let job = jobs.job(id).await.unwrap();
        assert_eq!(job.attempts, 1, "no attempt is spent");
        clock.advance(Duration::from_secs(2));
        assert_eq!(fail(&jobs, Failure::permanent("403")).await, State::Failed);
        let job = jobs.job(id).await.unwrap();
        assert_eq!(job.error_class.as_deref(), Some("permanent"));
        assert_eq!(job.finished, Some(clock.now()));
    }
}

#[tokio::test]
async fn attempts_run_out() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let mut job = wish("a", 1);
        job.max_attempts = Some(3);
        enqueue(&jobs, job).await;
        for expected in [State::Retry, State::Retry, State::Failed] {
            clock.advance(Duration::from_mins(5));
            assert_eq!(fail(&jobs, Failure::retryable("500")).await, expected);
        }
    }
}

#[tokio::test]
async fn a_person_retries_what_failed_or_was_stopped_but_not_what_is_done() {
    for db in testing::databases().await {
        let jobs = instance(&db, &noon());
        let id = enqueue(&jobs, wish("a", 1)).await.id;
        fail(&jobs, Failure::permanent("403")).await;
        jobs.retry(id).await.unwrap();
        jobs.stop(id).await.unwrap();
        jobs.retry(id).await.unwrap();
        let (_row, slot) = claim_one(&jobs).await;
        settle(&jobs, &slot, Ending::Succeeded).await;
        let error = jobs.retry(id).await.unwrap_err();
        assert!(error.to_string().contains("is done and cannot be retried"));
        let log = jobs.log(id).await.unwrap();
        assert_eq!(log.matches("retried by hand").count(), 2, "{log}");
    }
}

#[tokio::test]
async fn a_retry_yields_to_a_live_job_of_the_same_key() {
    for db in testing::databases().await {
        let jobs = instance(&db, &noon());
        let old = enqueue(&jobs, wish("a", 1)).await.id;
        fail(&jobs, Failure::permanent("403")).await;
        let live = enqueue(&jobs, wish("a", 2)).await.id;
        assert_ne!(old, live);
        let error = jobs.retry(old).await.unwrap_err();
        assert!(matches!(error, Error::Superseded(_)), "{error}");
        assert_eq!(state(&jobs, old).await, State::Failed);
    }
}

#[tokio::test]
async fn finished_jobs_are_listed_until_their_history_ends() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let done = enqueue(&jobs, wish("a", 1)).await.id;
        fail(&jobs, Failure::permanent("403")).await;
        let waiting = enqueue(&jobs, wish("b", 1)).await.id;
        let ids = async |state| -> Vec<JobId> {
            let found = listed(&jobs, state).await;
            found.into_iter().map(|job| job.id).collect()
        };
        assert_eq!(ids(None).await, [waiting, done]);
        assert_eq!(ids(Some(State::Failed)).await, [done]);
        clock.advance(Duration::from_hours(14 * 24));
        assert_eq!(runner::sweep(&jobs).await.unwrap(), 0);
        clock.advance(Duration::from_millis(1));
        assert_eq!(runner::sweep(&jobs).await.unwrap(), 1);
        assert_eq!(ids(None).await, [waiting]);
    }
}
