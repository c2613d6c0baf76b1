use std::time::Duration;

use serde_json::{Value, json};

use super::{claim_one, instance, listed, noon, settle, try_claim};
use crate::{
    clock::{Clock, ManualClock},
    jobs::{Cron, Jobs, NewSchedule, Outcome, Overlap, Schedules, State, lease::Ending},
    store::{Db, testing},
};

async fn put(db: &Db, jobs: &Jobs, cron: &str) -> Schedules {
    let schedules = Schedules::new(jobs.clone());
    let cron = Cron::parse(cron).unwrap();
    let mut tx = db.begin().await.unwrap();
    let params = json!({ "n": 1 });
    let new = merging("policy-1", &cron, &params);
    schedules.put(&mut tx, new).await.unwrap();
    tx.commit().await.unwrap();
    schedules
}

fn merging<'a>(key: &'a str, cron: &'a Cron, params: &'a Value) -> NewSchedule<'a> {
    NewSchedule {
        key,
        kind: super::KIND,
        cron,
        params,
        overlap: Overlap::Merge,
    }
}

async fn to_next_slot(schedules: &Schedules, clock: &ManualClock) {
    let next = schedules.next("policy-1").await.unwrap().unwrap();
    clock.advance(next.since(clock.now()));
}

#[tokio::test]
async fn a_slot_fires_once_over_all_instances() {
    for db in testing::databases().await {
        let clock = noon();
        let (one, two) = (instance(&db, &clock), instance(&db, &clock));
        let schedules = put(&db, &one, "0 * * * * *").await;
        let others = Schedules::new(two.clone());
        assert_eq!(schedules.fire().await.unwrap(), 0, "not yet due");
        for _ in 0..5 {
            to_next_slot(&schedules, &clock).await;
            let (mine, yours) = tokio::join!(schedules.fire(), others.fire());
            assert_eq!(mine.unwrap() + yours.unwrap(), 1);
            let (row, slot) = claim_one(&one).await;
            let job = one.job(slot.id).await.unwrap();
            assert_eq!((row.key.as_str(), job.generation), ("policy-1", 1));
            assert!(settle(&one, &slot, Ending::Succeeded).await.is_some());
        }
    }
}

#[tokio::test]
async fn of_slots_missed_while_nobody_ran_the_newest_fires() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let schedules = put(&db, &jobs, "0 0 * * * *").await;
        clock.advance(Duration::from_hours(5));
        assert_eq!(schedules.fire().await.unwrap(), 1);
        assert_eq!(schedules.fire().await.unwrap(), 0);
        let next = schedules.next("policy-1").await.unwrap().unwrap();
        assert!(next > clock.now() && next.since(clock.now()) <= Duration::from_hours(1));
    }
}

#[tokio::test]
async fn slots_that_lie_ahead_again_are_waited_for_again() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let schedules = put(&db, &jobs, "0 0 * * * *").await;
        clock.advance(Duration::from_hours(24));
        assert_eq!(schedules.fire().await.unwrap(), 1);
        clock.set_back(Duration::from_hours(24));
        schedules.follow_setback(clock.now()).await.unwrap();
        let next = schedules.next("policy-1").await.unwrap().unwrap();
        assert!(next > clock.now() && next.since(clock.now()) <= Duration::from_hours(1));
        to_next_slot(&schedules, &clock).await;
        assert_eq!(schedules.fire().await.unwrap(), 1);
        let later = schedules.next("policy-1").await.unwrap();
        schedules.follow_setback(clock.now()).await.unwrap();
        assert_eq!(schedules.next("policy-1").await.unwrap(), later);
    }
}

#[tokio::test]
async fn a_changed_expression_moves_the_slot_and_an_unchanged_one_does_not() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let schedules = put(&db, &jobs, "0 0 * * * *").await;
        let hourly = schedules.next("policy-1").await.unwrap();
        clock.advance(Duration::from_hours(2));
        put(&db, &jobs, "0 0 * * * *").await;
        assert_eq!(schedules.next("policy-1").await.unwrap(), hourly, "due");
        put(&db, &jobs, "0 0 0 1 1 *").await;
        assert!(schedules.next("policy-1").await.unwrap() > hourly);
        assert_eq!(schedules.fire().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_removed_schedule_fires_no_more() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let schedules = put(&db, &jobs, "* * * * * *").await;
        let mut tx = db.begin().await.unwrap();
        assert!(schedules.remove(&mut tx, "policy-1").await.unwrap());
        assert!(!schedules.remove(&mut tx, "policy-1").await.unwrap());
        tx.commit().await.unwrap();
        clock.advance(Duration::from_secs(5));
        assert_eq!(schedules.fire().await.unwrap(), 0);
        assert!(try_claim(&jobs).await.is_none());
    }
}

