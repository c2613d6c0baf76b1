use super::Fixture;
use crate::oci::{Algorithm, Digest, MAX_MANIFEST_BYTES, media_type};

#[tokio::test]
async fn a_manifest_that_refers_to_what_is_not_there_is_refused() {
    let fixture = Fixture::new();
    let json = fixture.image("a/b", b"layer", "").await;
    // The blobs are known, but not in this repository.
    let reply = fixture.put_manifest("a/c", "v1", &json).await;
    reply.refuses(400, "MANIFEST_BLOB_UNKNOWN");
    let layer = Digest::sha256(b"layer");
    let message = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(message.contains(layer.as_str()), "{message}");
    let index = index_of(&Digest::sha256(json.as_bytes()), json.len());
    let reply = fixture.put_manifest("a/b", "v1", &index).await;
    reply.refuses(400, "MANIFEST_BLOB_UNKNOWN");
    for target in ["GET /v2/a/b/manifests/v1", "GET /v2/a/c/manifests/v1"] {
        fixture.ask(target).await.refuses(404, "MANIFEST_UNKNOWN");
    }
}

#[tokio::test]
async fn a_manifest_with_another_size_than_the_blob_has_is_refused() {
    let fixture = Fixture::new();
    let json = fixture.image("a/b", b"layer", "").await;
    for (size, other) in [(2, 1), (2, 3), (5, 0), (5, 6)] {
        let (size, other) = (format!("\"size\":{size}}}"), format!("\"size\":{other}}}"));
        let reply = fixture
            .put_manifest("a/b", "v1", &json.replace(&size, &other))
            .await;
        reply.refuses(400, "MANIFEST_INVALID");
    }
    fixture
        .ask("GET /v2/a/b/manifests/v1")
        .await
        .refuses(404, "MANIFEST_UNKNOWN");
    fixture.put_manifest("a/b", "v1", &json).await.is(201);
}

#[tokio::test]
async fn an_index_of_pushed_manifests_is_taken() {
    let fixture = Fixture::new();
    let json = fixture.image("a/b", b"layer", "").await;
    let child = Digest::sha256(json.as_bytes());
    fixture
        .put_manifest("a/b", child.as_str(), &json)
        .await
        .is(201);
    let index = index_of(&child, json.len());
    fixture.put_manifest("a/b", "all", &index).await.is(201);
    let reply = fixture.ask("GET /v2/a/b/manifests/all").await;
    assert_eq!(reply.is(200).header("content-type"), media_type::OCI_INDEX);
    assert_eq!(reply.body, index.as_bytes());
}

#[tokio::test]
async fn layers_that_must_not_be_distributed_and_subjects_may_be_absent() {
    let fixture = Fixture::new();
    fixture.push_blob("a/b", b"{}").await;
    let (config, absent) = (Digest::sha256(b"{}"), Digest::sha256(b"absent"));
    for layer_type in [
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ] {
        let json = format!(
            r#"{{"config":{{"mediaType":"x/y","digest":"{config}","size":2}},"layers":[{{"mediaType":"{layer_type}","digest":"{absent}","size":6}}],"subject":{{"mediaType":"x/y","digest":"{absent}","size":6}}}}"#
        );
        let reply = fixture.put_manifest("a/b", "v1", &json).await;
        assert_eq!(reply.is(201).header("oci-subject"), absent.as_str());
    }
}

