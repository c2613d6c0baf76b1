//! Blobs sent on while they are pushed, to registries over HTTP.

use std::path::Path;

use bytes::Bytes;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::sync::CancellationToken;

use super::Teed;
use crate::{
    oci::{Digest, media_type},
    replication::{
        Config, NewRegistry, Origin, PolicySpec, Status, Trigger,
        metrics::{TeeLabels, TeeOutcome},
        policy::tests::spec,
        testing::{RemoteRegistry, Reply, Rig, eventually, name, push, push_manifest},
    },
    store::testing::{databases, sqlite},
    wire::{Body, collect},
};

const PIECE_BYTES: usize = 64 * 1024;

fn begin(rig: &Rig, repository: &str) -> Option<Teed> {
    rig.replication.tee(&name(repository), &Origin::default())
}

fn give(teed: &Teed, blob: &[u8]) {
    for piece in blob.chunks(PIECE_BYTES) {
        teed.take(&Bytes::copy_from_slice(piece));
    }
}

/// A whole upload that the registry behind accepts.
fn pass(rig: &Rig, repository: &str, blob: &[u8]) -> Digest {
    let (teed, digest) = (begin(rig, repository).unwrap(), Digest::sha256(blob));
    give(&teed, blob);
    teed.claim(&digest, None);
    teed.whole();
    teed.commit();
    digest
}

fn count(rig: &Rig, outcome: TeeOutcome) -> u64 {
    let blobs = &rig.replication.metrics().teed_blobs;
    blobs.get_or_create(&TeeLabels { outcome }).get()
}

async fn until_count(rig: &Rig, outcome: TeeOutcome, wanted: u64) {
    eventually(async || (count(rig, outcome) >= wanted).then_some(())).await;
}

async fn content(remote: &RemoteRegistry, digest: &Digest) -> Bytes {
    let blob = remote.client.blob(&name("library/app"), digest).await;
    collect(blob.unwrap().body, 1 << 24).await.unwrap()
}

async fn size(remote: &RemoteRegistry, digest: &Digest) -> Option<u64> {
    let repository = name("library/app");
    remote.client.head_blob(&repository, digest).await.unwrap()
}

/// Upload sessions that a registry has open.
fn open_sessions(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("uploads")).map_or(0, Iterator::count)
}

/// Bytes that compress to nothing people know.
fn blob(bytes: usize) -> Vec<u8> {
    (0..251).cycle().take(bytes).collect()
}

#[tokio::test]
async fn blobs_of_every_size_arrive_as_they_are_pushed() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        let large = 3 * 1024 * 1024 + 7;
        for (turn, size) in [(1, 0), (2, 300), (3, 256 * 1024), (4, large)] {
            let blob = blob(size);
            let digest = pass(&rig, "library/app", &blob);
            until_count(&rig, TeeOutcome::Committed, turn).await;
            assert!(content(&rig.remote, &digest).await == blob, "{size} bytes");
            let seen = rig.remote.requests("/uploads/");
            assert_eq!(seen.len(), 2, "{seen:?}");
        }
        assert_eq!(open_sessions(&rig.remote.folder), 0);
        assert_eq!(rig.remote.requests("DELETE"), [""; 0]);
    }
}

/// As docker does; and as containerd does, who says in advance how much will come.
#[tokio::test]
async fn bytes_go_ahead_of_the_digest_and_the_end_does_not_go_ahead_of_the_registry_behind() {
    let rig = Rig::new(sqlite().await).await;
    rig.policy(|_| {}).await;
    let (unknown, known) = (blob(1024 * 1024), blob(1024 * 1024 + 1));
    let digest = Digest::sha256(&unknown);
    let teed = begin(&rig, "library/app").unwrap();
    give(&teed, &unknown);
    eventually(async || (rig.remote.requests("PATCH").len() == 1).then_some(())).await;
    teed.claim(&digest, Some(unknown.len() as u64));
    teed.whole();
    teed.commit();
    until_count(&rig, TeeOutcome::Committed, 1).await;
    assert_eq!(rig.remote.requests("/uploads/").len(), 1);
    assert!(content(&rig.remote, &digest).await == unknown);

    let digest = Digest::sha256(&known);
    let teed = begin(&rig, "library/app").unwrap();
    teed.claim(&digest, Some(known.len() as u64));
    give(&teed, &known);
    teed.whole();
    let line = &teed.lines[0].1;
    eventually(async || (line.held_bytes() == 0).then_some(())).await;
    assert_eq!(size(&rig.remote, &digest).await, None);
    teed.commit();
    until_count(&rig, TeeOutcome::Committed, 2).await;
    assert_eq!(rig.remote.requests("/uploads/").len(), 2);
    assert!(content(&rig.remote, &digest).await == known);
}

