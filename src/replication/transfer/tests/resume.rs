//! Large blobs go up in chunks, and go on where they were; `tests/it/resume.rs` kills the process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;

use crate::{
    jobs::JobId,
    oci::{
        Digest, RepositoryName,
        media_type::{OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST},
    },
    registry::{Client, Upload},
    replication::{
        Config, Status,
        places::Place,
        testing::{Reply, Rig, eventually, name, push, push_manifest},
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
    is_remembered_of(rig, rig.tasks(execution.id).await[0].job_id).await
}

async fn is_remembered_of(rig: &Rig, job: JobId) -> bool {
    let uploads = &rig.replication.shared.uploads;
    let digest = Digest::sha256(layer().as_bytes());
    let repository = name("a/b");
    let kept = uploads.recall(job, place(rig, &repository).await, &digest);
    kept.await.unwrap().is_some()
}

/// A repository of the rig's only target.
async fn place<'a>(rig: &Rig, repository: &'a RepositoryName) -> Place<'a> {
    let registries = rig.replication.registries(&Listing::default()).await;
    Place {
        registry: registries.unwrap().items[0].id,
        repository,
    }
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

#[tokio::test]
async fn uploads_that_nobody_goes_on_with_are_forgotten_after_a_day() {
    for db in databases().await {
        let rig = rig(db).await;
        let (job, digest) = (JobId(7), Digest::sha256(layer().as_bytes()));
        let upload = Upload {
            name: name("a/b"),
            location: "/v2/a/b/blobs/uploads/1?_state=x".to_owned(),
            offset_bytes: 5,
            min_chunk_bytes: None,
        };
        let shared = &rig.replication.shared;
        let place = place(&rig, &upload.name).await;
        shared.uploads.remember(job, place, &digest, &upload).await;
        let recalled = shared.uploads.recall(job, place, &digest).await.unwrap();
        assert_eq!(recalled, Some(upload.clone()));
        for (hours, is_kept) in [(23, true), (25, false)] {
            let later = shared.clock.now().plus(Duration::from_hours(hours));
            shared.uploads.sweep(later).await.unwrap();
            assert_eq!(is_remembered_of(&rig, job).await, is_kept);
        }
    }
}
