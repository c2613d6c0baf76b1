mod audit;

use serde_json::json;

use crate::{
    replication::{
        Deed, Error, Kind, PolicyId, Status, Trigger,
        policy::DeletionLimit,
        testing::{Rig, push_image, where_is},
    },
    store::testing::databases,
};

#[tokio::test]
async fn a_manual_run_copies_what_the_filters_accept() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let filters = json!([
            {"type": "name", "value": "library/**"},
            {"type": "tag", "value": "v*", "decoration": "matches"},
        ]);
        let id = rig
            .policy(|spec| {
                spec.trigger = Trigger::Manual;
                spec.filters = serde_json::from_value(filters).unwrap();
            })
            .await;
        rig.work();
        for (repository, tag) in [
            ("library/app", "v1"),
            ("library/app", "v2"),
            ("library/app", "latest"),
            ("library/a/b", "v1"),
            ("other/app", "v1"),
        ] {
            push_image(&rig.local, repository, tag, &[repository, tag]).await;
        }
        let execution = rig.replication.run_policy(id).await.unwrap();
        let execution = rig.finished(execution).await;
        assert_eq!(
            execution.status,
            Status::Succeed,
            "{}",
            execution.status_text
        );
        assert_eq!(
            (execution.trigger.as_str(), execution.counts.succeed),
            ("manual", 3)
        );
        assert!(rig.remote.digest("library/a/b", "v1").await.is_some());
        assert!(rig.remote.digest("library/app", "v2").await.is_some());
        assert!(rig.remote.digest("library/app", "latest").await.is_none());
        assert!(rig.remote.digest("other/app", "v1").await.is_none());
    }
}

#[tokio::test]
async fn a_literal_name_needs_no_catalog() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let filters = json!([{"type": "name", "value": "vendor/app"}]);
        let id = rig
            .policy(|spec| {
                spec.trigger = Trigger::Manual;
                std::mem::swap(&mut spec.source, &mut spec.destination);
                spec.filters = serde_json::from_value(filters).unwrap();
            })
            .await;
        rig.work();
        push_image(&rig.remote.client, "vendor/app", "v1", &["one"]).await;
        let execution = rig.replication.run_policy(id).await.unwrap();
        assert_eq!(rig.finished(execution).await.counts.succeed, 1);
        assert_eq!(rig.remote.requests("_catalog"), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_run_without_matching_artifacts_succeeds() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let id = rig.policy(|spec| spec.trigger = Trigger::Manual).await;
        rig.work();
        let execution = rig.replication.run_policy(id).await.unwrap();
        let execution = rig.finished(execution).await;
        assert_eq!(
            (execution.status, execution.counts.total),
            (Status::Succeed, 0)
        );
    }
}

#[tokio::test]
async fn with_single_active_a_second_run_is_recorded_as_skipped() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let id = rig
            .policy(|spec| {
                spec.trigger = Trigger::Manual;
                spec.single_active = true;
            })
            .await;
        let first = rig.replication.run_policy(id).await.unwrap();
        let second = rig.replication.run_policy(id).await.unwrap();
        let skipped = rig.replication.execution(second).await.unwrap();
        assert_eq!(skipped.status, Status::Failed);
        assert_eq!(skipped.status_text, super::SKIPPED);
        rig.work();
        assert_eq!(rig.finished(first).await.status, Status::Succeed);
        let failed = rig
            .replication
            .executions(&where_is("status", "Failed"))
            .await
            .unwrap();
        assert_eq!((failed.total, failed.items[0].id), (1, second));
    }
}

#[tokio::test]
async fn a_firing_of_the_schedule_makes_its_own_execution() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let id = rig.policy(|spec| spec.trigger = Trigger::Manual).await;
        push_image(&rig.local, "a/b", "v1", &["one"]).await;
        let params = json!({"policy": id, "trigger": "scheduled"});
        let job = crate::jobs::NewJob::new(super::KIND, "policy/1", params);
        let mut tx = rig.db.begin().await.unwrap();
        rig.jobs.enqueue(&mut tx, job).await.unwrap();
        tx.commit().await.unwrap();
        rig.work();
        let executions = crate::replication::testing::eventually(async || {
            let executions = rig.all_executions().await;
            (!executions.is_empty()).then_some(executions)
        })
        .await;
        let execution = rig.finished(executions[0].id).await;
        assert_eq!(
            (execution.trigger.as_str(), execution.counts.succeed),
            ("scheduled", 1)
        );
    }
}

#[tokio::test]
async fn a_disabled_policy_is_not_run() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let id = rig
            .policy(|spec| {
                spec.trigger = Trigger::Manual;
                spec.enabled = false;
            })
            .await;
        let error: Error = rig.replication.run_policy(id).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Precondition);
    }
}

