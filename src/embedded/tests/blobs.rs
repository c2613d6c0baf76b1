use super::Fixture;
use crate::oci::Digest;

#[tokio::test]
async fn a_blob_is_described_the_same_with_and_without_its_content() {
    let fixture = Fixture::new();
    let digest = fixture.push_blob("a/b", b"0123456789").await;
    for method in ["GET", "HEAD"] {
        let reply = fixture
            .ask(&format!("{method} /v2/a/b/blobs/{digest}"))
            .await;
        assert_eq!(reply.is(200).header("content-length"), "10");
        assert_eq!(reply.header("content-type"), "application/octet-stream");
        assert_eq!(reply.header("docker-content-digest"), digest.as_str());
        assert_eq!(reply.header("etag"), format!("\"{digest}\""));
        assert_eq!(reply.header("accept-ranges"), "bytes");
        assert_eq!(reply.body.is_empty(), method == "HEAD");
    }
}

#[tokio::test]
async fn parts_of_a_blob_are_served() {
    let fixture = Fixture::new();
    let content: Vec<u8> = (0..600_000_u32).map(|n| (n % 251) as u8).collect();
    let digest = fixture.push_blob("a/b", &content).await;
    let target = format!("GET /v2/a/b/blobs/{digest}");
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=262143-262144", 262_143, 262_144),
        ("bytes=300000-", 300_000, 599_999),
        ("bytes=-7", 599_993, 599_999),
    ] {
        let reply = fixture.send(&target, &[("range", range)], "").await;
        let expected = format!("bytes {first}-{last}/600000");
        assert_eq!(reply.is(206).header("content-range"), expected);
        let length = last - first + 1;
        assert_eq!(reply.header("content-length"), length.to_string());
        assert!(reply.body == content[first..=last], "{range}");
    }
    let reply = fixture
        .send(&target, &[("range", "bytes=0-1,4-5")], "")
        .await;
    assert!(reply.is(200).body == content);
    let beyond = [("range", "bytes=600000-")];
    let reply = fixture.send(&target, &beyond, "").await;
    reply.refuses(416, "RANGE_INVALID");
    assert_eq!(reply.header("content-range"), "bytes */600000");
    assert_eq!(reply.header("content-length"), reply.body.len().to_string());
}

#[tokio::test]
async fn a_blob_the_client_has_is_not_sent_again() {
    let fixture = Fixture::new();
    let digest = fixture.push_blob("a/b", b"x").await;
    let known = format!("\"{digest}\"");
    for method in ["GET", "HEAD"] {
        let target = format!("{method} /v2/a/b/blobs/{digest}");
        let reply = fixture
            .send(&target, &[("if-none-match", &known)], "")
            .await;
        assert!(reply.is(304).body.is_empty());
        assert_eq!(reply.header("etag"), known);
        let other = [("if-none-match", "\"other\"")];
        fixture.send(&target, &other, "").await.is(200);
    }
}

#[tokio::test]
async fn a_blob_is_seen_only_in_repositories_that_have_it() {
    let fixture = Fixture::new();
    let digest = fixture.push_blob("a/b", b"secret").await;
    fixture.push_blob("a/c", b"other").await;
    for name in ["a/c", "a", "a/b/c", "nowhere"] {
        for method in ["GET", "HEAD", "DELETE"] {
            let reply = fixture
                .ask(&format!("{method} /v2/{name}/blobs/{digest}"))
                .await;
            reply.is(404);
            if method != "HEAD" {
                reply.refuses(404, "BLOB_UNKNOWN");
            }
        }
    }
}

#[tokio::test]
async fn a_deleted_blob_is_gone_from_its_repository_alone() {
    let fixture = Fixture::new();
    let digest = fixture.push_blob("a/b", b"x").await;
    fixture.push_blob("a/c", b"x").await;
    let target = format!("DELETE /v2/a/b/blobs/{digest}");
    fixture.ask(&target).await.is(202);
    fixture.ask(&target).await.refuses(404, "BLOB_UNKNOWN");
    fixture
        .ask(&format!("HEAD /v2/a/b/blobs/{digest}"))
        .await
        .is(404);
    fixture
        .ask(&format!("HEAD /v2/a/c/blobs/{digest}"))
        .await
        .is(200);
    fixture.push_blob("a/b", b"x").await;
    fixture
        .ask(&format!("HEAD /v2/a/b/blobs/{digest}"))
        .await
        .is(200);
}

#[tokio::test]
async fn the_empty_blob_is_a_blob() {
    let fixture = Fixture::new();
    let digest = Digest::sha256(b"");
    let location = fixture.begin("a/b").await;
    let end = format!("PUT {location}?digest={digest}");
    fixture.ask(&end).await.is(201);
    let reply = fixture.ask(&format!("GET /v2/a/b/blobs/{digest}")).await;
    assert_eq!(reply.is(200).header("content-length"), "0");
    assert!(reply.body.is_empty());
}
