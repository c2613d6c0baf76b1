use super::Fixture;
use crate::oci::{Digest, media_type};

/// Requests that are wrong in themselves, as the specification's conformance tests try them.
#[expect(clippy::too_many_lines, reason = "a table")]
#[tokio::test]
async fn wrong_requests_are_refused_with_the_specified_codes() {
    let fixture = Fixture::new();
    fixture.push_image("a/b", "v1", b"layer").await;
    let location = fixture.begin("a/b").await;
    let absent = Digest::sha256(b"absent");
    let md5 = "md5:d41d8cd98f00b204e9800998ecf8427e";
    let long_tag = "a".repeat(129);
    let cases: Vec<(String, u16, &str)> = vec![
        (
            "GET /v2/a/b/manifests/absent".into(),
            404,
            "MANIFEST_UNKNOWN",
        ),
        (
            format!("GET /v2/a/b/manifests/{absent}"),
            404,
            "MANIFEST_UNKNOWN",
        ),
        (
            "GET /v2/nowhere/manifests/v1".into(),
            404,
            "MANIFEST_UNKNOWN",
        ),
        (
            format!("DELETE /v2/a/b/manifests/{absent}"),
            404,
            "MANIFEST_UNKNOWN",
        ),
        (
            format!("GET /v2/a/b/manifests/{md5}"),
            400,
            "DIGEST_INVALID",
        ),
        (
            format!("GET /v2/a/b/manifests/{long_tag}"),
            400,
            "TAG_INVALID",
        ),
        ("GET /v2/a/B/manifests/v1".into(), 400, "NAME_INVALID"),
        (format!("GET /v2/a/b/blobs/{absent}"), 404, "BLOB_UNKNOWN"),
        (
            format!("DELETE /v2/a/b/blobs/{absent}"),
            404,
            "BLOB_UNKNOWN",
        ),
        (format!("GET /v2/a/b/blobs/{md5}"), 400, "DIGEST_INVALID"),
        ("GET /v2/a/b/blobs/sha256:abc".into(), 400, "DIGEST_INVALID"),
        (
            format!("GET /v2/a/b/referrers/{md5}"),
            400,
            "DIGEST_INVALID",
        ),
        (
            "POST /v2/a/b/blobs/uploads/?digest-algorithm=md5".into(),
            400,
            "DIGEST_INVALID",
        ),
        (
            format!("POST /v2/a/b/blobs/uploads/?digest={md5}"),
            400,
            "DIGEST_INVALID",
        ),
        (format!("PUT {location}"), 400, "DIGEST_INVALID"),
        (
            format!("PUT {location}?digest={md5}"),
            400,
            "DIGEST_INVALID",
        ),
        (
            format!("GET {}", location.replace("a/b", "a/c")),
            404,
            "BLOB_UPLOAD_UNKNOWN",
        ),
        (
            format!("PATCH {}", location.replace("a/b", "a/c")),
            404,
            "BLOB_UPLOAD_UNKNOWN",
        ),
        (
            format!("DELETE {}", location.replace("a/b", "a/c")),
            404,
            "BLOB_UPLOAD_UNKNOWN",
        ),
        (
            "GET /v2/a/b/blobs/uploads/absent".into(),
            404,
            "BLOB_UPLOAD_UNKNOWN",
        ),
        (
            "PATCH /v2/a/b/blobs/uploads/absent".into(),
            404,
            "BLOB_UPLOAD_UNKNOWN",
        ),
        (
            format!("PUT /v2/a/b/blobs/uploads/absent?digest={absent}"),
            404,
            "BLOB_UPLOAD_UNKNOWN",
        ),
        ("GET /v2/nowhere/tags/list".into(), 404, "NAME_UNKNOWN"),
        (
            "GET /v2/a/b/tags/list?n=-1".into(),
            400,
            "PAGINATION_NUMBER_INVALID",
        ),
        (
            "GET /v2/_catalog?n=x".into(),
            400,
            "PAGINATION_NUMBER_INVALID",
        ),
        ("GET /v2/a/b".into(), 404, "UNSUPPORTED"),
        ("POST /v2/_catalog".into(), 405, "UNSUPPORTED"),
        (format!("PUT /v2/a/b/blobs/{absent}"), 405, "UNSUPPORTED"),
    ];
    for (target, status, code) in cases {
        let reply = fixture.ask(&target).await;
        reply.refuses(status, code);
        assert_eq!(reply.header("content-type"), "application/json", "{target}");
        assert_eq!(
            reply.header("docker-distribution-api-version"),
            "registry/2.0"
        );
        assert_eq!(reply.header("content-length"), reply.body.len().to_string());
    }
    let reply = fixture.ask("POST /v2/_catalog").await;
    assert_eq!(reply.header("allow"), "GET, HEAD");
}

#[tokio::test]
async fn wrong_manifests_are_refused_with_the_specified_codes() {
    let fixture = Fixture::new();
    let json = fixture.image("a/b", b"layer", "").await;
    let spoken = json.replacen(
        '{',
        r#"{"mediaType":"application/vnd.oci.image.index.v1+json","#,
        1,
    );
    let other = Digest::sha256(b"other");
    let oci = media_type::OCI_MANIFEST;
    let cases: &[(&str, Option<&str>, &str, u16, &str)] = &[
        ("v1", Some(oci), "", 400, "MANIFEST_INVALID"),
        ("v1", Some(oci), "{", 400, "MANIFEST_INVALID"),
        ("v1", Some(oci), "[]", 400, "MANIFEST_INVALID"),
        (
            "v1",
            Some(oci),
            r#"{"config":{"digest":"md5:1","size":1}}"#,
            400,
            "MANIFEST_INVALID",
        ),
        ("v1", None, &json, 400, "MANIFEST_INVALID"),
        ("v1", Some("text/plain"), &json, 400, "MANIFEST_INVALID"),
        ("v1", Some(oci), &spoken, 400, "MANIFEST_INVALID"),
        (other.as_str(), Some(oci), &json, 400, "DIGEST_INVALID"),
        (&"a".repeat(129), Some(oci), &json, 400, "TAG_INVALID"),
    ];
    for (reference, kind, body, status, code) in cases {
        let headers: Vec<_> = kind.iter().map(|kind| ("content-type", *kind)).collect();
        let target = format!("PUT /v2/a/b/manifests/{reference}");
        let reply = fixture.send(&target, &headers, (*body).to_owned()).await;
        reply.refuses(*status, code);
    }
    let tags = fixture.ask("GET /v2/a/b/tags/list").await;
    assert_eq!(tags.json()["tags"], serde_json::json!([]));
}

#[tokio::test]
async fn the_ping_tells_which_api_this_is() {
    let fixture = Fixture::new();
    for target in ["GET /v2/", "GET /v2", "HEAD /v2/"] {
        let reply = fixture.ask(target).await;
        assert_eq!(
            reply.is(200).header("docker-distribution-api-version"),
            "registry/2.0"
        );
        assert_eq!(reply.header("content-length"), "2");
    }
}