/// What does not fit into memory waits on disk, in order with what does.
#[tokio::test]
async fn a_target_that_lags_gets_the_rest_from_disk() {
    for memory in [1, 2] {
        let config = Config {
            tee_memory_mib: memory,
            ..Config::default()
        };
        let rig = Rig::with(sqlite().await, config).await;
        rig.policy(|_| {}).await;
        let blob = blob(8 * 1024 * 1024 + 3);
        let digest = pass_slowly(&rig, &blob).await;
        until_count(&rig, TeeOutcome::Committed, 1).await;
        assert!(content(&rig.remote, &digest).await == blob);
        assert!(rig.replication.metrics().overflow_bytes.get() > 0);
    }
}

/// As fast as the disk takes it, which is faster than the target takes anything.
async fn pass_slowly(rig: &Rig, blob: &[u8]) -> Digest {
    let (teed, digest) = (begin(rig, "library/app").unwrap(), Digest::sha256(blob));
    for piece in blob.chunks(PIECE_BYTES) {
        let memory = &rig.replication.shared.tee.memory;
        eventually(async || (memory.free_bytes() > 4 * PIECE_BYTES).then_some(())).await;
        teed.take(&Bytes::copy_from_slice(piece));
    }
    teed.claim(&digest, None);
    teed.whole();
    teed.commit();
    digest
}

#[tokio::test]
async fn nothing_stays_at_the_target_of_a_push_that_comes_to_nothing() {
    let rig = Rig::new(sqlite().await).await;
    rig.policy(|_| {}).await;
    let blob = blob(1024 * 1024);
    let digest = Digest::sha256(&blob);
    // The client goes away at once, in the middle, and before the registry behind has said yes.
    for stage in 0..3 {
        let teed = begin(&rig, "library/app").unwrap();
        if stage > 0 {
            give(&teed, &blob);
            eventually(async || (!rig.remote.requests("PATCH").is_empty()).then_some(())).await;
        }
        if stage > 1 {
            teed.claim(&digest, None);
            teed.whole();
        }
        drop(teed);
        until_count(&rig, TeeOutcome::Abandoned, stage + 1).await;
        assert_eq!(open_sessions(&rig.remote.folder), 0, "{stage}");
    }
    assert_eq!(rig.remote.requests("PUT"), [""; 0]);
    // Nothing of it is in the way of the next one.
    pass(&rig, "library/app", &blob);
    until_count(&rig, TeeOutcome::Committed, 1).await;
}

#[tokio::test]
async fn bytes_of_another_digest_do_not_become_a_blob_at_the_target() {
    let rig = Rig::new(sqlite().await).await;
    rig.policy(|_| {}).await;
    for (turn, bytes) in [(1, 300), (2, 1024 * 1024)] {
        let teed = begin(&rig, "library/app").unwrap();
        give(&teed, &blob(bytes));
        let other = Digest::sha256(b"something else");
        teed.claim(&other, None);
        teed.whole();
        teed.commit();
        until_count(&rig, TeeOutcome::Refused, turn).await;
        assert_eq!(size(&rig.remote, &other).await, None);
        assert_eq!(open_sessions(&rig.remote.folder), 0);
    }
}

