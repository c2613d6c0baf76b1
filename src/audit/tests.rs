use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    clock::{ManualClock, Timestamp},
    store::{Filter, Listing, Sort, Test, testing},
};

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn event(user: &str, operation: Operation, project: Option<&str>) -> Event {
    Event {
        user: user.to_owned(),
        operation,
        resource_type: "artifact",
        resource: "team/app:1.0".to_owned(),
        project: project.map(str::to_owned),
        outcome: Outcome::Succeeded,
        description: "push team/app:1.0".to_owned(),
        source: Some("2001:db8::1".parse().unwrap()),
        request_id: Some("r-1".into()),
    }
}

fn filtered(field: &str, value: &str) -> Listing {
    Listing {
        filters: vec![Filter {
            field: field.to_owned(),
            test: Test::Equals(value.to_owned()),
        }],
        ..Listing::default()
    }
}

/// Runs the writer until everything recorded so far is written.
async fn finish(recorder: Recorder, writer: Writer) {
    drop(recorder);
    writer.run(CancellationToken::new()).await;
}

#[tokio::test]
async fn what_is_recorded_can_be_read_back_newest_first() {
    for db in testing::databases().await {
        let clock = ManualClock::at(START);
        let (recorder, writer) = Recorder::open(db.clone(), clock.clone(), &Config::default());
        recorder.record(event("alice", Operation::Push, Some("team")));
        clock.advance(Duration::from_secs(1));
        recorder.record(event("", Operation::Login, None));
        finish(recorder, writer).await;

        let log = Log::new(db.clone());
        let all = log
            .entries(&View::Everything, &Listing::default())
            .await
            .unwrap();
        assert_eq!(all.total, 2);
        let users: Vec<_> = all.items.iter().map(|entry| &*entry.user_name).collect();
        assert_eq!(users, ["", "alice"]);
        let push = &all.items[1];
        assert_eq!(push.at_ms, START.millis());
        assert_eq!(push.operation, "push");
        assert_eq!(push.source.as_deref(), Some("2001:db8::1"));
        assert_eq!(push.request_id.as_deref(), Some("r-1"));
        assert!(push.succeeded);
    }
}

#[tokio::test]
async fn entries_are_filtered_and_limited_to_projects() {
    for db in testing::databases().await {
        let clock = ManualClock::at(START);
        let (recorder, writer) = Recorder::open(db.clone(), clock, &Config::default());
        for (user, project) in [("a", Some("one")), ("b", Some("two")), ("c", None)] {
            recorder.record(event(user, Operation::Delete, project));
        }
        finish(recorder, writer).await;
        let log = Log::new(db.clone());
        let count =
            async |view: View, listing: Listing| log.entries(&view, &listing).await.unwrap().total;
        let project = |name: &str| View::Projects(vec![name.to_owned()]);
        assert_eq!(count(project("one"), Listing::default()).await, 1);
        assert_eq!(count(View::Projects(vec![]), Listing::default()).await, 0);
        assert_eq!(count(View::Everything, filtered("username", "b")).await, 1);
        assert_eq!(count(project("one"), filtered("username", "b")).await, 0);
        for field in [
            "id",
            "username",
            "operation",
            "resource_type",
            "resource",
            "project",
            "operation_result",
            "operation_description",
            "op_time",
        ] {
            let listing = Listing {
                sort: vec![Sort {
                    field: field.to_owned(),
                    descending: true,
                }],
                ..Listing::default()
            };
            assert_eq!(count(View::Everything, listing).await, 3, "{field}");
        }
    }
}

#[tokio::test]
async fn a_full_queue_drops_and_counts_instead_of_waiting() {
    for db in testing::databases().await {
        let config = Config {
            queue_length: 2,
            ..Config::default()
        };
        let (recorder, writer) = Recorder::open(db.clone(), ManualClock::at(START), &config);
        for _ in 0..5 {
            recorder.record(event("alice", Operation::Push, None));
        }
        let metrics = recorder.metrics().clone();
        assert_eq!(metrics.dropped.get(), 3);
        finish(recorder, writer).await;
        assert_eq!(metrics.written.get(), 2);
    }
}

