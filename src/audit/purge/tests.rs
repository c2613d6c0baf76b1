use std::{
    env,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::{
    audit::{Config, Event, Log, Operation, Outcome, Recorder, View, Writer},
    clock::ManualClock,
    jobs::{Config as JobsConfig, JobId, Progress, Runner, State},
    store::{self, Listing, testing},
};

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);
const HOUR: Duration = Duration::from_hours(1);

/// An audit log and what purges it.
struct World {
    db: Db,
    clock: Arc<ManualClock>,
    jobs: Jobs,
    purge: Purge,
    stop: CancellationToken,
    _stop: DropGuard,
}

impl World {
    /// One whose jobs run.
    fn over(db: &Db) -> Self {
        let world = Self::idle(db, START);
        world.work();
        world
    }

    fn idle(db: &Db, now: Timestamp) -> Self {
        let clock = ManualClock::at(now);
        let config = JobsConfig {
            poll_ms: 10,
            heartbeat_ms: 10,
            ..JobsConfig::default()
        };
        let jobs = Jobs::new(db.clone(), clock.clone(), config);
        let stop = CancellationToken::new();
        Self {
            purge: Purge::new(db.clone(), jobs.clone(), clock.clone()),
            db: db.clone(),
            clock,
            jobs,
            _stop: stop.clone().drop_guard(),
            stop,
        }
    }

    fn work(&self) {
        let handler: Arc<dyn Handler> = Arc::new(self.purge.clone());
        let runner = Runner::new(self.jobs.clone(), [handler]);
        tokio::spawn(runner.run(self.stop.clone()));
    }

    fn open(&self) -> (Recorder, Writer) {
        let config = Config {
            queue_length: 100_000,
            ..Config::default()
        };
        Recorder::open(self.db.clone(), self.clock.clone(), &config)
    }

    async fn written(&self, events: impl IntoIterator<Item = Event>) {
        let (recorder, writer) = self.open();
        for event in events {
            recorder.record(event);
        }
        drop(recorder);
        writer.run(CancellationToken::new()).await;
    }

