//! What is known of the destination saves requests, and does not harm when it is wrong.

use std::sync::atomic::Ordering;

use crate::{
    oci::Digest,
    replication::{
        PolicyId, Status,
        testing::{Rig, digest_at, name, push, push_image},
    },
    store::testing::{TestDb, databases},
};

/// A rig that mirrors to a registry which only it writes to.
async fn rig(db: TestDb) -> (Rig, PolicyId) {
    let rig = Rig::new(db).await;
    rig.remote.is_gateway.store(false, Ordering::SeqCst);
    let policy = rig.policy(|_| {}).await;
    rig.work();
    (rig, policy)
}

/// Pushes the image and lets it be mirrored; the requests that the remote registry got for it.
async fn mirrored(rig: &Rig, tag: &str, layers: &[&str]) -> Vec<String> {
    let digest = push_image(&rig.local, "a/b", tag, layers).await;
    rig.happen(&push("a/b", tag)).await;
    let executions = rig.settled().await;
    let log = rig.logs(executions[0].id).await;
    assert_eq!(executions[0].status, Status::Succeed, "{log}");
    assert_eq!(rig.remote.digest("a/b", tag).await, Some(digest), "{log}");
    rig.remote.requests("/v2/a/b/")
}

#[tokio::test]
async fn nothing_is_asked_that_is_known_and_nothing_sent_that_is_there() {
    for db in databases().await {
        let (rig, _policy) = rig(db).await;
        let mut layers = vec!["1", "2", "3", "4", "5", "6", "7", "8"];
        let cold = mirrored(&rig, "v1", &layers).await;
        // Nine blobs with POST and PUT, and the manifest.
        assert_eq!(cold.len(), 19, "{cold:?}");
        assert!(mirrored(&rig, "v1", &layers).await.is_empty());
        let tagged = mirrored(&rig, "v2", &layers).await;
        assert_eq!(tagged, ["PUT /v2/a/b/manifests/v2"]);
        layers[7] = "new";
        let changed = mirrored(&rig, "v2", &layers).await;
        assert_eq!(changed.len(), 5, "{changed:?}");
    }
}

#[tokio::test]
async fn a_tag_that_somebody_else_moved_is_found_by_a_run_by_hand() {
    for db in databases().await {
        let (rig, policy) = rig(db).await;
        mirrored(&rig, "v1", &["ours"]).await;
        push_image(&rig.remote.client, "a/b", "v1", &["theirs"]).await;
        let execution = rig.replication.run_policy(policy).await.unwrap();
        let execution = rig.finished(execution).await;
        assert_eq!(execution.status, Status::Succeed);
        let ours = digest_at(&rig.local, "a/b", "v1").await;
        assert!(ours.is_some());
        assert_eq!(rig.remote.digest("a/b", "v1").await, ours);
    }
}

#[tokio::test]
async fn blobs_that_the_destination_has_lost_are_brought_again() {
    for db in databases().await {
        let (rig, _policy) = rig(db).await;
        mirrored(&rig, "v1", &["one", "two"]).await;
        let lost = Digest::sha256(b"two");
        let deleted = rig.remote.client.delete_blob(&name("a/b"), &lost).await;
        deleted.unwrap();
        mirrored(&rig, "v2", &["one", "two", "three"]).await;
        let there = rig.remote.client.head_blob(&name("a/b"), &lost).await;
        assert_eq!(there.unwrap(), Some(3));
    }
}
