//! Stops and retries by filter.

use std::time::Duration;

use super::{KIND, becomes, claim_one, enqueue, instance, noon, settle, state, wish};
use crate::{
    clock::{Clock, ManualClock},
    jobs::{
        Failure, Filter, JobId, Jobs, NewJob, State, lease::Ending, lifecycle::Lifecycle, queries,
        slots::Reason,
    },
    store::{Db, testing},
};

fn of_kind(kind: &str) -> Filter {
    Filter {
        kind: Some(kind.to_owned()),
        ..Filter::default()
    }
}

async fn read(jobs: &Jobs, id: JobId) -> Lifecycle {
    let row = queries::job(&jobs.inner.db, id).await.unwrap();
    row.unwrap().lifecycle().unwrap()
}

/// Enqueues a job of a kind and brings it into a state.
async fn in_state(jobs: &Jobs, kind: &'static str, wanted: State) -> JobId {
    let id = enqueue(jobs, NewJob::new(kind, wanted.as_str(), 1.into()));
    let id = id.await.id;
    let ending = match wanted {
        State::Ready => return id,
        State::Stopped => {
            jobs.stop(id).await.unwrap();
            return id;
        }
        State::Running => None,
        State::Retry => Some(Ending::Failed(Failure::retryable("500"))),
        State::Failed => Some(Ending::Failed(Failure::permanent("403"))),
        State::Done => Some(Ending::Succeeded),
    };
    let row = jobs.inner.claim(&[kind], 1).await.unwrap().pop().unwrap();
    let slot = jobs.inner.occupy(&row);
    if let Some(ending) = ending {
        settle(jobs, &slot, ending).await;
    }
    assert_eq!(state(jobs, id).await, wanted);
    id
}

/// Jobs of one kind, one in each state; those that may be claimed come last.
async fn one_in_each_state(jobs: &Jobs, kind: &'static str) -> Vec<JobId> {
    let mut ids = Vec::new();
    let states = [
        State::Running,
        State::Done,
        State::Failed,
        State::Stopped,
        State::Retry,
        State::Ready,
    ];
    for wanted in states {
        ids.push(in_state(jobs, kind, wanted).await);
    }
    ids
}

/// Has the same done to one kind singly and to another together, and compares what they became.
async fn compare(
    jobs: &Jobs,
    clock: &ManualClock,
    (singly, together): (&'static str, &'static str),
    verb: &str,
) {
    let alone = one_in_each_state(jobs, singly).await;
    let many = one_in_each_state(jobs, together).await;
    clock.advance(Duration::from_mins(10));
    let filter = of_kind(together);
    let changed = if verb == "stop" {
        for id in &alone {
            jobs.stop(*id).await.unwrap();
        }
        jobs.stop_where(&filter).await
    } else {
        // Those that run or are done refuse, and what is ready is only meant by its state.
        for id in &alone[..5] {
            let _ = jobs.retry(*id).await;
        }
        jobs.retry_where(&filter).await
    };
    assert_eq!(changed.unwrap(), 3);
    for (one, other) in alone.into_iter().zip(many) {
        let (mut expected, found) = (read(jobs, one).await, read(jobs, other).await);
        if verb == "stop" {
            // Backoff is random.
            expected.run_at = found.run_at;
        }
        assert_eq!(found, expected);
        let (log, same) = (jobs.log(one).await, jobs.log(other).await);
        assert_eq!(log.unwrap(), same.unwrap());
    }
}

#[tokio::test]
async fn many_are_changed_as_each_would_be() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        compare(&jobs, &clock, ("a", "b"), "stop").await;
        compare(&jobs, &clock, ("c", "d"), "retry").await;
    }
}