#[tokio::test]
async fn a_manifest_keeps_the_media_type_it_was_pushed_with() {
    let fixture = Fixture::new();
    let plain = fixture.image("a/b", b"layer", "").await;
    let spoken = |kind: &str| plain.replacen('{', &format!(r#"{{"mediaType":"{kind}","#), 1);
    for (tag, json, kind) in [
        ("oci", plain.clone(), media_type::OCI_MANIFEST),
        (
            "docker",
            plain.replace("},", "} ,"),
            media_type::DOCKER_MANIFEST,
        ),
        (
            "inside",
            spoken(media_type::DOCKER_MANIFEST),
            media_type::DOCKER_MANIFEST,
        ),
    ] {
        let target = format!("PUT /v2/a/b/manifests/{tag}");
        let with_parameter = format!("{kind}; charset=utf-8");
        let headers = [("content-type", with_parameter.as_str())];
        fixture.send(&target, &headers, json).await.is(201);
        let reply = fixture.ask(&format!("HEAD /v2/a/b/manifests/{tag}")).await;
        assert_eq!(reply.is(200).header("content-type"), kind, "{tag}");
    }
}

#[tokio::test]
async fn a_push_by_digest_may_name_many_tags() {
    let fixture = Fixture::new();
    let json = fixture.image("a/b", b"layer", "").await;
    let digest = Digest::sha256(json.as_bytes());
    let reference = format!("{digest}?tag=v1&tag=v1.0&tag=latest");
    let reply = fixture.put_manifest("a/b", &reference, &json).await;
    let echoed: Vec<_> = reply.is(201).headers.get_all("oci-tag").iter().collect();
    assert_eq!(echoed, ["v1", "v1.0", "latest"]);
    for tag in ["v1", "v1.0", "latest"] {
        let reply = fixture.ask(&format!("HEAD /v2/a/b/manifests/{tag}")).await;
        assert_eq!(
            reply.is(200).header("docker-content-digest"),
            digest.as_str()
        );
    }
    let twice = fixture.put_manifest("a/b", "v2?tag=v3", &json).await;
    twice.refuses(400, "UNSUPPORTED");
    fixture.ask("GET /v2/a/b/manifests/v3").await.is(404);
}

#[tokio::test]
async fn a_manifest_may_be_pushed_by_its_sha512() {
    let fixture = Fixture::new();
    let json = fixture.image("a/b", b"layer", "").await;
    let digest = Digest::of(Algorithm::Sha512, json.as_bytes());
    let reply = fixture.put_manifest("a/b", digest.as_str(), &json).await;
    assert_eq!(
        reply.is(201).header("docker-content-digest"),
        digest.as_str()
    );
    let pulled = fixture
        .ask(&format!("GET /v2/a/b/manifests/{digest}"))
        .await;
    assert_eq!(pulled.is(200).body, json.as_bytes());
}

#[tokio::test]
async fn a_tag_moves_to_what_was_pushed_last() {
    let fixture = Fixture::new();
    let first = fixture.push_image("a/b", "v1", b"first").await;
    let second = fixture.push_image("a/b", "v1", b"second").await;
    let reply = fixture.ask("HEAD /v2/a/b/manifests/v1").await;
    assert_eq!(reply.header("docker-content-digest"), second.as_str());
    let target = format!("HEAD /v2/a/b/manifests/{first}");
    fixture.ask(&target).await.is(200);
}

#[tokio::test]
async fn deleting_a_tag_leaves_the_manifest_and_other_tags() {
    let fixture = Fixture::new();
    let digest = fixture.push_image("a/b", "v1", b"layer").await;
    fixture.push_image("a/b", "v2", b"layer").await;
    fixture.ask("DELETE /v2/a/b/manifests/v1").await.is(202);
    let again = fixture.ask("DELETE /v2/a/b/manifests/v1").await;
    again.refuses(404, "MANIFEST_UNKNOWN");
    fixture.ask("HEAD /v2/a/b/manifests/v1").await.is(404);
    for reference in ["v2", digest.as_str()] {
        let target = format!("HEAD /v2/a/b/manifests/{reference}");
        fixture.ask(&target).await.is(200);
    }
}

#[tokio::test]
async fn deleting_a_digest_takes_its_tags_along_and_no_others() {
    let fixture = Fixture::new();
    let digest = fixture.push_image("a/b", "v1", b"layer").await;
    fixture.push_image("a/b", "v2", b"layer").await;
    fixture.push_image("a/b", "v3", b"other").await;
    fixture.push_image("a/c", "v1", b"layer").await;
    let target = format!("DELETE /v2/a/b/manifests/{digest}");
    fixture.ask(&target).await.is(202);
    fixture.ask(&target).await.refuses(404, "MANIFEST_UNKNOWN");
    let tags = fixture.ask("GET /v2/a/b/tags/list").await.json();
    assert_eq!(tags["tags"], serde_json::json!(["v3"]));
    let elsewhere = format!("HEAD /v2/a/c/manifests/{digest}");
    fixture.ask(&elsewhere).await.is(200);
}

#[tokio::test]
async fn a_manifest_the_client_has_is_not_sent_again() {
    let fixture = Fixture::new();
    let digest = fixture.push_image("a/b", "v1", b"layer").await;
    let headers = [("if-none-match", digest.as_str())];
    let reply = fixture.send("GET /v2/a/b/manifests/v1", &headers, "").await;
    assert!(reply.is(304).body.is_empty());
    assert_eq!(reply.header("docker-content-digest"), digest.as_str());
    fixture.push_image("a/b", "v1", b"newer").await;
    fixture
        .send("GET /v2/a/b/manifests/v1", &headers, "")
        .await
        .is(200);
}

#[tokio::test]
async fn manifests_of_4_mebibytes_are_taken_and_larger_ones_refused() {
    let fixture = Fixture::new();
    let json = fixture.image("a/b", b"layer", "").await;
    let padded = format!("{json}{}", " ".repeat(MAX_MANIFEST_BYTES - json.len()));
    fixture.put_manifest("a/b", "large", &padded).await.is(201);
    let reply = fixture
        .put_manifest("a/b", "larger", &format!("{padded} "))
        .await;
    reply.refuses(413, "MANIFEST_INVALID");
}

fn index_of(child: &Digest, size: usize) -> String {
    format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{}","digest":"{child}","size":{size}}}]}}"#,
        media_type::OCI_MANIFEST
    )
}
