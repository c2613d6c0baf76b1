use std::{fs, os::unix::fs::symlink, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Fixture, fixture::files};
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    embedded::{Config, Durability, Error, Registry},
    oci::Digest,
};

#[tokio::test]
async fn what_a_killed_process_left_is_not_visible_and_is_swept_when_old() {
    let mut fixture = Fixture::new();
    fixture.push_image("a/b", "v1", b"layer").await;
    let abandoned = fixture.begin("a/b").await;
    let patch = format!("PATCH {abandoned}");
    fixture.send(&patch, &[], "half a blob").await.is(202);
    fs::write(fixture.root().join("tmp/half-a-link"), "sha256:0").unwrap();
    let visible = files(&fixture.root().join("docker"));
    fixture.reopen();
    let half = Digest::sha256(b"half a blob");
    fixture
        .ask(&format!("HEAD /v2/a/b/blobs/{half}"))
        .await
        .is(404);

    let stop = CancellationToken::new();
    stop.cancel();
    // The files were written now; the clock stands at the beginning of time.
    fixture.registry().clone().sweep_uploads(stop.clone()).await;
    fixture.ask(&format!("GET {abandoned}")).await.is(204);

    let age = SystemClock.now().since(Timestamp::default()) + Duration::from_hours(23);
    fixture.clock.advance(age);
    fixture.registry().clone().sweep_uploads(stop.clone()).await;
    fixture.ask(&format!("GET {abandoned}")).await.is(204);

    fixture.clock.advance(Duration::from_hours(2));
    fixture.registry().clone().sweep_uploads(stop).await;
    let reply = fixture.ask(&format!("GET {abandoned}")).await;
    reply.refuses(404, "BLOB_UPLOAD_UNKNOWN");
    assert!(files(&fixture.root().join("uploads")).is_empty());
    assert!(files(&fixture.root().join("tmp")).is_empty());
    assert_eq!(files(&fixture.root().join("docker")), visible);
    fixture.ask("GET /v2/a/b/manifests/v1").await.is(200);
}

#[tokio::test]
async fn an_upload_in_progress_is_not_swept() {
    let fixture = Fixture::new();
    let location = fixture.begin("a/b").await;
    let (mut sender, body) =
        http_body_util::channel::Channel::<bytes::Bytes, crate::wire::BoxError>::new(1);
    sender.send_data(b"12345".as_slice().into()).await.unwrap();
    let digest = Digest::sha256(b"12345");
    let put = format!("PUT {location}?digest={digest}");
    let writing = fixture.send(&put, &[], crate::wire::Body::boxed(body));
    let sweeping = async {
        while sender.capacity() == 0 {
            tokio::task::yield_now().await;
        }
        let years = Duration::from_hours(24 * 365 * 100);
        fixture.clock.advance(years);
        let stop = CancellationToken::new();
        stop.cancel();
        fixture.registry().clone().sweep_uploads(stop).await;
        drop(sender);
    };
    let (reply, ()) = tokio::join!(writing, sweeping);
    reply.is(201);
}

#[tokio::test]
async fn a_link_without_its_blob_is_no_blob() {
    let fixture = Fixture::new();
    let json = fixture.image("a/b", b"layer", "").await;
    fixture.put_manifest("a/b", "v1", &json).await.is(201);
    let layer = Digest::sha256(b"layer");
    let hex = layer.hex();
    let data = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
    fs::remove_file(fixture.root().join(data)).unwrap();
    for method in ["HEAD", "GET"] {
        let target = format!("{method} /v2/a/b/blobs/{layer}");
        fixture.ask(&target).await.is(404);
    }
    let reply = fixture.put_manifest("a/b", "v2", &json).await;
    reply.refuses(400, "MANIFEST_BLOB_UNKNOWN");
    let mount = format!("POST /v2/a/c/blobs/uploads/?mount={layer}&from=a/b");
    fixture.ask(&mount).await.is(202);
    // Pushing it again mends it.
    fixture.push_blob("a/b", b"layer").await;
    fixture.put_manifest("a/b", "v2", &json).await.is(201);
}

