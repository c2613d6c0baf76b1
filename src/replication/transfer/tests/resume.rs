//! Large blobs go up in chunks, and go on where they were; `tests/it/resume.rs` kills the process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::header;
use serde_json::json;

use crate::{
    oci::{
        Digest,
        media_type::{OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST},
    },
    registry::Client,
    replication::{
        Config, ExecutionId, Status,
        places::Place,
        testing::{Reply, Rig, eventually, name, push, push_manifest},
        uploads::sweep,
    },
    store::{
        Listing,
        testing::{TestDb, databases},
    },
    wire::Body,
};

/// Five chunks of one MiB.
fn layer() -> String {
    "one layer, ours.".repeat(5 * 64 * 1024)
}

/// Pushes an image of the layer and a small configuration.
async fn push_large(client: &Client) -> Digest {
    let (layer, repository) = (layer(), name("a/b"));
    let mut blobs = Vec::new();
    for (media_type, content) in [(OCI_CONFIG, "{}"), (OCI_LAYER_GZIP, &*layer)] {
        let (digest, size) = (Digest::sha256(content.as_bytes()), content.len());
        let body = Body::from(content.to_owned());
        let put = client.put_blob(&repository, &digest, size as u64, body);
        put.await.unwrap();
        blobs.push(json!({"mediaType": media_type, "digest": digest, "size": size}));
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": blobs[0], "layers": [blobs[1]],
    });
    push_manifest(client, "a/b", "v1", OCI_MANIFEST, &manifest).await
}

async fn rig(db: TestDb) -> Rig {
    let config = Config {
        chunk_mib: 1,
        ..Config::default()
    };
    let rig = Rig::with(db, config).await;
    rig.policy(|_| {}).await;
    rig.work();
    rig
}

/// Pushes an image with the layer; the log of its copy, which succeeds.
async fn copied(rig: &Rig) -> String {
    let digest = push_large(&rig.local).await;
    rig.happen(&push("a/b", "v1")).await;
    let execution = rig.settled().await.remove(0);
    let log = rig.logs(execution.id).await;
    assert_eq!(execution.status, Status::Succeed, "{log}");
    assert_eq!(rig.remote.digest("a/b", "v1").await, Some(digest), "{log}");
    assert!(!is_remembered(rig).await);
    log
}

/// Whether the upload of the layer is written down.
async fn is_remembered(rig: &Rig) -> bool {
    let execution = rig.all_executions().await.remove(0);
    let job = rig.tasks(execution.id).await[0].job_id;
    let uploads = &rig.replication.shared.uploads;
    let digest = Digest::sha256(layer().as_bytes());
    let registries = rig.replication.registries(&Listing::default()).await;
    let place = Place {
        registry: registries.unwrap().items[0].id,
        repository: &name("a/b"),
    };
    let kept = uploads.recall(job, place, &digest).await;
    kept.unwrap().is_some()
}

#[tokio::test]
async fn an_upload_that_breaks_off_goes_on_where_it_was() {
    for db in databases().await {
        let rig = rig(db).await;
        rig.remote.script(|ask| {
            (ask.is("PATCH", "/uploads/") && ask.number == 2).then_some(Reply::HangUp)
        });
        let log = copied(&rig).await;
        // Two chunks had come, the second of them larger unless the machine is slow.
        let goes_on = |from| log.contains(&format!("goes on at {from}.0 MiB of 5.0 MiB"));
        assert!(goes_on(3) || goes_on(2), "{log}");
        // Of layer and configuration.
        let requests = rig.remote.requests("/blobs/uploads/");
        let count = |method: &str| {
            requests
                .iter()
                .filter(|line| line.starts_with(method))
                .count()
        };
        assert_eq!((count("POST"), count("GET")), (2, 1), "{requests:?}");
    }
}

#[tokio::test]
async fn an_upload_that_the_target_has_forgotten_begins_anew() {
    for db in databases().await {
        let rig = rig(db).await;
        rig.remote.script(|ask| {
            if ask.is("GET", "/blobs/uploads/") {
                return Some(Reply::refusal(404, "BLOB_UPLOAD_UNKNOWN", "which?"));
            }
            (ask.is("PATCH", "/uploads/") && ask.number == 2).then_some(Reply::HangUp)
        });
        let log = copied(&rig).await;
        assert!(log.contains("has forgotten the half upload"), "{log}");
    }
}