    async fn ends(&self, id: JobId) -> State {
        loop {
            let state = self.jobs.job(id).await.unwrap().state;
            if state.is_final() {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Runs a purge to its end; what it has to show, and its log.
    async fn run(&self, parameters: Value) -> (Value, String) {
        let job = self.purge.job();
        let parameters = PurgeParameters::check(&parameters).unwrap();
        let id = job.start(parameters).await.unwrap();
        assert_eq!(self.ends(id).await, State::Done);
        let result = job.run(id).await.unwrap().result.unwrap();
        (result, job.log(id).await.unwrap())
    }

    /// The entries of a project, and how many the totals say there are.
    async fn entries(&self, project: &str) -> (usize, i64) {
        let view = View::Projects(vec![project.to_owned()]);
        let log = Log::new(self.db.clone());
        let page = log.entries(&view, &Listing::default()).await.unwrap();
        (page.items.len(), page.total)
    }
}

fn event(operation: Operation, thing: &'static str, project: &str) -> Event {
    Event {
        user: "alice".to_owned(),
        operation,
        resource_type: thing,
        resource: "a thing".to_owned(),
        project: Some(project.to_owned()),
        outcome: Outcome::Succeeded,
        description: String::new(),
        source: None,
        request_id: None,
    }
}

#[tokio::test]
async fn old_entries_of_the_named_types_go_and_the_totals_follow() {
    for db in testing::databases().await {
        let world = World::over(&db);
        let kinds = [
            (Operation::Push, "artifact"),
            (Operation::Delete, "artifact"),
            (Operation::Create, "user"),
        ];
        let all = |times| {
            let each = kinds.map(|(operation, thing)| event(operation, thing, "team"));
            std::iter::repeat_n(each, times).flatten()
        };
        world.written(all(1000)).await;
        world.clock.advance(2 * HOUR);
        world.written(all(10)).await;
        world.clock.advance(HOUR);
        assert_eq!(world.entries("team").await, (3030, 3030));

        let wanted = json!({"audit_retention_hour": 2, "include_event_types": "create_artifact"});
        let mut dry = wanted.clone();
        dry["dry_run"] = json!(true);
        let (result, log) = world.run(dry).await;
        assert_eq!(result, json!({"entries": 1000}));
        assert!(log.contains("would delete 1000 entries"), "{log}");
        assert_eq!(world.entries("team").await, (3030, 3030));

        let (result, log) = world.run(wanted.clone()).await;
        assert_eq!(result, json!({"entries": 1000}));
        assert!(log.contains("deleted 1000 entries"), "{log}");
        assert_eq!(world.entries("team").await, (2030, 2030));
        assert_eq!(world.run(wanted).await.0, json!({"entries": 0}));

        let none = json!({"audit_retention_hour": 1, "include_event_types": ""});
        assert_eq!(world.run(none).await.0, json!({"entries": 0}));
        let rest = json!({"audit_retention_hour": 1, "include_operations": "create,delete"});
        assert_eq!(world.run(rest).await.0, json!({"entries": 2000}));
        assert_eq!(world.entries("team").await, (30, 30));
    }
}

#[tokio::test]
async fn what_is_written_meanwhile_is_counted_and_not_held_up() {
    for db in testing::databases().await {
        let world = World::over(&db);
        let old = |number: usize| event(Operation::Push, "artifact", ["a", "b"][number % 2]);
        world.written((0..6000).map(old)).await;
        world.clock.advance(2 * HOUR);
        let (recorder, writer) = world.open();
        let writing = tokio::spawn(writer.run(CancellationToken::new()));
        let parameters = json!({"audit_retention_hour": 1, "include_event_types": "push_artifact"});
        let id = world.purge.job().start(parameters).await.unwrap();
        let mut longest = Duration::ZERO;
        let mut newer: usize = 0;
        while world.jobs.job(id).await.unwrap().finished.is_none() {
            let before = recorder.metrics().written.get();
            recorder.record(old(newer));
            newer += 1;
            let began = tokio::time::Instant::now();
            while recorder.metrics().written.get() == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            longest = longest.max(began.elapsed());
        }
        drop(recorder);
        writing.await.unwrap();
        assert_eq!(world.ends(id).await, State::Done);
        assert!(newer > 1, "nothing was written during the purge");
        assert!(longest < Duration::from_secs(2), "{longest:?}");
        let halves = (newer.div_ceil(2), newer / 2);
        for (project, left) in [("a", halves.0), ("b", halves.1)] {
            let total = i64::try_from(left).unwrap();
            assert_eq!(world.entries(project).await, (left, total));
        }
    }
}

#[tokio::test]
async fn a_purge_says_how_far_it_is_and_stops_when_told() {
    for db in testing::databases().await {
        let world = World::over(&db);
        let old = || event(Operation::Push, "artifact", "team");
        world
            .written(std::iter::repeat_with(old).take(10_000))
            .await;
        world.clock.advance(2 * HOUR);
        let parameters = json!({"audit_retention_hour": 1, "include_operations": "push"});
        let id = world.purge.job().start(parameters).await.unwrap();
        let (progress, state) = loop {
            let job = world.jobs.job(id).await.unwrap();
            if job.progress.is_some_and(|progress| progress.parts > 0) || job.state.is_final() {
                break (job.progress, job.state);
            }
        };
        assert_eq!(
            state,
            State::Running,
            "it was over before it could be stopped"
        );
        assert!(
            matches!(
                progress,
                Some(Progress {
                    total_parts: 10,
                    ..
                })
            ),
            "{progress:?}"
        );
        let began = tokio::time::Instant::now();
        world.purge.job().stop(id).await.unwrap();
        assert_eq!(world.ends(id).await, State::Stopped);
        assert!(began.elapsed() < Duration::from_secs(1));
        let (left, total) = world.entries("team").await;
        assert!((1..10_000).contains(&left), "{left}");
        assert_eq!(total, i64::try_from(left).unwrap());
        let run = world.purge.job().run(id).await.unwrap();
        assert_eq!(run.result, Some(json!({"entries": 10_000 - left})));
    }
}

/// The database of a process that is to be killed, and its time in minutes from the start.
const URL: &str = "TIDEGATE_TEST_PURGE_URL";
const MINUTES: &str = "TIDEGATE_TEST_PURGE_MINUTES";
const SIGKILL: i32 = 9;

#[tokio::test]
async fn a_purge_that_is_killed_leaves_right_totals_and_the_next_process_finishes_it() {
    for db in testing::databases().await {
        let world = World::idle(&db, START);
        world
            .written([event(Operation::Create, "user", "team")])
            .await;
        for (minutes, point) in [
            (120, "audit.purge_before_commit:2"),
            (130, "audit.purge_committed:1"),
        ] {
            let old = || event(Operation::Push, "artifact", "team");
            world.written(std::iter::repeat_with(old).take(3000)).await;
            let parameters = json!({"audit_retention_hour": 1, "include_operations": "push"});
            let id = world.purge.job().start(parameters).await.unwrap();
            let end = purge_elsewhere(&db.url(), minutes, point);
            assert_eq!(end.signal(), Some(SIGKILL), "{point}: {end:?}");
            // The oldest thousand were looked at, of which one is no push.
            assert_eq!(world.entries("team").await, (2002, 2002), "{point}");
            let end = purge_elsewhere(&db.url(), minutes + 1, "");
            assert!(end.success(), "{end:?}");
            assert_eq!(world.entries("team").await, (1, 1));
            assert_eq!(world.ends(id).await, State::Done);
            let run = world.purge.job().run(id).await.unwrap();
            assert_eq!(run.result, Some(json!({"entries": 3000})), "of both");
        }
    }
}

/// Another process that purges, so many minutes after the start, until it dies at the point.
fn purge_elsewhere(url: &str, minutes: u32, point: &str) -> ExitStatus {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "audit::purge::tests::a_purge_runs_to_its_end"])
        .env(URL, url)
        .env(MINUTES, minutes.to_string())
        .env("TIDEGATE_FAILPOINT", point)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

/// The process that is killed; by itself it shows that a run goes on to its end.
#[tokio::test]
async fn a_purge_runs_to_its_end() {
    let own = testing::sqlite().await;
    let minutes = env::var(MINUTES).map_or(0, |text| text.parse().unwrap());
    let now = START.plus(Duration::from_mins(minutes));
    let world = match env::var(URL) {
        Ok(url) => {
            let config = store::Config {
                url: Some(url),
                ..store::Config::default()
            };
            let db = Db::open(&config, "".as_ref()).await.unwrap();
            World::idle(&db, now)
        }
        Err(_own) => {
            let world = World::idle(&own, now);
            let parameters = json!({"audit_retention_hour": 1, "include_operations": "push"});
            world.purge.job().start(parameters).await.unwrap();
            world
        }
    };
    world.work();
    let runs = world.purge.job().history(&Listing::default()).await;
    let id = runs.unwrap().items[0].id;
    assert_eq!(world.ends(id).await, State::Done);
}