async fn outcomes(schedules: &Schedules) -> Vec<Outcome> {
    let firings = schedules.firings("policy-1", 1000).await.unwrap();
    assert!(firings.is_sorted_by(|newer, older| newer.slot > older.slot));
    firings.iter().map(|firing| firing.outcome).collect()
}

#[tokio::test]
async fn what_became_of_each_slot_is_known() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let schedules = put(&db, &jobs, "0 0 * * * *").await;
        to_next_slot(&schedules, &clock).await;
        schedules.fire().await.unwrap();
        let first = schedules.firings("policy-1", 1).await.unwrap().remove(0);
        assert_eq!((first.slot, first.fired), (clock.now(), clock.now()));
        assert_eq!(first.outcome, Outcome::Fired);

        to_next_slot(&schedules, &clock).await;
        schedules.fire().await.unwrap();
        let second = schedules.firings("policy-1", 1).await.unwrap().remove(0);
        assert_eq!((second.outcome, second.job), (Outcome::Joined, first.job));

        let (row, slot) = claim_one(&jobs).await;
        assert_eq!(first.job.map(|id| id.0), Some(row.id));
        settle(&jobs, &slot, Ending::Succeeded).await;
        clock.advance(Duration::from_mins(3 * 60 + 30));
        schedules.fire().await.unwrap();
        let expected = [
            Outcome::Fired,
            Outcome::Missed,
            Outcome::Missed,
            Outcome::Joined,
            Outcome::Fired,
        ];
        assert_eq!(outcomes(&schedules).await, expected);
        assert_eq!(schedules.fire().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn of_many_missed_slots_the_newest_are_kept_until_their_history_ends() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let schedules = put(&db, &jobs, "* * * * * *").await;
        for kept in [101, 200, 200] {
            clock.advance(Duration::from_hours(10 * 24));
            assert_eq!(schedules.fire().await.unwrap(), 1);
            let firings = schedules.firings("policy-1", 1000).await.unwrap();
            assert_eq!(firings.len(), kept);
            assert_eq!(firings[0].slot, clock.now());
            assert_eq!(
                firings[100].slot,
                clock.now().minus(Duration::from_secs(100))
            );
        }
        schedules.sweep(clock.now()).await.unwrap();
        assert_eq!(outcomes(&schedules).await.len(), 101);
        let later = clock.now().plus(Duration::from_secs(1));
        schedules.sweep(later).await.unwrap();
        assert!(outcomes(&schedules).await.is_empty());
    }
}

#[tokio::test]
async fn many_schedules_of_one_slot_fire_once_each_over_pools_of_one_connection() {
    for db in testing::databases().await {
        let clock = noon();
        let one = instance(&db.with_one_connection().await, &clock);
        let two = instance(&db.with_one_connection().await, &clock);
        let (mine, yours) = (Schedules::new(one.clone()), Schedules::new(two));
        let every_minute = Cron::parse("0 * * * * *").unwrap();
        let mut tx = db.begin().await.unwrap();
        for n in 0..250 {
            let key = format!("policy-{n}");
            let params = json!({});
            let new = merging(&key, &every_minute, &params);
            mine.put(&mut tx, new).await.unwrap();
        }
        tx.commit().await.unwrap();
        to_next_slot(&mine, &clock).await;
        let fired = tokio::join!(mine.fire(), yours.fire());
        assert_eq!(fired.0.unwrap() + fired.1.unwrap(), 250);
        let jobs = listed(&one, Some(State::Ready)).await;
        assert_eq!(jobs.len(), 250);
        assert!(jobs.iter().all(|job| job.generation == 1));
    }
}