#[tokio::test]
async fn pulls_crowd_nothing_else_out() {
    for db in testing::databases().await {
        let config = Config {
            queue_length: 4,
            ..Config::default()
        };
        let (recorder, writer) = Recorder::open(db.clone(), ManualClock::at(START), &config);
        for _ in 0..10 {
            recorder.record(event("alice", Operation::Pull, None));
        }
        for _ in 0..2 {
            recorder.record(event("alice", Operation::Push, None));
        }
        assert_eq!(recorder.metrics().dropped.get(), 8);
        finish(recorder, writer).await;
        let log = Log::new(db.clone());
        for (operation, expected) in [("pull", 2), ("push", 2)] {
            let listing = filtered("operation", operation);
            let found = log.entries(&View::Everything, &listing).await.unwrap();
            assert_eq!(found.total, expected, "{operation}");
        }
    }
}

#[tokio::test]
async fn stopping_writes_what_is_queued() {
    for db in testing::databases().await {
        let config = Config {
            batch_size: 2,
            ..Config::default()
        };
        let (recorder, writer) = Recorder::open(db.clone(), ManualClock::at(START), &config);
        for _ in 0..5 {
            recorder.record(event("alice", Operation::Push, None));
        }
        let stop = CancellationToken::new();
        stop.cancel();
        writer.run(stop).await;
        assert_eq!(recorder.metrics().written.get(), 5);
    }
}

#[tokio::test]
async fn old_entries_are_swept() {
    for db in testing::databases().await {
        let clock = ManualClock::at(START);
        let (recorder, writer) = Recorder::open(db.clone(), clock.clone(), &Config::default());
        for _ in 0..2500 {
            recorder.record(event("old", Operation::Push, None));
        }
        clock.advance(Duration::from_secs(10));
        recorder.record(event("new", Operation::Push, None));
        finish(recorder, writer).await;
        let log = Log::new(db.clone());
        let before = START.plus(Duration::from_secs(10));
        assert_eq!(log.sweep(before).await.unwrap(), 2500);
        let left = log
            .entries(&View::Everything, &Listing::default())
            .await
            .unwrap();
        assert_eq!(left.items[0].user_name, "new");
        assert_eq!(left.total, 1);
    }
}

#[tokio::test]
async fn every_statement_is_valid_on_both_databases() {
    testing::prepare(queries::ALL).await;
}

#[tokio::test]
async fn a_nul_is_replaced_and_an_event_that_is_refused_loses_no_other() {
    for db in testing::databases().await {
        let clock = ManualClock::at(START);
        let (recorder, mut writer) = Recorder::open(db.clone(), clock, &Config::default());
        recorder.record(event("a\0b", Operation::Login, Some("te\0am")));
        let cleaned = writer.events.try_recv().unwrap();
        let (queue, events) = tokio::sync::mpsc::channel(3);
        writer.events = events;
        let refused = std::sync::Arc::new(recorder::Noted {
            at: START,
            event: event("only SQLite\0", Operation::Login, None),
        });
        let good = std::sync::Arc::new(recorder::Noted {
            at: START,
            event: event("alice", Operation::Login, None),
        });
        for noted in [cleaned, refused, good] {
            queue.try_send(noted).unwrap();
        }
        drop(queue);
        finish(recorder, writer).await;
        let log = Log::new(db.clone());
        for user in ["a\u{fffd}b", "alice"] {
            let found = log
                .entries(&View::Everything, &filtered("username", user))
                .await
                .unwrap();
            assert_eq!(found.total, 1, "{user}");
        }
    }
}

#[tokio::test]
async fn totals_follow_what_is_written_and_swept() {
    for db in testing::databases().await {
        let clock = ManualClock::at(START);
        let (recorder, writer) = Recorder::open(db.clone(), clock.clone(), &Config::default());
        for project in [Some("one"), Some("one"), Some("two"), None] {
            recorder.record(event("a", Operation::Push, project));
        }
        clock.advance(Duration::from_secs(10));
        recorder.record(event("a", Operation::Push, Some("one")));
        finish(recorder, writer).await;
        let log = Log::new(db.clone());
        let total = async |view: View| {
            let page = log.entries(&view, &Listing::default()).await.unwrap();
            assert_eq!(usize::try_from(page.total), Ok(page.items.len()));
            page.total
        };
        let of = |name: &str| View::Projects(vec![name.to_owned()]);
        assert_eq!(total(View::Everything).await, 5);
        assert_eq!((total(of("one")).await, total(of("two")).await), (3, 1));
        log.sweep(START.plus(Duration::from_secs(5))).await.unwrap();
        assert_eq!(
            (total(View::Everything).await, total(of("one")).await),
            (1, 1)
        );
        assert_eq!((total(of("two")).await, total(of("none")).await), (0, 0));
    }
}
