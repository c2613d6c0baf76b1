//! The transfer job between two embedded registries, and (`distribution.rs`) to a real one.

mod bad_targets;
mod changes;
mod companions;
mod distribution;
mod downloads;
mod foreign;
mod labels;
mod places;
mod progress;
mod resume;
mod siblings;
mod speed;

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::{
    oci::{Digest, Reference, Tag, media_type},
    registry::Client,
    replication::{
        Change, ChangeKind, PolicySpec, RegistryId, Status, Trigger,
        policy::{Namespace, Replace},
        testing::{Reply, Rig, digest_at, eventually, name, push, push_image, push_manifest},
    },
    store::testing::databases,
    wire::{Body, Exchange},
};

fn deletion(repository: &str, kind: ChangeKind) -> Change {
    Change {
        kind,
        ..push(repository, "unused")
    }
}

#[tokio::test]
async fn a_push_is_found_at_the_destination_by_the_same_digest() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        rig.work();
        let digest = push_image(&rig.local, "library/app", "v1", &["one", "two"]).await;
        rig.happen(&push("library/app", "v1")).await;
        let executions = rig.settled().await;
        assert_eq!(executions.len(), 1);
        assert_eq!(
            executions[0].status,
            Status::Succeed,
            "{}",
            rig.logs(executions[0].id).await
        );
        assert_eq!(executions[0].trigger, "event_based");
        assert_eq!(executions[0].counts.succeed, 1);
        assert_eq!(rig.remote.digest("library/app", "v1").await, Some(digest));
        let logs = rig.logs(executions[0].id).await;
        for step in [
            "initialize:",
            "check:",
            "pull manifest:",
            "blob sha256:",
            "push manifest:",
        ] {
            assert!(logs.contains(step), "{step} in {logs}");
        }
    }
}

#[tokio::test]
async fn an_index_arrives_with_all_its_children() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        rig.work();
        let mut children = Vec::new();
        for layer in ["amd64", "arm64"] {
            let digest = push_image(&rig.local, "a/multi", layer, &["base", layer]).await;
            let reference = digest.as_str().parse().unwrap();
            let head = rig.local.head_manifest(&name("a/multi"), &reference).await;
            let size = head.unwrap().unwrap().size_bytes.unwrap();
            children.push(json!({
                "mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": size,
            }));
        }
        let index = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": children,
        });
        let digest =
            push_manifest(&rig.local, "a/multi", "v1", media_type::OCI_INDEX, &index).await;
        rig.happen(&push("a/multi", "v1")).await;
        let executions = rig.settled().await;
        assert_eq!(
            executions[0].status,
            Status::Succeed,
            "{}",
            rig.logs(executions[0].id).await
        );
        assert_eq!(rig.remote.digest("a/multi", "v1").await, Some(digest));
        for child in children {
            let child = child["digest"].as_str().unwrap().to_owned();
            assert!(rig.remote.digest("a/multi", &child).await.is_some());
        }
        // The base layer of both children travelled once.
        let uploads = rig.remote.requests("/blobs/uploads/");
        let puts = uploads
            .iter()
            .filter(|line| line.starts_with("PUT"))
            .count();
        assert_eq!(puts, 5, "{uploads:?}");
    }
}

#[tokio::test]
async fn pushing_again_what_the_destination_has_sends_no_bytes() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        rig.work();
        push_image(&rig.local, "a/b", "v1", &["one"]).await;
        rig.happen(&push("a/b", "v1")).await;
        rig.settled().await;
        rig.remote.requests("");
        rig.happen(&push("a/b", "v1")).await;
        let executions = rig.settled().await;
        assert_eq!(executions.len(), 2);
        assert!(rig.logs(executions[0].id).await.contains("had it already"));
        assert_eq!(rig.remote.requests("").len(), 1);
    }
}