#[tokio::test]
async fn a_filter_means_what_it_says() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let old = enqueue(&jobs, wish("50%/x", 1)).await.id;
        let claimed = claim_one(&jobs).await.1;
        clock.advance(Duration::from_secs(1));
        let since = Some(clock.now());
        let to_b = enqueue(&jobs, wish("50%/y", 1).for_target("b")).await.id;
        let other = enqueue(&jobs, wish("500/z", 1).for_target("a")).await.id;
        let states = async || {
            let mut states = Vec::new();
            for id in [old, to_b, other] {
                let job = jobs.job(id).await.unwrap();
                states.push((job.state, job.stopping));
            }
            states
        };
        let ready = (State::Ready, false);
        let none = Filter {
            key_prefix: Some("50%/".to_owned()),
            target: Some("a".to_owned()),
            ..of_kind(KIND)
        };
        assert_eq!(jobs.stop_where(&none).await.unwrap(), 0);
        let newer = Filter {
            key_prefix: Some("50%/".to_owned()),
            since,
            ..of_kind(KIND)
        };
        assert_eq!(jobs.stop_where(&newer).await.unwrap(), 1);
        let expected = [(State::Running, false), (State::Stopped, false), ready];
        assert_eq!(states().await, expected);
        let running = Filter {
            state: Some(State::Running),
            ..Filter::default()
        };
        assert_eq!(jobs.stop_where(&running).await.unwrap(), 1);
        let expected = [(State::Running, true), (State::Stopped, false), ready];
        assert_eq!(states().await, expected);
        assert_eq!(claimed.reason(), Some(Reason::Requested), "told at once");
        assert_eq!(jobs.stop_where(&of_kind("other")).await.unwrap(), 0);
        let to_a = Filter {
            target: Some("a".to_owned()),
            ..Filter::default()
        };
        assert_eq!(jobs.stop_where(&to_a).await.unwrap(), 1);
        assert_eq!(states().await[2].0, State::Stopped);
    }
}

#[tokio::test]
async fn runs_on_other_instances_hear_of_it_with_the_heartbeat() {
    for db in testing::databases().await {
        let clock = noon();
        let (busy, other) = (instance(&db, &clock), instance(&db, &clock));
        enqueue(&busy, wish("a", 1)).await;
        let (_row, slot) = claim_one(&busy).await;
        assert_eq!(other.stop_where(&of_kind(KIND)).await.unwrap(), 1);
        busy.inner.beat().await.unwrap();
        assert_eq!(slot.reason(), Some(Reason::Requested));
    }
}

#[tokio::test]
async fn more_than_one_transaction_takes_are_stopped_and_retried() {
    for db in testing::databases().await {
        let jobs = instance(&db, &noon());
        let wishes: Vec<_> = (0..2500).map(|n| wish(&format!("k{n}"), n)).collect();
        let mut tx = db.begin().await.unwrap();
        jobs.enqueue_all(&mut tx, &wishes).await.unwrap();
        tx.commit().await.unwrap();
        let all = of_kind(KIND);
        assert_eq!(jobs.stop_where(&all).await.unwrap(), 2500);
        assert_eq!(jobs.stop_where(&all).await.unwrap(), 0);
        assert_eq!(jobs.retry_where(&all).await.unwrap(), 2500);
        assert_eq!(jobs.retry_where(&all).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_job_that_another_transaction_holds_keeps_no_other_waiting() {
    for db in testing::databases().await {
        if let Db::Lite { .. } = &*db {
            continue;
        }
        let jobs = instance(&db, &noon());
        let held = enqueue(&jobs, wish("held", 1)).await.id;
        let free = enqueue(&jobs, wish("free", 1)).await.id;
        let mut holder = db.begin().await.unwrap();
        queries::lock(&mut holder, &[held]).await.unwrap();
        let stopping = tokio::spawn({
            let jobs = jobs.clone();
            async move { jobs.stop_where(&of_kind(KIND)).await.unwrap() }
        });
        becomes(&jobs, free, State::Stopped).await;
        holder.commit().await.unwrap();
        assert_eq!(stopping.await.unwrap(), 2);
        assert_eq!(state(&jobs, held).await, State::Stopped);
    }
}

#[tokio::test]
async fn all_that_failed_since_a_time_is_retried_once_per_key() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let failed = async |key: &str| {
            let id = enqueue(&jobs, wish(key, 1)).await.id;
            let (_row, slot) = claim_one(&jobs).await;
            settle(&jobs, &slot, Ending::Failed(Failure::permanent("403"))).await;
            id
        };
        let too_old = failed("old").await;
        clock.advance(Duration::from_mins(1));
        let since = clock.now();
        let earlier = failed("twice").await;
        let later = failed("twice").await;
        let other = failed("once").await;
        failed("live").await;
        enqueue(&jobs, wish("live", 2)).await;
        let stopped = in_state(&jobs, "other kind", State::Stopped).await;
        let of_other_kind = in_state(&jobs, "other kind", State::Failed).await;
        assert_eq!(jobs.recover(since).await.unwrap(), 3);
        for (id, expected) in [
            (too_old, State::Failed),
            (earlier, State::Failed),
            (later, State::Ready),
            (other, State::Ready),
            (stopped, State::Stopped),
            (of_other_kind, State::Ready),
        ] {
            assert_eq!(state(&jobs, id).await, expected);
        }
    }
}
