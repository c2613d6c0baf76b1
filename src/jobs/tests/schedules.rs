use std::time::Duration;

use serde_json::json;

use super::{claim_one, instance, noon, settle, try_claim};
use crate::{
    clock::{Clock, ManualClock},
    jobs::{Cron, Jobs, Schedules, lease::Ending},
    store::{Db, testing},
};

async fn put(db: &Db, jobs: &Jobs, cron: &str) -> Schedules {
    let schedules = Schedules::new(jobs.clone());
    let cron = Cron::parse(cron).unwrap();
    let mut tx = db.begin().await.unwrap();
    schedules
        .put(&mut tx, "policy-1", super::KIND, &cron, &json!({ "n": 1 }))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    schedules
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
            assert_eq!((row.key.as_str(), row.generation), ("policy-1", 1));
            assert!(settle(&one, &slot, Ending::Succeeded).await.is_some());
        }
    }
}

#[tokio::test]
async fn slots_missed_while_nobody_ran_fire_once() {
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