#[tokio::test]
async fn a_blob_that_another_repository_has_is_mounted() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        rig.work();
        push_image(&rig.local, "a/first", "v1", &["shared"]).await;
        rig.happen(&push("a/first", "v1")).await;
        rig.settled().await;
        rig.remote.requests("");
        let digest = push_image(&rig.local, "a/second", "v1", &["shared"]).await;
        rig.happen(&push("a/second", "v1")).await;
        rig.settled().await;
        assert_eq!(rig.remote.digest("a/second", "v1").await, Some(digest));
        let puts = rig.remote.requests("PUT /v2/a/second/blobs/");
        assert_eq!(puts, Vec::<String>::new());
    }
}

#[tokio::test]
async fn without_override_another_digest_at_the_destination_stays() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|spec| spec.overwrite = false).await;
        rig.work();
        let there = push_image(&rig.remote.client, "a/b", "v1", &["theirs"]).await;
        push_image(&rig.local, "a/b", "v1", &["ours"]).await;
        rig.happen(&push("a/b", "v1")).await;
        let executions = rig.settled().await;
        assert_eq!(executions[0].status, Status::Succeed);
        assert!(
            rig.logs(executions[0].id)
                .await
                .contains("does not overwrite")
        );
        assert_eq!(rig.remote.digest("a/b", "v1").await, Some(there));
    }
}

#[tokio::test]
async fn the_namespace_is_rewritten_at_the_destination() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|spec| {
            spec.namespace = Namespace {
                path: "backup/eu".to_owned(),
                replace: Replace::First(1),
            };
        })
        .await;
        rig.work();
        let digest = push_image(&rig.local, "team/x/app", "v1", &["one"]).await;
        rig.happen(&push("team/x/app", "v1")).await;
        let executions = rig.settled().await;
        assert_eq!(
            rig.remote.digest("backup/eu/x/app", "v1").await,
            Some(digest)
        );
        let task = rig.tasks(executions[0].id).await.remove(0);
        assert_eq!(task.source, "team/x/app:v1");
        assert_eq!(task.destination, "backup/eu/x/app:v1");
    }
}

#[tokio::test]
async fn a_tag_that_is_deleted_goes_alone() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|spec| spec.deletion = true).await;
        rig.work();
        let digest = push_image(&rig.local, "a/b", "v1", &["one"]).await;
        push_image(&rig.local, "a/b", "v2", &["one"]).await;
        for tag in ["v1", "v2"] {
            rig.happen(&push("a/b", tag)).await;
        }
        rig.settled().await;
        let tag: Tag = "v1".parse().unwrap();
        let gone = "v1".parse().unwrap();
        rig.local
            .delete_manifest(&name("a/b"), &gone)
            .await
            .unwrap();
        let digest_at_source = Some(digest.clone());
        let kind = ChangeKind::DeleteTag {
            tag,
            digest: digest_at_source,
        };
        rig.happen(&deletion("a/b", kind)).await;
        let executions = rig.settled().await;
        assert_eq!(
            executions[0].status,
            Status::Succeed,
            "{}",
            rig.logs(executions[0].id).await
        );
        assert_eq!(rig.remote.digest("a/b", "v1").await, None);
        assert_eq!(rig.remote.digest("a/b", "v2").await, Some(digest));
    }
}

#[tokio::test]
async fn a_push_that_a_deletion_at_the_destination_has_overtaken_ends_well() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        rig.work();
        let refusal = || Reply::refusal(409, "SUPERSEDED", "deleted since");
        rig.remote
            .script(move |ask| ask.is("PUT", "/manifests/").then(refusal));
        push_image(&rig.local, "a/b", "v1", &["one"]).await;
        rig.happen(&push("a/b", "v1")).await;
        let newest = rig.settled().await.remove(0);
        let text = "left alone, for the tag was deleted at the destination since";
        assert_eq!(
            (newest.status, &*newest.status_text),
            (Status::Succeed, text)
        );
    }
}

