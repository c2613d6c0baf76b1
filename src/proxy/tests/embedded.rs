//! A push, a pull and a delete as clients do them, over the embedded registry.

use super::world::{Listener, Stub, World, request, respond};
use crate::{
    clock::SystemClock,
    embedded::Registry,
    oci::{Digest, media_type},
    proxy::{Config, Keep, Upstream},
    wire::{Body, Exchange},
};

async fn world(exchange: Exchange) -> World {
    let upstream = Upstream {
        exchange,
        url: None,
        keep: Keep::Gets,
    };
    World::over(upstream, Listener::wanting(), Config::default()).await
}

#[tokio::test]
async fn an_image_goes_in_and_comes_out() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::open(directory.path(), std::sync::Arc::new(SystemClock)).unwrap();
    let world = world(registry.exchange()).await;
    let token = world.bearer("alice", &["team/app:*", "team/copy:*"]);
    let (config, layer) = ("{}", "layer bytes");
    for blob in [config, layer] {
        let begun = world
            .ask("POST", "/v2/team/app/blobs/uploads/", &token)
            .await;
        assert_eq!(begun.status, 202, "{}", begun.text());
        let location = begun.header("location").to_owned();
        let patch = request("PATCH", &location, &token, Body::from(blob));
        let patched = world.send(patch).await;
        assert_eq!(patched.status, 202, "{}", patched.text());
        let location = patched.header("location");
        let joint = if location.contains('?') { '&' } else { '?' };
        let put = format!(
            "{location}{joint}digest={}",
            Digest::sha256(blob.as_bytes())
        );
        assert_eq!(world.ask("PUT", &put, &token).await.status, 201);
    }
    let descriptor = |kind: &str, blob: &str| {
        let digest = Digest::sha256(blob.as_bytes());
        format!(
            r#"{{"mediaType":"{kind}","digest":"{digest}","size":{}}}"#,
            blob.len()
        )
    };
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
        media_type::OCI_MANIFEST,
        descriptor(media_type::OCI_CONFIG, config),
        descriptor(media_type::OCI_LAYER_GZIP, layer),
    );
    let mut put = request(
        "PUT",
        "/v2/team/app/manifests/v1",
        &token,
        Body::from(manifest.clone()),
    );
    put.headers_mut()
        .insert("content-type", media_type::OCI_MANIFEST.parse().unwrap());
    let pushed = world.send(put).await;
    assert_eq!(pushed.status, 201, "{}", pushed.text());
    let digest = Digest::sha256(manifest.as_bytes());
    assert_eq!(pushed.header("docker-content-digest"), digest.as_str());

    let pulled = world.ask("GET", "/v2/team/app/manifests/v1", &token).await;
    assert_eq!(pulled.text(), manifest);
    let head = world.ask("HEAD", "/v2/team/app/manifests/v1", &token).await;
    assert_eq!(head.header("content-length"), manifest.len().to_string());
    let layer_digest = Digest::sha256(layer.as_bytes());
    let blob = world
        .ask("GET", &format!("/v2/team/app/blobs/{layer_digest}"), &token)
        .await;
    assert_eq!(blob.text(), layer);
    let mount = format!("/v2/team/copy/blobs/uploads/?mount={layer_digest}&from=team/app");
    assert_eq!(world.ask("POST", &mount, &token).await.status, 201);

    let delete = world
        .ask(
            "DELETE",
            &format!("/v2/team/app/manifests/{digest}"),
            &token,
        )
        .await;
    assert_eq!(delete.status, 202);
    let gone = world.ask("GET", "/v2/team/app/manifests/v1", &token).await;
    assert_eq!(
        (gone.status.as_u16(), gone.code().as_str()),
        (404, "MANIFEST_UNKNOWN")
    );
    let concluded = world.observer.heard();
    let committed = concluded
        .iter()
        .filter(|line| line.starts_with("settle Committed"));
    assert_eq!(committed.count(), 2);
}

#[tokio::test]
async fn what_the_embedded_registry_says_of_its_failure_reaches_the_client() {
    for (status, retry_after) in [(503, "5"), (500, "")] {
        let registry = Stub::default().exchange(move |_| {
            respond(status, &[("content-type", "application/json")])
                .map(|_| Body::from("the storage is full"))
        });
        let world = world(registry).await;
        let token = world.bearer("alice", &["team/app:*"]);
        let answer = world
            .ask("POST", "/v2/team/app/blobs/uploads/", &token)
            .await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.text(), "the storage is full");
        assert_eq!(answer.header("retry-after"), retry_after, "{status}");
    }
}

#[tokio::test]
async fn of_two_first_pushes_of_an_immutable_tag_one_wins() {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::open(directory.path(), std::sync::Arc::new(SystemClock)).unwrap();
    let world = world(registry.exchange()).await;
    world.hold_tags("**").await;
    let token = world.bearer("alice", &["team/app:*"]);
    let push = |text: &str| {
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[],"annotations":{{"a":"{text}"}}}}"#,
            media_type::OCI_INDEX
        );
        let mut put = request(
            "PUT",
            "/v2/team/app/manifests/v1",
            &token,
            Body::from(manifest),
        );
        let content_type = media_type::OCI_INDEX.parse().unwrap();
        put.headers_mut().insert("content-type", content_type);
        world.send(put)
    };
    let answers = tokio::join!(push("one"), push("two"));
    let mut statuses = [answers.0.status.as_u16(), answers.1.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 412]);
    let winner = if answers.0.status == 201 {
        "one"
    } else {
        "two"
    };
    assert_eq!(push(winner).await.status, 201);
}
