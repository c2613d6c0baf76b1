use http::Method;

use super::{Operation, Status, artifact_name, queries};
use crate::{
    replication::{
        ExecutionId, Kind, TaskId,
        testing::{Reply, Rig, push, push_image, where_is},
    },
    store::{Filter, Listing, Sort, Test, testing::databases},
    wire::Body,
};

#[tokio::test]
async fn an_execution_is_what_its_jobs_are() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        rig.happen(&push("a/b", "v1")).await;
        let id = rig.all_executions().await[0].id;
        let task = rig.tasks(id).await.remove(0);
        assert_eq!((task.status, task.ended), (Status::Pending, None));
        rig.jobs.stop(task.job_id).await.unwrap();
        let execution = rig.replication.execution(id).await.unwrap();
        assert_eq!(
            (execution.status, execution.counts.stopped),
            (Status::Stopped, 1)
        );
        assert!(execution.ended.is_some());
        rig.jobs.retry(task.job_id).await.unwrap();
        let execution = rig.replication.execution(id).await.unwrap();
        assert_eq!(
            (execution.status, execution.ended),
            (Status::InProgress, None)
        );
    }
}

#[tokio::test]
async fn lists_come_in_pages_newest_execution_first() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let policy = rig.policy(|_| {}).await;
        for tag in ["v1", "v2", "v3"] {
            rig.happen(&push("a/b", tag)).await;
        }
        let page = |offset| Listing {
            offset,
            limit: Some(2),
            ..where_is("policy_id", &policy.to_string())
        };
        let first = rig.replication.executions(&page(0)).await.unwrap();
        let second = rig.replication.executions(&page(2)).await.unwrap();
        assert_eq!(
            (first.total, first.items.len(), second.items.len()),
            (3, 2, 1)
        );
        let ids: Vec<i64> = first
            .items
            .iter()
            .chain(&second.items)
            .map(|e| e.id.0)
            .collect();
        assert!(ids.is_sorted_by(|a, b| a > b), "{ids:?}");
        let oldest_first = Listing {
            sort: vec![Sort {
                field: "start_time".to_owned(),
                descending: false,
            }],
            ..where_is("status", "InProgress")
        };
        let all = rig.replication.executions(&oldest_first).await.unwrap();
        assert_eq!(all.total, 3);
        let none = rig
            .replication
            .executions(&where_is("status", "Failed"))
            .await
            .unwrap();
        assert_eq!((none.total, none.items.len()), (0, 0));
    }
}

#[tokio::test]
async fn stopping_an_execution_stops_the_jobs_that_wait() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        rig.happen(&push("a/b", "v1")).await;
        let id = rig.all_executions().await[0].id;
        rig.replication.stop_execution(id).await.unwrap();
        rig.replication.stop_execution(id).await.unwrap();
        assert_eq!(
            rig.replication.execution(id).await.unwrap().status,
            Status::Stopped
        );
        let error = rig.replication.task_log(id, TaskId(999)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }
}

#[tokio::test]
async fn what_failed_of_an_execution_is_tried_again_and_nothing_else() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let policy = rig.policy(|_| {}).await;
        for tag in ["good", "bad"] {
            push_image(&rig.local, "library/app", tag, &[tag]).await;
        }
        rig.remote.script(|ask| {
            let no = http::Response::builder().status(403).body(Body::Empty);
            let is_bad = ask.path.ends_with("/manifests/bad") && ask.method == Method::PUT;
            is_bad.then(|| Reply::Answer(no.unwrap()))
        });
        let id = rig.replication.run_policy(policy).await.unwrap();
        rig.work();
        let run = rig.finished(id).await;
        assert_eq!((run.counts.succeed, run.counts.failed), (1, 1), "{run:?}");
        rig.remote.mend();
        assert_eq!(rig.replication.retry_execution(id).await.unwrap(), 1);
        let run = rig.finished(id).await;
        assert_eq!((run.counts.succeed, run.counts.failed), (2, 0), "{run:?}");
        assert_eq!(rig.replication.retry_execution(id).await.unwrap(), 0);
        let none = rig.replication.retry_execution(ExecutionId(999)).await;
        assert_eq!(none.unwrap_err().kind(), Kind::NotFound);
    }
}