/// The push goes on, and so does the other target.
#[tokio::test]
async fn a_target_that_takes_nothing_is_given_up() {
    let config = Config {
        tee_memory_mib: 2,
        tee_disk_mib: 64,
        ..Config::default()
    };
    let rig = Rig::with(sqlite().await, config).await;
    rig.policy(|_| {}).await;
    let (folder, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
    let stalled = RemoteRegistry::serve(folder.path(), stop.clone()).await;
    stalled.script(|ask| ask.is_upload_of_data().then_some(Reply::Silence));
    let registry = NewRegistry {
        name: "stalled".to_owned(),
        url: stalled.url.clone(),
        ..rig.new_registry()
    };
    let destination = rig.replication.create_registry(registry).await.unwrap();
    let policy = PolicySpec {
        name: "stalled".to_owned(),
        destination,
        ..spec()
    };
    rig.replication.create_policy(&policy).await.unwrap();

    let teed = begin(&rig, "library/app").unwrap();
    let mut pushed = Vec::new();
    // The system takes some megabytes for the target before anything waits here.
    while count(&rig, TeeOutcome::Slow) == 0 {
        assert!(pushed.len() < 256 * 1024 * 1024, "nobody was given up");
        let piece = blob(PIECE_BYTES);
        pushed.extend_from_slice(&piece);
        teed.take(&piece.into());
        let is_taken = || {
            let healthy = &teed.lines[0].1;
            (healthy.waiting_bytes() <= 256 * 1024).then_some(())
        };
        eventually(async || is_taken()).await;
    }
    let digest = Digest::sha256(&pushed);
    teed.claim(&digest, None);
    teed.whole();
    teed.commit();
    until_count(&rig, TeeOutcome::Committed, 1).await;
    assert_eq!(size(&rig.remote, &digest).await, Some(pushed.len() as u64));
    assert_eq!(count(&rig, TeeOutcome::Slow), 1);
    stop.cancel();
}

/// It is not tried again for a while, and no bytes are kept for it meanwhile.
#[tokio::test]
async fn a_target_that_takes_nothing_for_some_time_rests() {
    let config = Config {
        tee_memory_mib: 1,
        ..Config::default()
    };
    let rig = Rig::with(sqlite().await, config).await;
    rig.policy(|_| {}).await;
    rig.remote
        .script(|ask| ask.is_upload_of_data().then_some(Reply::Silence));
    // Together they hold enough for the memory to be short.
    let uploads: Vec<_> = (0..4)
        .map(|_| begin(&rig, "library/app").unwrap())
        .collect();
    eventually(async || {
        for teed in &uploads {
            teed.take(&blob(PIECE_BYTES).into());
        }
        (count(&rig, TeeOutcome::Slow) > 0).then_some(())
    })
    .await;
    let before = count(&rig, TeeOutcome::Slow);
    assert!(begin(&rig, "library/app").is_none());
    assert!(count(&rig, TeeOutcome::Slow) > before);
}

#[tokio::test]
async fn a_target_that_is_gone_does_not_matter_to_the_push() {
    let rig = Rig::new(sqlite().await).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let new = NewRegistry {
        url: format!("http://{}", listener.local_addr().unwrap()),
        ..rig.new_registry()
    };
    let peer = tokio::spawn(say_yes(listener));
    let destination = rig.replication.create_registry(new).await.unwrap();
    peer.abort();
    assert!(peer.await.unwrap_err().is_cancelled(), "its port is closed");
    let spec = PolicySpec {
        destination,
        ..spec()
    };
    rig.replication.create_policy(&spec).await.unwrap();
    pass(&rig, "library/app", &blob(1024 * 1024));
    until_count(&rig, TeeOutcome::Refused, 1).await;
}

/// A registry to whoever asks only whether it is one.
async fn say_yes(listener: TcpListener) {
    loop {
        let (mut stream, _peer) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let yes = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let _ = stream.write_all(yes).await;
    }
}

#[tokio::test]
async fn the_job_finds_what_came_with_the_push_and_waits_for_the_rest() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        let (config, layer) = (json!({}).to_string().into_bytes(), blob(1024 * 1024));
        let mut descriptors = Vec::new();
        for blob in [&config, &layer] {
            let digest = Digest::sha256(blob);
            let body = Body::from(blob.clone());
            let (repository, size) = (name("library/app"), blob.len() as u64);
            let put = rig.local.put_blob(&repository, &digest, size, body);
            put.await.unwrap();
            descriptors.push(json!({
                "mediaType": media_type::OCI_CONFIG, "digest": digest, "size": blob.len(),
            }));
        }
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": descriptors[0], "layers": [descriptors[1]],
        });
        let of = media_type::OCI_MANIFEST;
        let digest = push_manifest(&rig.local, "library/app", "v1", of, &manifest).await;
        pass(&rig, "library/app", &config);
        let teed = begin(&rig, "library/app").unwrap();
        give(&teed, &layer);
        teed.claim(&Digest::sha256(&layer), None);
        rig.work();
        rig.happen(&push("library/app", "v1")).await;
        eventually(async || {
            let execution = rig.all_executions().await.pop()?;
            let logs = rig.logs(execution.id).await;
            logs.contains("pull manifest:").then_some(())
        })
        .await;
        teed.whole();
        teed.commit();
        let executions = rig.settled().await;
        let logs = rig.logs(executions[0].id).await;
        assert_eq!(executions[0].status, Status::Succeed, "{logs}");
        assert_eq!(rig.remote.digest("library/app", "v1").await, Some(digest));
        assert_eq!(count(&rig, TeeOutcome::Committed), 2);
        assert_eq!(logs.matches("copied in").count(), 0, "{logs}");
    }
}

