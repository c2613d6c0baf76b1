use std::time::Duration;

use super::{claim_one, enqueue, instance, noon, settle, state, try_claim, wish};
use crate::{
    clock::Clock,
    jobs::{Failure, JobId, State, lease::Ending, slots::Reason},
    store::{Db, testing},
};

const LEASE: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_silent_instance_loses_its_job_and_can_write_nothing_more() {
    for db in testing::databases().await {
        let clock = noon();
        let (silent, other) = (instance(&db, &clock), instance(&db, &clock));
        let id = enqueue(&silent, wish("a", 1)).await.id;
        let (_row, stale) = claim_one(&silent).await;
        assert_eq!(other.inner.rescue().await.unwrap(), 0);
        clock.advance(LEASE + Duration::from_millis(1));
        assert_eq!(other.inner.rescue().await.unwrap(), 1);
        let (row, slot) = claim_one(&other).await;
        assert_eq!(
            (row.id, row.attempts),
            (id.0, 1),
            "the lost attempt is free"
        );

        stale.log.line("written too late");
        let late = std::slice::from_ref(&stale);
        silent.inner.write_logs(late).await.unwrap();
        silent.inner.beat().await.unwrap();
        assert_eq!(stale.reason(), Some(Reason::LeaseLost));
        let late = settle(&silent, &stale, Ending::Succeeded).await;
        assert_eq!(late, None);
        assert_eq!(state(&other, id).await, State::Running);

        let ended = settle(&other, &slot, Ending::Succeeded).await;
        assert_eq!(ended, Some(State::Done));
        let log = other.log(id).await.unwrap();
        assert!(
            !log.contains("too late") && log.contains("process died"),
            "{log}"
        );
    }
}

#[tokio::test]
async fn heartbeats_keep_a_lease() {
    for db in testing::databases().await {
        let clock = noon();
        let (busy, other) = (instance(&db, &clock), instance(&db, &clock));
        enqueue(&busy, wish("a", 1)).await;
        let (_row, slot) = claim_one(&busy).await;
        for _ in 0..3 {
            clock.advance(LEASE);
            busy.inner.beat().await.unwrap();
            assert_eq!(other.inner.rescue().await.unwrap(), 0);
        }
        assert_eq!(slot.reason(), None);
    }
}

