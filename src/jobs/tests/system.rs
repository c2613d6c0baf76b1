use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::{KIND, claim_one, enqueue, instance, noon, settle, try_claim};
use crate::{
    clock::Clock,
    jobs::{
        Cadence, Cron, Error, Failure, Handler, JobId, Jobs, NewJob, Outcome, Runner, Running,
        Schedules, State, SystemJob, Trigger, lease::Ending, runner,
    },
    store::{Filter, Listing, Test, testing},
};

/// Runs a job that was started to its end.
async fn finish(jobs: &Jobs, result: Option<Value>) -> JobId {
    let (_, slot) = claim_one(jobs).await;
    if let Some(result) = result {
        slot.report(result);
    }
    settle(jobs, &slot, Ending::Succeeded).await.unwrap();
    slot.id
}

#[tokio::test]
async fn one_run_is_live_at_a_time() {
    for db in testing::databases().await {
        let clock = noon();
        let (here, there) = (instance(&db, &clock), instance(&db, &clock));
        let (one, two) = (
            SystemJob::new(here.clone(), KIND),
            SystemJob::new(there, KIND),
        );
        let started = tokio::join!(one.start(json!({"n": 1})), two.start(json!({"n": 2})));
        let (id, refused) = match started {
            (Ok(id), Err(refused)) | (Err(refused), Ok(id)) => (id, refused),
            both => panic!("{both:?}"),
        };
        assert!(matches!(refused, Error::InProgress(live) if live == id));
        let (row, slot) = claim_one(&here).await;
        assert!(matches!(two.start(json!({})).await, Err(Error::InProgress(live)) if live == id));
        assert_eq!(here.job(id).await.unwrap().generation, 1, "{row:?}");
        settle(&here, &slot, Ending::Succeeded).await;
        assert!(two.start(json!({})).await.unwrap() > id);
    }
}

#[tokio::test]
async fn runs_show_what_started_them_and_what_came_of_it() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let system = SystemJob::new(jobs.clone(), KIND);
        let first = system.start(json!({"dry_run": true})).await.unwrap();
        assert_eq!(finish(&jobs, Some(json!({"freed": 5}))).await, first);
        let daily = Cron::parse("0 0 0 * * *").unwrap();
        let parameters = json!({"dry_run": false});
        system
            .schedule(Cadence::Daily, &daily, parameters)
            .await
            .unwrap();
        let next = system.scheduled().await.unwrap().unwrap().next.unwrap();
        clock.advance(next.since(clock.now()));
        assert_eq!(Schedules::new(jobs.clone()).fire().await.unwrap(), 1);

        let page = system.history(&Listing::default()).await.unwrap();
        assert_eq!(page.total, 2);
        let [newest, oldest] = &page.items[..] else {
            panic!("{page:?}");
        };
        assert_eq!(newest.trigger, Trigger::Schedule(Cadence::Daily));
        assert_eq!(newest.parameters, json!({"dry_run": false}));
        assert_eq!((newest.state, &newest.result), (State::Ready, &None));
        assert_eq!((oldest.id, oldest.trigger), (first, Trigger::Manual));
        assert_eq!(oldest.result, Some(json!({"freed": 5})));
        for (status, id) in [("Pending", newest.id), ("Success", first)] {
            let test = Test::Equals(status.to_owned());
            let filters = vec![Filter {
                field: "status".to_owned(),
                test,
            }];
            let listing = Listing {
                filters,
                ..Listing::default()
            };
            let found = system.history(&listing).await.unwrap();
            let ids: Vec<JobId> = found.items.iter().map(|run| run.id).collect();
            assert_eq!(ids, [id], "{status}");
        }
        system.stop(newest.id).await.unwrap();
        assert_eq!(system.run(newest.id).await.unwrap().state, State::Stopped);
        assert!(try_claim(&jobs).await.is_none());
        system.stop(first).await.unwrap();
        assert_eq!(system.run(first).await.unwrap().state, State::Done);
    }
}