#[tokio::test]
async fn what_the_target_refuses_after_it_went_on_begins_anew() {
    for db in databases().await {
        let rig = rig(db).await;
        let went_on = Arc::new(AtomicBool::new(false));
        rig.remote.script(move |ask| {
            if ask.is("GET", "/blobs/uploads/") {
                went_on.store(true, Ordering::SeqCst);
            }
            if ask.is("PUT", "/blobs/uploads/") && went_on.swap(false, Ordering::SeqCst) {
                return Some(Reply::refusal(400, "DIGEST_INVALID", "not this blob"));
            }
            (ask.is("PATCH", "/uploads/") && ask.number == 2).then_some(Reply::HangUp)
        });
        let log = copied(&rig).await;
        assert!(log.contains("the half upload is given up"), "{log}");
    }
}

#[tokio::test]
async fn a_target_that_takes_no_chunks_gets_the_blob_in_one_piece() {
    for db in databases().await {
        let rig = rig(db).await;
        let refusal = || Reply::refusal(405, "UNSUPPORTED", "no chunks");
        rig.remote
            .script(move |ask| ask.is("PATCH", "/uploads/").then(refusal));
        let log = copied(&rig).await;
        assert!(log.contains("goes up in one piece"), "{log}");
    }
}

#[tokio::test]
async fn a_copy_that_is_stopped_leaves_no_half_upload() {
    for db in databases().await {
        let rig = rig(db).await;
        rig.remote.script(|ask| {
            (ask.is("PATCH", "/uploads/") && ask.number == 2).then_some(Reply::Silence)
        });
        push_large(&rig.local).await;
        rig.happen(&push("a/b", "v1")).await;
        let patches = AtomicUsize::new(0);
        eventually(async || {
            let more = rig.remote.requests("PATCH ").len();
            let all = patches.fetch_add(more, Ordering::SeqCst) + more;
            (all == 3).then_some(())
        })
        .await;
        assert!(is_remembered(&rig).await);
        let execution = rig.all_executions().await[0].id;
        rig.replication.stop_execution(execution).await.unwrap();
        assert_eq!(rig.finished(execution).await.status, Status::Stopped);
        assert_eq!(
            rig.remote.requests("DELETE /v2/a/b/blobs/uploads/").len(),
            1
        );
        assert!(!is_remembered(&rig).await);
    }
}

/// Lets the job of the image wait after its first chunk.
async fn waiting(rig: &Rig) -> ExecutionId {
    let busy = || Reply::refusal(429, "TOOMANYREQUESTS", "busy").and(header::RETRY_AFTER, "900");
    rig.remote
        .script(move |ask| (ask.is("PATCH", "/uploads/") && ask.number == 1).then(busy));
    push_large(&rig.local).await;
    rig.happen(&push("a/b", "v1")).await;
    eventually(async || {
        let execution = rig.all_executions().await.remove(0);
        let task = rig.tasks(execution.id).await.remove(0);
        task.status_text.contains("busy").then_some(execution.id)
    })
    .await
}

#[tokio::test]
async fn half_uploads_of_jobs_that_are_stopped_while_they_wait_are_swept() {
    for db in databases().await {
        let rig = rig(db).await;
        let execution = waiting(&rig).await;
        let shared = &rig.replication.shared;
        sweep(shared, shared.clock.now()).await.unwrap();
        assert!(is_remembered(&rig).await);
        rig.replication.stop_execution(execution).await.unwrap();
        rig.finished(execution).await;
        rig.remote.requests("");
        sweep(shared, shared.clock.now()).await.unwrap();
        assert!(!is_remembered(&rig).await);
        let cancels = rig.remote.requests("DELETE /v2/a/b/blobs/uploads/");
        assert_eq!(cancels.len(), 1);
    }
}

#[tokio::test]
async fn half_uploads_that_nobody_goes_on_with_are_swept_after_a_day() {
    for db in databases().await {
        let rig = rig(db).await;
        waiting(&rig).await;
        let shared = &rig.replication.shared;
        for (hours, is_kept) in [(23, true), (25, false)] {
            let later = shared.clock.now().plus(Duration::from_hours(hours));
            sweep(shared, later).await.unwrap();
            assert_eq!(is_remembered(&rig).await, is_kept);
        }
    }
}
