use super::Fixture;
use crate::oci::{Digest, media_type};

#[tokio::test]
async fn an_image_that_was_pushed_is_pulled_by_tag_and_by_digest() {
    let fixture = Fixture::new();
    let json = fixture.image("team/app", b"layer", "").await;
    let digest = Digest::sha256(json.as_bytes());
    let pushed = fixture.put_manifest("team/app", "v1", &json).await;
    pushed.is(201);
    assert_eq!(pushed.header("docker-content-digest"), digest.as_str());
    assert_eq!(
        pushed.header("location"),
        format!("/v2/team/app/manifests/{digest}")
    );
    for reference in ["v1", digest.as_str()] {
        let target = format!("/v2/team/app/manifests/{reference}");
        let pulled = fixture.ask(&format!("GET {target}")).await;
        assert_eq!(pulled.is(200).body, json.as_bytes());
        let head = fixture.ask(&format!("HEAD {target}")).await;
        assert!(head.is(200).body.is_empty());
        for reply in [&pulled, &head] {
            assert_eq!(reply.header("content-type"), media_type::OCI_MANIFEST);
            assert_eq!(reply.header("content-length"), json.len().to_string());
            assert_eq!(reply.header("docker-content-digest"), digest.as_str());
            assert_eq!(reply.header("etag"), format!("\"{digest}\""));
        }
    }
    let layer = Digest::sha256(b"layer");
    let blob = fixture
        .ask(&format!("GET /v2/team/app/blobs/{layer}"))
        .await;
    assert_eq!(blob.is(200).body, b"layer");
}

#[tokio::test]
async fn a_blob_is_pushed_as_each_client_does_it() {
    let content = vec![7; 700_000];
    let digest = Digest::sha256(&content);
    let fixture = Fixture::new();
    // containerd: POST, PUT.
    let location = fixture.begin("a/containerd").await;
    let end = format!("PUT {location}?digest={digest}");
    let done = fixture.send(&end, &[], content.clone()).await;
    assert_eq!(
        done.is(201).header("location"),
        format!("/v2/a/containerd/blobs/{digest}")
    );
    // docker: POST, one PATCH without a length, empty PUT.
    let location = fixture.begin("a/docker").await;
    let chunk = fixture
        .send(&format!("PATCH {location}"), &[], content.clone())
        .await;
    assert_eq!(chunk.is(202).header("range"), "0-699999");
    let end = format!("PUT {location}?digest={digest}");
    fixture.ask(&end).await.is(201);
    // In chunks, the last with the PUT.
    let location = fixture.begin("a/chunks").await;
    for (range, part) in [
        ("0-299999", 0..300_000),
        ("300000-599999", 300_000..600_000),
    ] {
        let headers = [("content-range", range)];
        let part = content[part].to_vec();
        let reply = fixture
            .send(&format!("PATCH {location}"), &headers, part)
            .await;
        reply.is(202);
    }
    let end = format!("PUT {location}?digest={digest}");
    let headers = [("content-range", "600000-699999")];
    let rest = content[600_000..].to_vec();
    fixture.send(&end, &headers, rest).await.is(201);
    // At once.
    fixture.push_blob("a/once", &content).await;

    for name in ["containerd", "docker", "chunks", "once"] {
        let reply = fixture
            .ask(&format!("GET /v2/a/{name}/blobs/{digest}"))
            .await;
        assert!(reply.is(200).body == content, "{name}");
    }
}