#[tokio::test]
async fn jobs_of_another_kind_are_no_runs() {
    for db in testing::databases().await {
        let jobs = instance(&db, &noon());
        let other = enqueue(&jobs, NewJob::new("other", "a", json!({})))
            .await
            .id;
        let system = SystemJob::new(jobs.clone(), KIND);
        assert_eq!(system.history(&Listing::default()).await.unwrap().total, 0);
        for refused in [
            system.run(other).await.map(drop),
            system.stop(other).await,
            system.log(other).await.map(drop),
        ] {
            assert!(matches!(refused, Err(Error::NotFound(id)) if id == other));
        }
        assert_eq!(jobs.job(other).await.unwrap().state, State::Ready);
    }
}

#[tokio::test]
async fn a_schedule_takes_the_place_of_the_one_before() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let system = SystemJob::new(jobs.clone(), KIND);
        assert!(system.scheduled().await.unwrap().is_none());
        for (cadence, cron) in [
            (Cadence::Hourly, "0 0 * * * *"),
            (Cadence::Custom, "0 5 * * * *"),
        ] {
            let cron = Cron::parse(cron).unwrap();
            let parameters = json!({"cron": cron.to_string()});
            system.schedule(cadence, &cron, parameters).await.unwrap();
            let kept = system.scheduled().await.unwrap().unwrap();
            assert_eq!((kept.cadence, &kept.cron), (cadence, &cron.to_string()));
            assert_eq!(kept.parameters, json!({"cron": cron.to_string()}));
            assert_eq!(kept.next, cron.next_after(clock.now()));
        }
        system.unschedule().await.unwrap();
        assert!(system.scheduled().await.unwrap().is_none());
        clock.advance(Duration::from_hours(2));
        assert_eq!(Schedules::new(jobs).fire().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_slot_that_comes_due_during_a_run_leaves_it_as_it_is() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let system = SystemJob::new(jobs.clone(), KIND);
        let schedules = Schedules::new(jobs.clone());
        let cron = Cron::parse("* * * * * *").unwrap();
        let real = json!({"dry_run": false});
        system
            .schedule(Cadence::Custom, &cron, real.clone())
            .await
            .unwrap();
        let dry = json!({"dry_run": true});
        let id = system.start(dry.clone()).await.unwrap();
        let fire_beside = async || {
            clock.advance(Duration::from_secs(1));
            assert_eq!(schedules.fire().await.unwrap(), 1);
            let run = system.run(id).await.unwrap();
            assert_eq!((run.trigger, &run.parameters), (Trigger::Manual, &dry));
            let firings = schedules.firings(&system.key(), 1).await.unwrap();
            assert_eq!(
                (firings[0].outcome, firings[0].job),
                (Outcome::Joined, Some(id))
            );
        };
        fire_beside().await;
        let (_, slot) = claim_one(&jobs).await;
        fire_beside().await;
        settle(&jobs, &slot, Ending::Succeeded).await;
        assert!(try_claim(&jobs).await.is_none());
        clock.advance(Duration::from_secs(1));
        assert_eq!(schedules.fire().await.unwrap(), 1);
        let next = finish(&jobs, None).await;
        assert!(next > id);
        assert_eq!(system.run(next).await.unwrap().parameters, real);
    }
}

/// Keeps the newest two of its jobs.
struct Keeper;

impl Handler for Keeper {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn keeps(&self) -> Option<u32> {
        Some(2)
    }

    fn run<'a>(&'a self, _job: &'a Running) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn a_history_goes_by_number_and_not_by_age() {
    for db in testing::databases().await {
        let clock = noon();
        let jobs = instance(&db, &clock);
        let keeper: Arc<dyn Handler> = Arc::new(Keeper);
        let _runner = Runner::new(jobs.clone(), [keeper]);
        let system = SystemJob::new(jobs.clone(), KIND);
        for _ in 0..3 {
            system.start(json!({})).await.unwrap();
            finish(&jobs, None).await;
        }
        let live = system.start(json!({})).await.unwrap();
        let other = enqueue(&jobs, NewJob::new("other", "a", json!({})))
            .await
            .id;
        jobs.stop(other).await.unwrap();
        assert_eq!(runner::sweep(&jobs).await.unwrap(), 1);
        clock.advance(Duration::from_hours(24 * 365));
        assert_eq!(runner::sweep(&jobs).await.unwrap(), 1, "the other kind's");
        let left = system.history(&Listing::default()).await.unwrap();
        assert_eq!((left.total, left.items[0].id), (3, live));
        assert!(matches!(jobs.job(other).await, Err(Error::NotFound(_))));
    }
}