#[tokio::test]
async fn two_pushes_of_one_blob_send_it_once() {
    let rig = Rig::new(sqlite().await).await;
    rig.policy(|_| {}).await;
    let blob = blob(1024 * 1024);
    let first = begin(&rig, "library/app").unwrap();
    give(&first, &blob);
    first.claim(&Digest::sha256(&blob), None);
    pass(&rig, "library/other", &blob);
    until_count(&rig, TeeOutcome::Elsewhere, 1).await;
    first.whole();
    first.commit();
    until_count(&rig, TeeOutcome::Committed, 1).await;
    assert_eq!(open_sessions(&rig.remote.folder), 0);
}

/// A change of a policy, and whether blobs are still sent on then.
type Turn<'a> = (&'a dyn Fn(&mut PolicySpec), bool);

#[tokio::test]
async fn only_what_a_policy_wants_at_once_is_sent_on() {
    let rig = Rig::new(sqlite().await).await;
    let names = |value: &str| serde_json::from_value(json!([{"type": "name", "value": value}]));
    let id = rig
        .policy(|spec| spec.filters = names("library/**").unwrap())
        .await;
    let wanted = rig.replication.policy(id).await.unwrap().spec;
    assert!(begin(&rig, "library/app").is_some());
    assert!(begin(&rig, "team/app").is_none());
    let from = |origin: &str| {
        rig.replication
            .tee(&name("library/app"), &Origin::parse(origin))
    };
    assert!(from("elsewhere").is_some());
    assert!(from(rig.replication.installation()).is_none());
    let tagged = json!([{"type": "tag", "value": "v*"}]);
    let changes: [Turn<'_>; 6] = [
        (&|spec| spec.tee = false, false),
        (&|spec| spec.enabled = false, false),
        (&|spec| spec.trigger = Trigger::Manual, false),
        (&|spec| spec.speed_kbps = Some(1024), false),
        (
            &|spec| spec.filters = serde_json::from_value(tagged.clone()).unwrap(),
            true,
        ),
        (&|spec| spec.namespace.path = "backup".to_owned(), true),
    ];
    for (turn, (change, is_sent)) in changes.into_iter().enumerate() {
        let mut spec = wanted.clone();
        change(&mut spec);
        rig.replication.update_policy(id, &spec).await.unwrap();
        assert_eq!(begin(&rig, "library/app").is_some(), is_sent, "{turn}");
    }
    let off = rig
        .another(Config {
            tee: false,
            ..Config::default()
        })
        .await;
    assert!(off.tee(&name("library/app"), &Origin::default()).is_none());
}

#[tokio::test]
async fn more_uploads_than_allowed_are_left_to_the_jobs() {
    let config = Config {
        tee_uploads: 1,
        ..Config::default()
    };
    let rig = Rig::with(sqlite().await, config).await;
    rig.policy(|_| {}).await;
    let first = begin(&rig, "library/app").unwrap();
    assert!(begin(&rig, "library/app").is_none());
    assert_eq!(count(&rig, TeeOutcome::Busy), 1);
    drop(first);
    eventually(async || begin(&rig, "library/app")).await;
}