#[tokio::test]
async fn a_digest_that_is_deleted_goes_with_its_tags() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|spec| spec.deletion = true).await;
        rig.work();
        let digest = push_image(&rig.local, "a/b", "v1", &["one"]).await;
        rig.happen(&push("a/b", "v1")).await;
        rig.settled().await;
        let reference = digest.as_str().parse().unwrap();
        rig.local
            .delete_manifest(&name("a/b"), &reference)
            .await
            .unwrap();
        let kind = ChangeKind::DeleteDigest {
            digest: digest.clone(),
            tags: vec!["v1".parse().unwrap()],
        };
        rig.happen(&deletion("a/b", kind)).await;
        let executions = rig.settled().await;
        assert_eq!(
            executions[0].counts.succeed,
            2,
            "{}",
            rig.logs(executions[0].id).await
        );
        assert_eq!(rig.remote.digest("a/b", "v1").await, None);
        assert_eq!(rig.remote.digest("a/b", digest.as_str()).await, None);
    }
}

#[tokio::test]
async fn what_is_gone_at_the_source_stays_without_the_deletion_switch() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        rig.work();
        let digest = push_image(&rig.remote.client, "a/b", "v1", &["one"]).await;
        rig.happen(&push("a/b", "v1")).await;
        let executions = rig.settled().await;
        assert_eq!(executions[0].status, Status::Succeed);
        assert_eq!(rig.remote.digest("a/b", "v1").await, Some(digest));
    }
}

#[tokio::test]
async fn a_pulling_policy_brings_the_remote_registrys_images_here() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let id = rig
            .policy(|spec| {
                *spec = PolicySpec {
                    source: spec.destination,
                    destination: RegistryId::LOCAL,
                    trigger: Trigger::Manual,
                    ..spec.clone()
                };
            })
            .await;
        rig.work();
        let digest = push_image(&rig.remote.client, "vendor/app", "v1", &["one"]).await;
        let execution = rig.replication.run_policy(id).await.unwrap();
        let execution = rig.finished(execution).await;
        assert_eq!(
            (execution.status, execution.counts.succeed),
            (Status::Succeed, 1)
        );
        assert_eq!(
            digest_at(&rig.local, "vendor/app", "v1").await,
            Some(digest)
        );
    }
}

#[tokio::test]
async fn stopping_an_execution_ends_a_running_transfer_within_a_second() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        rig.work();
        rig.remote
            .script(|ask| ask.is_upload_of_data().then_some(Reply::Silence));
        push_image(&rig.local, "a/b", "v1", &["one"]).await;
        rig.happen(&push("a/b", "v1")).await;
        eventually(async || (!rig.remote.requests("PUT ").is_empty()).then_some(())).await;
        let id = rig.all_executions().await[0].id;
        let begun = Instant::now();
        rig.replication.stop_execution(id).await.unwrap();
        let execution = rig.finished(id).await;
        assert_eq!(
            (execution.status, execution.counts.stopped),
            (Status::Stopped, 1)
        );
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "{:?}",
            begun.elapsed()
        );
        let cancels = rig.remote.requests("DELETE /v2/a/b/blobs/uploads/");
        assert!(!cancels.is_empty());
    }
}

/// Before `old` is pulled it is deleted, and `v1` made to point to another image.
fn move_v1_before_pull(inner: Exchange, old: Digest) -> Exchange {
    let pull = format!("/v2/a/b/manifests/{old}");
    Exchange::new(tower::service_fn(move |request: http::Request<Body>| {
        let is_pull = request.method() == http::Method::GET && request.uri().path() == pull;
        let (inner, reference) = (inner.clone(), Reference::Digest(old.clone()));
        async move {
            if is_pull {
                let client = Client::new(inner.clone());
                client
                    .delete_manifest(&name("a/b"), &reference)
                    .await
                    .unwrap();
                push_image(&client, "a/b", "v1", &["new"]).await;
            }
            inner.oneshot(request).await
        }
    }))
}