#[tokio::test]
async fn a_source_that_cannot_be_listed_fails_the_execution_with_its_reason() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let id = rig.policy(|spec| spec.trigger = Trigger::Manual).await;
        let execution = rig.replication.run_policy(id).await.unwrap();
        let mut spec = rig.replication.policy(id).await.unwrap().spec;
        // Changed behind the back of the room, which would have stopped the job.
        spec.enabled = false;
        let mut tx = rig.db.begin().await.unwrap();
        let now = rig.replication.shared.clock.now();
        crate::replication::policies::queries::update(&mut tx, id, &spec, now)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        rig.work();
        let execution = rig.finished(execution).await;
        assert_eq!(execution.status, Status::Failed);
        assert!(
            execution.status_text.contains("disabled"),
            "{}",
            execution.status_text
        );
    }
}

/// A manual policy that deletes in runs, with `v1` here and there, `old` and `kept-old` there
/// alone, and `new` here alone.
async fn differing(rig: &Rig, limit: DeletionLimit) -> PolicyId {
    let filters = json!([{"type": "tag", "value": "kept-*", "decoration": "excludes"}]);
    let id = rig
        .policy(|spec| {
            spec.trigger = Trigger::Manual;
            spec.filters = serde_json::from_value(filters).unwrap();
            spec.deletion = true;
            spec.runs_delete = true;
            spec.deletion_limit = limit;
        })
        .await;
    for (client, repository, tag) in [
        (&rig.local, "team/app", "v1"),
        (&rig.local, "team/app", "new"),
        (&rig.remote.client, "team/app", "v1"),
        (&rig.remote.client, "team/app", "old"),
        (&rig.remote.client, "team/app", "kept-old"),
        (&rig.remote.client, "somebody/else", "old"),
    ] {
        push_image(client, repository, tag, &[tag]).await;
    }
    id
}

#[tokio::test]
async fn a_run_does_what_its_plan_says_and_deletes_what_is_gone() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let id = differing(&rig, DeletionLimit::default()).await;
        let spec = rig.replication.policy(id).await.unwrap().spec;
        let plan = rig.replication.plan(&spec).await.unwrap();
        assert_eq!((plan.copied, plan.deleted, plan.kept), (1, 1, 1));
        assert!(plan.is_whole && plan.objection.is_none());
        let steps: Vec<_> = plan
            .steps
            .iter()
            .map(|step| (step.deed, &*step.destination, step.reason))
            .collect();
        assert_eq!(
            steps,
            [
                (Deed::Copy, "team/app:new", "missing at the destination"),
                (Deed::Keep, "team/app:v1", "equal"),
                (Deed::Delete, "team/app:old", "gone at the source"),
            ]
        );
        assert_eq!(rig.remote.digest("team/app", "new").await, None);
        assert!(rig.all_executions().await.is_empty());

        rig.work();
        let run = rig.replication.run_policy(id).await.unwrap();
        let run = rig.finished(run).await;
        assert_eq!((run.status, run.counts.succeed), (Status::Succeed, 3));
        for (repository, tag, is_there) in [
            ("team/app", "v1", true),
            ("team/app", "new", true),
            ("team/app", "old", false),
            ("team/app", "kept-old", true),
            ("somebody/else", "old", true),
        ] {
            let there = rig.remote.digest(repository, tag).await;
            assert_eq!(there.is_some(), is_there, "{repository}:{tag}");
        }
    }
}

#[tokio::test]
async fn a_run_that_would_delete_too_much_deletes_nothing() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let limit = DeletionLimit {
            count: None,
            percent: Some(49),
        };
        let id = differing(&rig, limit).await;
        let spec = rig.replication.policy(id).await.unwrap().spec;
        let plan = rig.replication.plan(&spec).await.unwrap();
        let objection = "1 of 2 tags at the destination are gone at the source, more than \
                         max_deletions_percent = 49 allows to delete: nothing is deleted";
        assert_eq!(plan.objection.as_deref(), Some(objection));
        assert_eq!((plan.copied, plan.deleted, plan.kept), (1, 0, 2));
        rig.work();
        let run = rig.replication.run_policy(id).await.unwrap();
        let run = rig.finished(run).await;
        assert_eq!((run.status, &*run.status_text), (Status::Failed, objection));
        assert!(rig.remote.digest("team/app", "old").await.is_some());
    }
}

#[tokio::test]
async fn what_two_repositories_share_at_the_destination_is_not_deleted() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let id = differing(&rig, DeletionLimit::default()).await;
        push_image(&rig.local, "other/app", "old", &["old"]).await;
        let mut spec = rig.replication.policy(id).await.unwrap().spec;
        spec.namespace.path = "team".to_owned();
        let plan = rig.replication.plan(&spec).await.unwrap();
        assert_eq!((plan.deleted, plan.is_whole), (0, true));
    }
}
