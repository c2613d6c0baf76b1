//! A policy that is changed while it copies.

use crate::{
    replication::{
        Kind, PolicyId, Status,
        testing::{Reply, Rig, eventually, push, push_image},
    },
    store::testing::databases,
};

/// A rig whose only task stands still in the middle of an upload.
async fn standing(rig: &Rig) -> PolicyId {
    let policy = rig.policy(|_| {}).await;
    rig.work();
    rig.remote
        .script(|ask| ask.is_upload_of_data().then_some(Reply::Silence));
    push_image(&rig.local, "a/b", "v1", &["one"]).await;
    rig.happen(&push("a/b", "v1")).await;
    eventually(async || (!rig.remote.requests("PUT ").is_empty()).then_some(())).await;
    policy
}

#[tokio::test]
async fn a_policy_that_is_disabled_while_it_copies_makes_no_further_attempt() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let policy = standing(&rig).await;
        let mut spec = rig.replication.policy(policy).await.unwrap().spec;
        spec.enabled = false;
        rig.replication.update_policy(policy, &spec).await.unwrap();
        rig.remote.mend();
        let newest = rig.settled().await.remove(0);
        let task = rig.tasks(newest.id).await.remove(0);
        assert_eq!(task.status, Status::Failed);
        assert_eq!(task.status_text, "the policy `mirror` is disabled");
        assert_eq!(rig.remote.digest("a/b", "v1").await, None);
    }
}

#[tokio::test]
async fn a_policy_that_is_changed_while_it_copies_counts_from_the_next_attempt_on() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let policy = standing(&rig).await;
        let mut spec = rig.replication.policy(policy).await.unwrap().spec;
        spec.namespace.path = "moved".to_owned();
        rig.replication.update_policy(policy, &spec).await.unwrap();
        rig.remote.mend();
        let newest = rig.settled().await.remove(0);
        let log = rig.logs(newest.id).await;
        assert_eq!(newest.status, Status::Succeed, "{log}");
        assert!(log.contains("push manifest: moved/b v1"), "{log}");
        assert!(rig.remote.digest("moved/b", "v1").await.is_some());
    }
}

#[tokio::test]
async fn a_policy_is_not_deleted_under_a_copy_but_after_it_was_stopped() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let policy = standing(&rig).await;
        let error = rig.replication.delete_policy(policy).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Precondition);
        assert!(error.to_string().contains("stop it first"), "{error}");
        let execution = rig.all_executions().await[0].id;
        rig.replication.stop_execution(execution).await.unwrap();
        assert_eq!(rig.finished(execution).await.status, Status::Stopped);
        rig.replication.delete_policy(policy).await.unwrap();
        rig.remote.mend();
        assert_eq!(rig.remote.digest("a/b", "v1").await, None);
    }
}
