//! Immutable tags over a registry that does not answer as it should.

use http::Response;

use super::world::{Answer, Listener, Seen, Stub, World, request, respond};
use crate::{
    oci::{Digest, media_type},
    proxy::Config,
    wire::Body,
};

const MANIFEST: &str = r#"{"schemaVersion":2,"layers":[]}"#;
const OTHER: &str = r#"{"schemaVersion":2,"layers":[],"annotations":{}}"#;
const DIGEST: &str = "docker-content-digest";

async fn put(world: &World, manifest: &'static str) -> Answer {
    let token = world.bearer("alice", &["team/app:*"]);
    let path = "/v2/team/app/manifests/v1";
    let mut request = request("PUT", path, &token, Body::from(manifest));
    let headers = request.headers_mut();
    headers.insert("content-type", media_type::OCI_MANIFEST.parse().unwrap());
    world.send(request).await
}

async fn delete(world: &World, digest: &Digest) -> Answer {
    let token = world.bearer("alice", &["team/app:*"]);
    let path = format!("/v2/team/app/manifests/{digest}");
    world.ask("DELETE", &path, &token).await
}

fn changes(stub: &Stub) -> Vec<String> {
    let mut lines = stub.lines();
    lines.retain(|line| line.starts_with("PUT ") || line.starts_with("DELETE "));
    lines
}

/// What stands after the last slash of the target, without the query.
fn last_step(seen: &Seen) -> &str {
    let path = seen.target.split('?').next().unwrap();
    path.rsplit('/').next().unwrap()
}

#[tokio::test]
async fn an_immutable_tag_is_not_pushed_while_the_registry_does_not_say_what_it_is() {
    for (status, said, refused_with, retry_after) in [
        (401, "", 502, "5"),
        (403, "", 502, "5"),
        (429, "7", 503, "7"),
        (500, "", 503, "5"),
        (503, "9", 503, "9"),
        (200, "", 502, "5"),
    ] {
        let stub = Stub::default();
        let exchange = stub.exchange(move |seen| match seen.method.as_str() {
            "HEAD" if said.is_empty() => respond(status, &[]),
            "HEAD" => respond(status, &[("retry-after", said)]),
            // What is read is not what the registry says it is.
            "GET" => respond(200, &[(DIGEST, Digest::sha256(b"x").as_str())]),
            _ => respond(201, &[]),
        });
        let world = World::new(exchange).await;
        world.hold_tags("v*").await;
        let answer = put(&world, MANIFEST).await;
        assert_eq!(answer.status, refused_with, "{status}: {}", answer.text());
        assert_eq!(answer.header("retry-after"), retry_after, "{status}");
        assert_eq!(changes(&stub), [""; 0], "{status}");
    }
}

#[tokio::test]
async fn an_immutable_tag_whose_digest_is_not_stated_is_read() {
    let exchange = Stub::default().exchange(|seen| match seen.method.as_str() {
        "HEAD" => respond(200, &[]),
        "GET" => respond(200, &[]).map(|_| Body::from(MANIFEST)),
        _ => respond(201, &[]),
    });
    let world = World::new(exchange).await;
    world.hold_tags("v*").await;
    assert_eq!(put(&world, MANIFEST).await.status, 201);
    let refused = put(&world, OTHER).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (412, "PRECONDITION")
    );
}

#[tokio::test]
async fn a_tag_that_is_not_there_is_free_though_it_will_be_immutable() {
    let exchange = Stub::default().exchange(|seen| match seen.method.as_str() {
        "HEAD" => respond(404, &[]),
        _ => respond(201, &[]),
    });
    let world = World::new(exchange).await;
    world.hold_tags("v*").await;
    assert_eq!(put(&world, MANIFEST).await.status, 201);
}

/// A registry with the tags b and v1, that does not say where `silent` points.
fn silent_about(silent: &'static str) -> impl Fn(&Seen) -> Response<Body> {
    move |seen| match (seen.method.as_str(), last_step(seen)) {
        ("GET", "list") => respond(200, &[]).map(|_| Body::from(r#"{"tags":["b","v1"]}"#)),
        ("HEAD", tag) if tag == silent => respond(500, &[]),
        ("HEAD", _) => respond(200, &[(DIGEST, Digest::sha256(b"y").as_str())]),
        _ => respond(202, &[]),
    }
}

#[tokio::test]
async fn a_digest_is_not_deleted_while_it_is_unknown_where_an_immutable_tag_points() {
    for (silent, status) in [("v1", 503), ("b", 202)] {
        let stub = Stub::default();
        let exchange = stub.exchange(silent_about(silent));
        let world = World::with(exchange, Listener::wanting(), Config::default()).await;
        world.hold_tags("v*").await;
        let answer = delete(&world, &Digest::sha256(b"x")).await;
        assert_eq!(answer.status, status, "{silent}: {}", answer.text());
        assert_eq!(changes(&stub).is_empty(), status == 503, "{silent}");
    }
}