#[tokio::test]
async fn stopping_a_policy_stops_all_of_it_and_nothing_else() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let policy = rig.policy(|_| {}).await;
        let _other = rig.another_mirror().await;
        for tag in ["v1", "v2"] {
            rig.happen(&push("a/b", tag)).await;
        }
        rig.replication.run_policy(policy).await.unwrap();
        assert_eq!(rig.replication.stop_policy(policy).await.unwrap(), 3);
        assert_eq!(rig.replication.stop_policy(policy).await.unwrap(), 0);
        for execution in rig.all_executions().await {
            let is_meant = execution.policy_id == policy;
            assert_eq!(
                execution.status == Status::Stopped,
                is_meant,
                "{execution:?}"
            );
        }
        rig.happen(&push("a/b", "v3")).await;
        let newest = &rig.all_executions().await[..2];
        assert!(
            newest
                .iter()
                .all(|execution| execution.status == Status::InProgress)
        );
    }
}

#[tokio::test]
async fn a_history_without_jobs_is_swept() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        rig.happen(&push("a/b", "v1")).await;
        let later = rig
            .replication
            .shared
            .clock
            .now()
            .plus(std::time::Duration::from_hours(1));
        queries::sweep(&rig.db, later).await.unwrap();
        assert_eq!(rig.all_executions().await.len(), 1);
        let execution = queries::NewExecution {
            policy: rig.all_executions().await[0].policy_id,
            trigger: "manual",
            job: None,
            skipped: None,
            now: rig.replication.shared.clock.now(),
        };
        let mut tx = rig.db.begin().await.unwrap();
        queries::insert(&mut tx, execution).await.unwrap();
        tx.commit().await.unwrap();
        queries::sweep(&rig.db, later).await.unwrap();
        assert_eq!(rig.all_executions().await.len(), 1);
    }
}

#[test]
fn words_read_back() {
    for operation in [Operation::Copy, Operation::Deletion] {
        assert_eq!(Operation::parse(operation.name()), Some(operation));
    }
    assert_eq!(Status::parse("Succeed"), Some(Status::Succeed));
    assert_eq!(Status::parse("succeed"), None);
    assert_eq!(artifact_name("a/b", "v1"), "a/b:v1");
    assert_eq!(artifact_name("a/b", "sha256:00"), "a/b@sha256:00");
}

#[tokio::test]
async fn pages_show_the_same_whether_jobs_are_asked_or_not() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        for tag in ["v1", "v2", "v3"] {
            rig.happen(&push("a/b", tag)).await;
        }
        let executions = rig.all_executions().await;
        let task = rig.tasks(executions[0].id).await.remove(0);
        rig.jobs.stop(task.job_id).await.unwrap();

        let two = Listing {
            offset: 1,
            limit: Some(2),
            ..where_is("trigger", "event_based")
        };
        let mut by_end = two.clone();
        by_end.filters.push(Filter {
            field: "end_time".to_owned(),
            test: Test::Range {
                min: None,
                max: None,
            },
        });
        let stored = rig.replication.executions(&two).await.unwrap();
        let derived = rig.replication.executions(&by_end).await.unwrap();
        assert_eq!((stored.total, stored.items.len()), (3, 2));
        assert_eq!((derived.total, derived.items), (3, stored.items));

        let id = executions[0].id;
        for (field, value) in [("src_resource", "a/b"), ("status", "Stopped")] {
            let one = Listing {
                limit: Some(10),
                ..where_is(field, value)
            };
            let tasks = rig.replication.tasks(id, &one).await.unwrap();
            assert_eq!((tasks.total, tasks.items.len()), (1, 1), "{field}");
            assert_eq!(tasks.items[0].status, Status::Stopped);
        }
        let none = Listing {
            offset: 5,
            limit: Some(10),
            ..Listing::default()
        };
        let past = rig.replication.tasks(id, &none).await.unwrap();
        assert_eq!((past.total, past.items.len()), (1, 0));
        let unknown = rig.replication.tasks(ExecutionId(999), &none).await;
        assert_eq!(unknown.unwrap_err().kind(), Kind::NotFound);
    }
}
