//! Immutable tags over a registry that does not answer as it should.

use std::sync::Arc;

use http::Response;
use tokio::sync::Notify;
use tower::util::BoxCloneSyncService;

use super::world::{Answer, Listener, PATIENCE, Seen, Stub, World, request, respond};
use crate::{
    oci::{Digest, media_type},
    proxy::{ChangeKind, Config},
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

/// How a registry lists more tags than it gives at once.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Paging {
    /// By a `Link` of its own kind.
    Link,
    /// After `last`, as asked.
    Last,
    /// It does not: all come at once, whatever is asked.
    Whole,
}

/// A registry with 2,500 tags on one digest, and after them v1 on another.
fn of_many_tags(paging: Paging) -> impl Fn(&Seen) -> Response<Body> {
    let mut tags: Vec<String> = (0..2500).map(|number| format!("t{number:04}")).collect();
    tags.push("v1".to_owned());
    move |seen| match (seen.method.as_str(), last_step(seen)) {
        ("GET", "list") => {
            let (_, query) = seen.target.split_once('?').unwrap();
            let parameter = |name| {
                let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                pairs.find_map(|(key, value)| (key == name).then_some(value))
            };
            let start = match paging {
                Paging::Link => parameter("from").map_or(0, |from| from.parse().unwrap()),
                Paging::Last => parameter("last").map_or(0, |last| {
                    1 + tags.iter().position(|tag| tag == last).unwrap()
                }),
                Paging::Whole => 0,
            };
            let end = match paging {
                Paging::Whole => tags.len(),
                _ => tags.len().min(start + 1000),
            };
            let next = format!("</v2/team/app/tags/list?from={end}>; rel=\"next\"");
            let headers: &[_] = match paging {
                Paging::Link if end < tags.len() => &[("link", next.as_str())],
                _ => &[],
            };
            let page = serde_json::json!({ "tags": tags[start..end] });
            respond(200, headers).map(|_| Body::from(page.to_string()))
        }
        ("HEAD", "v1") => respond(200, &[(DIGEST, Digest::sha256(b"x").as_str())]),
        ("HEAD", _) => respond(200, &[(DIGEST, Digest::sha256(b"y").as_str())]),
        _ => respond(202, &[]),
    }
}

#[tokio::test]
async fn a_digest_is_not_deleted_for_an_immutable_tag_on_any_page() {
    for paging in [Paging::Link, Paging::Last, Paging::Whole] {
        let stub = Stub::default();
        let world = World::new(stub.exchange(of_many_tags(paging))).await;
        world.hold_tags("v*").await;
        let refused = delete(&world, &Digest::sha256(b"x")).await;
        assert_eq!(refused.status, 412, "{paging:?}");
        assert!(refused.text().contains("the tag v1"), "{}", refused.text());
        assert_eq!(changes(&stub), [""; 0], "{paging:?}");
        let looks = stub.lines();
        let looks = looks.iter().filter(|line| line.starts_with("HEAD "));
        assert_eq!(looks.count(), 1, "only what is held is looked at");
        let deleted = delete(&world, &Digest::sha256(b"y")).await;
        assert_eq!(deleted.status, 202, "{paging:?}");
    }
}

#[tokio::test]
async fn of_many_tags_observers_hear_of_the_first() {
    for (paging, examined, heard) in [
        (Paging::Link, 1500, 1500),
        (Paging::Last, 1500, 1500),
        (Paging::Whole, 1500, 1500),
        (Paging::Last, 9000, 2500),
        (Paging::Whole, 9000, 2500),
    ] {
        let config = Config {
            delete_tags_examined: examined,
            ..Config::default()
        };
        let exchange = Stub::default().exchange(of_many_tags(paging));
        let world = World::with(exchange, Listener::wanting(), config).await;
        let deleted = delete(&world, &Digest::sha256(b"y")).await;
        assert_eq!(deleted.status, 202, "{paging:?}");
        let change = world.observer.last_change();
        let ChangeKind::DeleteDigest { tags, .. } = &change.kind else {
            panic!("{change:?}");
        };
        assert_eq!(tags.len(), heard, "{paging:?}");
    }
}

#[tokio::test]
async fn a_digest_is_not_deleted_while_its_tags_cannot_be_listed_to_the_end() {
    let link = |target: &str| format!("<{target}>; rel=\"next\"");
    let here = "/v2/team/app/tags/list?from=1";
    for (what, status, first, second) in [
        ("breaks", 200, link(here), Some((500, ""))),
        ("is gone", 200, link(here), Some((404, ""))),
        ("repeats itself", 200, link(here), Some((200, here))),
        (
            "leads elsewhere",
            200,
            link("https://other.example/v2/"),
            None,
        ),
        ("never ends", 200, link(here), None),
        ("fails", 503, String::new(), None),
    ] {
        let stub = Stub::default();
        let exchange = stub.exchange(move |seen| match (seen.method.as_str(), last_step(seen)) {
            ("GET", "list") => {
                let (status, link) = match (seen.target.split_once("from="), second) {
                    (None, _) => (status, first.clone()),
                    (Some(_), Some((status, onward))) => (status, link(onward)),
                    (Some((path, page)), None) => {
                        let next = page.parse::<u32>().unwrap() + 1;
                        (200, link(&format!("{path}from={next}")))
                    }
                };
                respond(status, &[("link", &link)]).map(|_| Body::from(r#"{"tags":["b"]}"#))
            }
            ("HEAD", _) => respond(200, &[(DIGEST, Digest::sha256(b"y").as_str())]),
            _ => respond(202, &[]),
        });
        let world = World::new(exchange).await;
        world.hold_tags("v*").await;
        let answer = delete(&world, &Digest::sha256(b"x")).await;
        assert_eq!(answer.status, 502, "{what}: {}", answer.text());
        assert_eq!(changes(&stub), [""; 0], "{what}");
    }
}

#[tokio::test]
async fn a_first_push_of_an_immutable_tag_waits_until_a_digest_is_deleted() {
    let stub = Stub::default();
    let (listing, listed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (noting, signals) = (stub.clone(), (Arc::clone(&listing), Arc::clone(&listed)));
    let exchange = BoxCloneSyncService::new(tower::service_fn(move |request| {
        let (stub, (listing, listed)) = (noting.clone(), signals.clone());
        async move {
            let seen = stub.note(request).await;
            Ok(match (seen.method.as_str(), last_step(&seen)) {
                ("GET", "list") => {
                    listing.notify_one();
                    listed.notified().await;
                    respond(200, &[]).map(|_| Body::from(r#"{"tags":["b"]}"#))
                }
                ("HEAD", _) => respond(404, &[]),
                ("PUT", _) => respond(201, &[]),
                _ => respond(202, &[]),
            })
        }
    }));
    let world = World::new(exchange).await;
    world.hold_tags("v*").await;
    let digest = Digest::sha256(MANIFEST.as_bytes());
    let pushed = async {
        listing.notified().await;
        let push = put(&world, MANIFEST);
        let release = async {
            // Time enough for a push that does not wait.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            listed.notify_one();
        };
        tokio::join!(push, release).0
    };
    let both = Box::pin(async { tokio::join!(delete(&world, &digest), pushed) });
    let (deleted, pushed) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert_eq!(
        (deleted.status.as_u16(), pushed.status.as_u16()),
        (202, 201)
    );
    let path = "/v2/team/app/manifests";
    let expected = [format!("DELETE {path}/{digest}"), format!("PUT {path}/v1")];
    assert_eq!(changes(&stub), expected);
}