#[tokio::test]
async fn a_jump_of_the_clock_takes_no_job_from_its_own_instance() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        enqueue(&jobs, wish("a", 1)).await;
        claim_one(&jobs).await;
        clock.advance(Duration::from_hours(1));
        assert_eq!(jobs.inner.rescue().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn nothing_waits_for_a_clock_that_was_set_back() {
    for db in testing::databases().await {
        let clock = noon();
        let (gone, jobs) = (instance(&db, &clock), instance(&db, &clock));
        enqueue(&gone, wish("held", 1)).await;
        claim_one(&gone).await;
        enqueue(&jobs, wish("failing", 1).for_target("down")).await;
        let (_row, failing) = claim_one(&jobs).await;
        let down = Failure::target_down("connection refused");
        settle(&jobs, &failing, Ending::Failed(down)).await;
        enqueue(&jobs, wish("ready", 1)).await;
        clock.set_back(Duration::from_hours(24));
        clock.advance(Duration::from_mins(5));
        assert!(
            try_claim(&jobs).await.is_none(),
            "the engine has not looked"
        );

        jobs.inner.follow_setback(clock.now()).await.unwrap();
        jobs.inner.refresh_targets().await.unwrap();
        for _ in ["failing", "ready"] {
            let (_row, slot) = claim_one(&jobs).await;
            assert!(settle(&jobs, &slot, Ending::Succeeded).await.is_some());
        }
        clock.advance(LEASE + Duration::from_millis(1));
        assert_eq!(jobs.inner.rescue().await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_lease_that_was_extended_since_a_setback_is_not_shortened() {
    for db in testing::databases().await {
        let clock = noon();
        let (busy, other) = (instance(&db, &clock), instance(&db, &clock));
        enqueue(&busy, wish("a", 1)).await;
        let (_row, slot) = claim_one(&busy).await;
        clock.set_back(Duration::from_hours(24));
        other.inner.follow_setback(clock.now()).await.unwrap();
        clock.advance(LEASE);
        busy.inner.beat().await.unwrap();
        other.inner.follow_setback(clock.now()).await.unwrap();
        clock.advance(LEASE);
        assert_eq!(other.inner.rescue().await.unwrap(), 0);
        assert_eq!(slot.reason(), None);
    }
}

#[tokio::test]
async fn a_stop_on_another_instance_arrives_with_the_heartbeat() {
    for db in testing::databases().await {
        let clock = noon();
        let (busy, other) = (instance(&db, &clock), instance(&db, &clock));
        let id = enqueue(&busy, wish("a", 1)).await.id;
        let (_row, slot) = claim_one(&busy).await;
        busy.inner.beat().await.unwrap();
        assert_eq!(slot.reason(), None);
        other.stop(id).await.unwrap();
        busy.inner.beat().await.unwrap();
        assert_eq!(slot.reason(), Some(Reason::Requested));
    }
}

#[tokio::test]
async fn a_restart_frees_what_the_last_life_held() {
    for db in testing::databases().await {
        let clock = noon();
        let before = instance(&db, &clock);
        let id = enqueue(&before, wish("a", 1)).await.id;
        claim_one(&before).await;
        let after = instance(&db, &clock);
        let at_once = after.inner.rescue_at_start().await.unwrap();
        match &*db {
            Db::Lite { .. } => assert_eq!(at_once, 1),
            // Another instance may be alive: its lease decides.
            Db::Pg(_) => {
                assert_eq!(at_once, 0);
                clock.advance(LEASE + Duration::from_millis(1));
                assert_eq!(after.inner.rescue_at_start().await.unwrap(), 1);
            }
        }
        assert_eq!(state(&after, id).await, State::Ready);
    }
}

#[tokio::test]
async fn a_job_that_keeps_taking_the_process_down_is_tried_rarely_and_never_lost() {
    for db in testing::databases().await {
        let clock = noon();
        let id: JobId = enqueue(&instance(&db, &clock), wish("poison", 1)).await.id;
        for expected in [State::Ready, State::Retry, State::Retry, State::Retry] {
            claim_one(&instance(&db, &clock)).await;
            clock.advance(LEASE + Duration::from_millis(1));
            let next_life = instance(&db, &clock);
            next_life.inner.rescue_at_start().await.unwrap();
            assert_eq!(state(&next_life, id).await, expected);
            if expected == State::Ready {
                continue;
            }
            clock.advance(Duration::from_mins(5));
        }
        // The third and later crashes are followed by at least half of the longest delay.
        claim_one(&instance(&db, &clock)).await;
        clock.advance(LEASE + Duration::from_millis(1));
        let jobs = instance(&db, &clock);
        jobs.inner.rescue_at_start().await.unwrap();
        clock.advance(Duration::from_secs(149));
        enqueue(&jobs, wish("poison", 2)).await;
        assert!(try_claim(&jobs).await.is_none());
        let job = jobs.job(id).await.unwrap();
        assert_eq!(job.error_class.as_deref(), Some("crashed"));
        assert!(job.error.unwrap().contains("5 in a row"));
        jobs.retry(id).await.unwrap();
        assert!(try_claim(&jobs).await.is_some());
    }
}

#[tokio::test]
async fn a_shutdown_hands_the_job_back_without_spending_an_attempt() {
    for db in testing::databases().await {
        let jobs = instance(&db, &noon());
        let id = enqueue(&jobs, wish("a", 1)).await.id;
        let (_row, slot) = claim_one(&jobs).await;
        let ended = settle(&jobs, &slot, Ending::Released).await;
        assert_eq!(ended, Some(State::Ready));
        let job = jobs.job(id).await.unwrap();
        assert_eq!((job.attempts, job.error), (0, None));
    }
}