#[tokio::test]
async fn a_tag_that_moves_during_its_copying_is_followed_and_not_deleted() {
    for db in databases().await {
        let mut rig = Rig::new(db).await;
        let old = push_image(&rig.local, "a/b", "v1", &["old"]).await;
        rig.wrap_local(|inner| move_v1_before_pull(inner, old.clone()))
            .await;
        rig.policy(|spec| spec.deletion = true).await;
        push_image(&rig.remote.client, "a/b", "v1", &["ancient"]).await;
        rig.work();
        rig.happen(&push("a/b", "v1")).await;
        let executions = rig.settled().await;
        let log = rig.logs(executions[0].id).await;
        assert_eq!(executions[0].status, Status::Succeed, "{log}");
        let moved = digest_at(&rig.local, "a/b", "v1").await;
        assert!(moved.is_some() && moved != Some(old), "{moved:?}");
        assert_eq!(rig.remote.digest("a/b", "v1").await, moved, "{log}");
    }
}

#[tokio::test]
async fn a_tag_of_a_manifest_that_the_source_lacks_is_never_taken_for_deleted() {
    for db in databases().await {
        let mut rig = Rig::new(db).await;
        let old = push_image(&rig.local, "a/b", "v1", &["old"]).await;
        rig.wrap_local(|inner| without(inner, &old)).await;
        rig.policy(|spec| spec.deletion = true).await;
        let ancient = push_image(&rig.remote.client, "a/b", "v1", &["ancient"]).await;
        rig.work();
        rig.happen(&push("a/b", "v1")).await;
        eventually(async || {
            let executions = rig.all_executions().await;
            let log = rig.logs(executions[0].id).await;
            log.contains("does not have").then_some(())
        })
        .await;
        assert_eq!(rig.remote.digest("a/b", "v1").await, Some(ancient));
    }
}

/// Answers 404 to each pull of `digest`.
fn without(inner: Exchange, digest: &Digest) -> Exchange {
    let pull = format!("/v2/a/b/manifests/{digest}");
    Exchange::new(tower::service_fn(move |request: http::Request<Body>| {
        let is_pull = request.method() == http::Method::GET && request.uri().path() == pull;
        let inner = inner.clone();
        async move {
            if is_pull {
                let mut answer = http::Response::new(Body::Empty);
                *answer.status_mut() = http::StatusCode::NOT_FOUND;
                return Ok(answer);
            }
            inner.oneshot(request).await
        }
    }))
}

#[tokio::test]
async fn artifacts_that_the_resource_filter_leaves_are_not_copied() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let filter = json!([{"type": "resource", "value": "artifact"}]);
        rig.policy(|spec| spec.filters = serde_json::from_value(filter).unwrap())
            .await;
        rig.work();
        push_image(&rig.local, "a/b", "v1", &["one"]).await;
        rig.happen(&push("a/b", "v1")).await;
        let executions = rig.settled().await;
        assert!(rig.logs(executions[0].id).await.contains("left out"));
        assert_eq!(rig.remote.digest("a/b", "v1").await, None);
    }
}

#[tokio::test]
async fn a_task_that_cannot_work_fails_with_its_reason() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|spec| {
            spec.namespace = Namespace {
                path: "n".to_owned(),
                replace: Replace::First(3),
            };
        })
        .await;
        rig.work();
        push_image(&rig.local, "a/b", "v1", &["one"]).await;
        rig.happen(&push("a/b", "v1")).await;
        let executions = rig.settled().await;
        assert_eq!(executions[0].status, Status::Failed);
        let log = rig.logs(executions[0].id).await;
        assert!(log.contains("has 1 path components"), "{log}");
    }
}

#[tokio::test]
async fn an_image_that_came_by_digest_keeps_it() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        rig.work();
        let digest = push_image(&rig.local, "a/b", "by digest", &["one"]).await;
        rig.happen(&push("a/b", digest.as_str())).await;
        rig.settled().await;
        let found = rig.remote.digest("a/b", digest.as_str()).await;
        assert_eq!(found, Some(digest));
    }
}