#[tokio::test]
async fn an_unfinished_tag_is_no_tag() {
    let fixture = Fixture::new();
    fixture.push_image("a/b", "v1", b"layer").await;
    let tags = "docker/registry/v2/repositories/a/b/_manifests/tags";
    fs::create_dir_all(fixture.root().join(tags).join("half/current")).unwrap();
    let reply = fixture.ask("GET /v2/a/b/tags/list").await;
    assert_eq!(reply.json()["tags"], serde_json::json!(["v1"]));
    let reply = fixture.ask("GET /v2/a/b/manifests/half").await;
    reply.refuses(404, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn a_referrer_whose_manifest_was_never_finished_is_not_listed() {
    let fixture = Fixture::new();
    let subject = fixture.push_image("a/b", "v1", b"layer").await;
    let unfinished = Digest::sha256(b"unfinished");
    let folder = fixture.root().join(format!(
        "docker/registry/v2/repositories/a/b/_referrers/sha256/{}",
        subject.hex()
    ));
    fs::create_dir_all(&folder).unwrap();
    let entry = format!(r#"{{"mediaType":"x/y","digest":"{unfinished}","size":1}}"#);
    fs::write(folder.join(format!("sha256-{}", unfinished.hex())), entry).unwrap();
    let reply = fixture
        .ask(&format!("GET /v2/a/b/referrers/{subject}"))
        .await;
    assert_eq!(reply.is(200).json()["manifests"], serde_json::json!([]));
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_is_stored() {
    let mut fixture = Fixture::new();
    let location = fixture.begin("a/b").await;
    fixture.reopen();
    // Every write to it fails as on a full disk.
    let id = location.rsplit('/').next().unwrap();
    let upload = fixture.root().join("uploads").join(id);
    fs::remove_file(&upload).unwrap();
    symlink("/dev/full", &upload).unwrap();
    let digest = Digest::sha256(b"12345");
    let put = format!("PUT {location}?digest={digest}");
    let reply = fixture.send(&put, &[], "12345").await;
    reply.refuses(503, "UNAVAILABLE");
    let message = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(message.contains("storage is full"), "{message}");
    fixture
        .ask(&format!("HEAD /v2/a/b/blobs/{digest}"))
        .await
        .is(404);
    fixture.ask(&format!("GET {location}")).await.is(404);
    assert!(files(&fixture.root().join("uploads")).is_empty());
}

#[tokio::test]
async fn one_process_has_a_registry_open_at_a_time() {
    let fixture = Fixture::new();
    let second = Registry::open(fixture.root(), fixture.clock.clone());
    assert!(matches!(second, Err(Error::InUse { .. })), "{second:?}");
}

#[tokio::test]
async fn a_registry_that_syncs_serves_the_same() {
    let mut fixture = Fixture::new();
    fixture.reopen_with(&Config {
        durability: Durability::Synced,
        ..Config::default()
    });
    let digest = fixture.push_image("a/b", "v1", b"layer").await;
    fixture.push_image("a/b", "v1", b"other").await;
    fixture
        .ask(&format!("DELETE /v2/a/b/manifests/{digest}"))
        .await
        .is(202);
    fixture.ask("DELETE /v2/a/b/manifests/v1").await.is(202);
    let tags = fixture.ask("GET /v2/a/b/tags/list").await;
    assert_eq!(tags.json()["tags"], serde_json::json!([]));
}

#[tokio::test]
async fn pushes_and_deletes_of_one_tag_at_once_leave_no_tag_without_its_manifest() {
    let fixture = Fixture::new();
    let json = fixture.image("a/b", b"layer", "").await;
    let digest = Digest::sha256(json.as_bytes());
    let delete = format!("DELETE /v2/a/b/manifests/{digest}");
    for _ in 0..50 {
        let pushing = fixture.put_manifest("a/b", "v1", &json);
        let (pushed, deleted) = tokio::join!(pushing, fixture.ask(&delete));
        pushed.is(201);
        assert!([202, 404].contains(&deleted.status.as_u16()));
        let by_digest = fixture
            .ask(&format!("HEAD /v2/a/b/manifests/{digest}"))
            .await;
        let tags = fixture.ask("GET /v2/a/b/tags/list").await.json();
        let is_tagged = tags["tags"] == serde_json::json!(["v1"]);
        assert_eq!(is_tagged, by_digest.status == 200);
    }
}
