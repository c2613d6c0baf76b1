//! Pushes and deletes of manifests: written down first, never cut short, always concluded.

use std::sync::Arc;

use http::Response;
use tokio::sync::{Notify, Semaphore};
use tower::{ServiceExt, util::BoxCloneSyncService};

use super::world::{Listener, PATIENCE, Script, Stub, World, interrupted, request, respond};
use crate::{
    oci::{Digest, ErrorCode, MAX_MANIFEST_BYTES, media_type},
    proxy::{Actor, ChangeKind, Config, Refusal},
    settings::Values,
    wire::{Body, Exchange, ExchangeError},
};

const MANIFEST: &str = r#"{"schemaVersion":2,"layers":[]}"#;
const TAGGED: &str = "/v2/team/app/manifests/v1";

async fn wanting(exchange: Exchange) -> World {
    World::with(exchange, Listener::wanting(), Config::default()).await
}

async fn put(world: &World, path: &str, body: impl Into<Body>) -> super::world::Answer {
    let token = world.bearer("alice", &["team/app:pull,push"]);
    let mut request = request("PUT", path, &token, body.into());
    let headers = request.headers_mut();
    headers.insert("content-type", media_type::OCI_MANIFEST.parse().unwrap());
    world.send(request).await
}

#[tokio::test]
async fn a_push_is_written_down_and_then_concluded() {
    let stub = Stub::default();
    let world = wanting(stub.exchange(|_| respond(201, &[]))).await;
    let answer = put(&world, TAGGED, MANIFEST).await;
    assert_eq!(answer.status, 201);
    let digest = Digest::sha256(MANIFEST.as_bytes());
    assert_eq!(answer.header("docker-content-digest"), digest.as_str());
    let seen = stub.seen().remove(0);
    assert_eq!(seen.body.as_deref(), Some(MANIFEST.as_bytes()));
    assert_eq!(seen.header("content-type"), media_type::OCI_MANIFEST);
    assert_eq!(seen.header("content-length"), MANIFEST.len().to_string());
    let heard = world.observer.heard();
    let expected = [
        "intend team/app",
        "settle Committed { tags: [] }",
        "conclude Committed { tags: [] }",
    ];
    assert_eq!(heard, expected);
    let change = world.observer.last_change();
    assert_eq!(
        (change.actor.name.as_str(), change.origin.as_deref()),
        ("alice", None)
    );
    let ChangeKind::Push(push) = &change.kind else {
        panic!("{change:?}");
    };
    assert_eq!((push.reference.as_str(), &push.digest), ("v1", &digest));
    assert_eq!(push.media_type, media_type::OCI_MANIFEST);
}

#[tokio::test]
async fn a_push_says_what_the_blobs_of_its_image_weigh() {
    let world = wanting(Stub::default().exchange(|_| respond(201, &[]))).await;
    let blob = |bytes| serde_json::json!({ "digest": Digest::sha256(b"x"), "size": bytes });
    let image = serde_json::json!({ "config": blob(3), "layers": [blob(40), blob(500)] });
    for (manifest, expected) in [(image.to_string(), 543), (MANIFEST.to_owned(), 0)] {
        assert_eq!(put(&world, TAGGED, manifest.clone()).await.status, 201);
        let ChangeKind::Push(push) = &world.observer.last_change().kind else {
            panic!("not a push");
        };
        assert_eq!(push.blob_bytes(), expected, "{manifest}");
    }
}

#[tokio::test]
async fn a_push_that_nobody_wants_is_concluded_too_and_nothing_is_written() {
    let world = World::new(Stub::default().exchange(|_| respond(201, &[]))).await;
    assert_eq!(put(&world, TAGGED, MANIFEST).await.status, 201);
    assert_eq!(world.observer.heard(), ["conclude Committed { tags: [] }"]);
}

#[tokio::test]
async fn the_registry_sees_the_last_byte_only_after_the_intent_is_written() {
    let (stub, pause) = (Stub::default(), Arc::new(Semaphore::new(0)));
    let listener = Listener {
        pause: Some(Arc::clone(&pause)),
        ..Listener::wanting()
    };
    let (first, begun) = (Arc::new(Notify::new()), stub.clone());
    let early = Arc::clone(&first);
    let exchange =
        BoxCloneSyncService::new(tower::service_fn(move |request: http::Request<Body>| {
            let (stub, early) = (begun.clone(), Arc::clone(&early));
            async move {
                use http_body_util::BodyExt;
                let (head, mut body) = request.into_parts();
                let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
                assert_eq!(frame.len(), MANIFEST.len() - 1);
                early.notify_one();
                stub.note(http::Request::from_parts(head, body)).await;
                Ok(respond(201, &[]))
            }
        }));
    let world = World::with(exchange, listener, Config::default()).await;
    let answered = async {
        let answer = put(&world, TAGGED, MANIFEST).await;
        assert_eq!(answer.status, 201);
    };
    let watched = async {
        first.notified().await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(
            stub.seen().is_empty(),
            "the last byte came before the intent"
        );
        assert!(world.observer.heard().is_empty());
        pause.add_permits(1);
    };
    let both = async { tokio::join!(answered, watched) };
    tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert_eq!(stub.seen()[0].body.as_deref(), Some(b"}".as_slice()));
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_pushed() {
    let stub = Stub::default();
    let refusal = Refusal::new(ErrorCode::Unavailable, "the database is away");
    let listener = Listener {
        refusal: Some(refusal),
        ..Listener::wanting()
    };
    let exchange = stub.exchange(|_| respond(201, &[]));
    let world = World::with(exchange, listener, Config::default()).await;
    let answer = tokio::time::timeout(PATIENCE, put(&world, TAGGED, MANIFEST))
        .await
        .unwrap();
    assert_eq!(answer.status, 503);
    assert!(
        stub.seen().iter().all(|seen| seen.body.is_none()),
        "the push was completed"
    );
    assert_eq!(world.observer.heard(), ["conclude Refused { status: 503 }"]);
    let deleted = world
        .ask(
            "DELETE",
            TAGGED,
            &world.bearer("alice", &["team/app:delete"]),
        )
        .await;
    assert_eq!(deleted.status, 503);
    assert!(!stub.lines().iter().any(|line| line.starts_with("DELETE")));
}

#[tokio::test]
async fn outcomes_follow_the_answer() {
    let script = Script::default();
    let world = wanting(script.exchange()).await;
    for (status, outcome) in [
        (201, "Committed { tags: [] }"),
        (400, "Refused { status: 400 }"),
        (404, "Refused { status: 404 }"),
        (500, "Unknown"),
        (502, "Unknown"),
        (307, "Unknown"),
    ] {
        script.next(respond(status, &[]));
        put(&world, TAGGED, MANIFEST).await;
        let heard = world.observer.heard();
        let last: Vec<_> = heard.iter().rev().take(2).collect();
        let expected = [format!("conclude {outcome}"), format!("settle {outcome}")];
        assert_eq!(last, expected.iter().collect::<Vec<_>>(), "{status}");
    }
}

#[tokio::test]
async fn a_manifest_whose_connection_broke_is_sent_once_more() {
    let stub = Stub::default();
    let noting = stub.clone();
    let exchange =
        BoxCloneSyncService::new(tower::service_fn(move |request: http::Request<Body>| {
            let stub = noting.clone();
            async move {
                stub.note(request).await;
                match stub.seen().len() {
                    1 => Err(interrupted("stale connection")),
                    _ => Ok(respond(201, &[])),
                }
            }
        }));
    let world = wanting(exchange).await;
    assert_eq!(put(&world, TAGGED, MANIFEST).await.status, 201);
    let bodies: Vec<_> = stub
        .seen()
        .iter()
        .map(|seen| seen.body.clone().unwrap())
        .collect();
    assert_eq!(bodies, [MANIFEST, MANIFEST]);
    assert_eq!(world.observer.heard()[1], "settle Committed { tags: [] }");
}

#[tokio::test]
async fn what_a_lost_first_attempt_did_stays_unknown() {
    type Second = fn() -> Result<Response<Body>, ExchangeError>;
    let away: Second = || {
        Err(ExchangeError::Unreachable {
            address: "stub".into(),
            source: "connection refused".into(),
        })
    };
    let busy: Second = || Ok(respond(429, &[]));
    for second in [away, busy] {
        let stub = Stub::default();
        let noting = stub.clone();
        let exchange = BoxCloneSyncService::new(tower::service_fn(move |request| {
            let stub = noting.clone();
            async move {
                stub.note(request).await;
                match stub.seen().len() {
                    1 => Err(interrupted("reset after everything was sent")),
                    _ => second(),
                }
            }
        }));
        let world = wanting(exchange).await;
        assert!(!put(&world, TAGGED, MANIFEST).await.status.is_success());
        assert_eq!(
            world.observer.heard()[1..],
            ["settle Unknown", "conclude Unknown"]
        );
    }
}

#[tokio::test]
async fn a_registry_that_was_silent_is_not_asked_again() {
    let stub = Stub::default();
    let noting = stub.clone();
    let exchange = BoxCloneSyncService::new(tower::service_fn(move |request| {
        let stub = noting.clone();
        async move {
            stub.note(request).await;
            let silence = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time");
            Err::<Response<Body>, _>(ExchangeError::Interrupted {
                address: "stub".into(),
                source: silence.into(),
            })
        }
    }));
    let world = wanting(exchange).await;
    assert_eq!(put(&world, TAGGED, MANIFEST).await.status, 502);
    assert_eq!(stub.seen().len(), 1);
    assert_eq!(world.observer.heard()[1], "settle Unknown");
}

#[tokio::test]
async fn manifests_are_checked_before_they_are_sent() {
    let stub = Stub::default();
    let world = wanting(stub.exchange(|_| respond(201, &[]))).await;
    let right = Digest::sha256(MANIFEST.as_bytes());
    let wrong = Digest::sha256(b"other");
    let sha512 = Digest::of(crate::oci::Algorithm::Sha512, MANIFEST.as_bytes());
    let largest = " ".repeat(MAX_MANIFEST_BYTES);
    let too_large = " ".repeat(MAX_MANIFEST_BYTES + 1);
    for (reference, body, status, code) in [
        (right.as_str(), MANIFEST, 201, ""),
        (sha512.as_str(), MANIFEST, 201, ""),
        (wrong.as_str(), MANIFEST, 400, "DIGEST_INVALID"),
        ("v1", "", 400, "MANIFEST_INVALID"),
        ("v1", &largest, 201, ""),
        ("v1", &too_large, 413, "MANIFEST_INVALID"),
    ] {
        let path = format!("/v2/team/app/manifests/{reference}");
        let before = stub.seen().len();
        let answer = put(&world, &path, body.to_owned()).await;
        assert_eq!(answer.status.as_u16(), status, "{reference} {}", body.len());
        if status != 201 {
            assert_eq!(answer.code(), code);
            assert_eq!(stub.seen().len(), before);
        }
    }
}

#[tokio::test]
async fn of_tags_in_the_query_only_those_count_that_the_registry_set() {
    let stub = Stub::default();
    let world = wanting(stub.exchange(|_| respond(201, &[("oci-tag", "a, c")]))).await;
    let digest = Digest::sha256(MANIFEST.as_bytes());
    let path = format!("/v2/team/app/manifests/{digest}?tag=a&tag=b");
    assert_eq!(put(&world, &path, MANIFEST).await.status, 201);
    assert_eq!(stub.lines(), [format!("PUT {path}")]);
    assert_eq!(
        world.observer.heard()[1],
        "settle Committed { tags: [Tag(\"a\")] }"
    );
    let ChangeKind::Push(push) = &world.observer.last_change().kind else {
        panic!("not a push");
    };
    assert_eq!(push.tags.len(), 2);
}

#[tokio::test]
async fn a_client_that_goes_away_stops_no_push() {
    let (arrived, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let signals = (Arc::clone(&arrived), Arc::clone(&release));
    let exchange =
        BoxCloneSyncService::new(tower::service_fn(move |request: http::Request<Body>| {
            let (arrived, release) = signals.clone();
            async move {
                let stub = Stub::default();
                stub.note(request).await;
                arrived.notify_one();
                release.notified().await;
                Ok::<Response<Body>, _>(respond(201, &[]))
            }
        }));
    let world = wanting(exchange).await;
    let token = world.bearer("alice", &["team/app:*"]);
    for (method, body) in [("PUT", Body::from(MANIFEST)), ("DELETE", Body::Empty)] {
        let path = match method {
            "PUT" => TAGGED.to_owned(),
            _ => format!("/v2/team/app/manifests/{}", Digest::sha256(b"x")),
        };
        let proxy = world.proxy.clone();
        let request = request(method, &path, &token, body);
        let client = tokio::spawn(async move { proxy.handle(request).await });
        tokio::time::timeout(PATIENCE, arrived.notified())
            .await
            .unwrap();
        client.abort();
        assert!(client.await.unwrap_err().is_cancelled());
        // Deleting looks at the tags first, which this registry answers like everything.
        let released = async {
            while !world.tasks.is_empty() {
                release.notify_one();
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, released).await.unwrap();
        let heard = world.observer.heard();
        assert_eq!(
            heard.last().unwrap(),
            "conclude Committed { tags: [] }",
            "{method}"
        );
    }
}

/// A registry with the tags a and c on one digest and b on another.
fn tagged_registry(seen: &super::world::Seen) -> Response<Body> {
    let (shared, other) = (Digest::sha256(b"x"), Digest::sha256(b"y"));
    match (
        seen.method.as_str(),
        seen.target.rsplit('/').next().unwrap(),
    ) {
        ("GET", list) if list.starts_with("list") => {
            respond(200, &[]).map(|_| Body::from(r#"{"name":"team/app","tags":["a","b","c"]}"#))
        }
        ("HEAD", "a" | "c") => respond(200, &[("docker-content-digest", shared.as_str())]),
        ("HEAD", "b") => respond(200, &[("docker-content-digest", other.as_str())]),
        ("HEAD", _) => respond(404, &[]),
        _ => respond(202, &[]),
    }
}

#[tokio::test]
async fn a_delete_knows_what_goes_with_it() {
    let stub = Stub::default();
    let world = wanting(stub.exchange(tagged_registry)).await;
    let token = world.bearer("alice", &["team/app:delete"]);
    let digest = Digest::sha256(b"x");
    let path = format!("/v2/team/app/manifests/{digest}");
    assert_eq!(world.ask("DELETE", &path, &token).await.status, 202);
    let ChangeKind::DeleteDigest {
        digest: deleted,
        tags,
    } = &world.observer.last_change().kind
    else {
        panic!("not a digest");
    };
    let mut tags: Vec<_> = tags.iter().map(crate::oci::Tag::as_str).collect();
    tags.sort_unstable();
    assert_eq!((deleted, tags.as_slice()), (&digest, ["a", "c"].as_slice()));
    for (tag, pointed_to) in [("a", Some(digest)), ("unknown", None)] {
        world
            .ask("DELETE", &format!("/v2/team/app/manifests/{tag}"), &token)
            .await;
        let ChangeKind::DeleteTag { digest, .. } = &world.observer.last_change().kind else {
            panic!("not a tag");
        };
        assert_eq!(*digest, pointed_to, "{tag}");
    }
    assert_eq!(
        stub.lines().last().unwrap(),
        "DELETE /v2/team/app/manifests/unknown"
    );
}

#[tokio::test]
async fn a_delete_that_nobody_wants_looks_nothing_up() {
    let stub = Stub::default();
    let world = World::new(stub.exchange(tagged_registry)).await;
    let token = world.bearer("alice", &["team/app:delete"]);
    assert_eq!(world.ask("DELETE", TAGGED, &token).await.status, 202);
    assert_eq!(stub.lines(), [format!("DELETE {TAGGED}")]);
    assert_eq!(world.observer.heard(), ["conclude Committed { tags: [] }"]);
}

#[tokio::test]
async fn read_only_mode_refuses_every_change_and_no_pull() {
    let stub = Stub::default();
    let exchange = stub.exchange(|_| respond(200, &[]));
    let world = World::new(exchange).await;
    world.settings.set(Values {
        read_only: true,
        ..Values::default()
    });
    let token = world.bearer("alice", &["team/app:*"]);
    for (method, path) in [
        ("PUT", TAGGED),
        ("DELETE", TAGGED),
        ("POST", "/v2/team/app/blobs/uploads/"),
    ] {
        let answer = world.ask(method, path, &token).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (403, "DENIED"),
            "{method}"
        );
    }
    let on_behalf = async |method: &str, path: &str| {
        let actor = Actor {
            name: "replication".to_owned(),
            address: None,
        };
        let exchange = world.proxy.on_behalf_of(actor, None);
        let request = request(method, path, "", Body::Empty);
        exchange.oneshot(request).await.unwrap().status().as_u16()
    };
    let upload = "/v2/team/app/blobs/uploads/7";
    for (method, path) in [
        ("PUT", TAGGED),
        ("DELETE", TAGGED),
        ("POST", "/v2/team/app/blobs/uploads/"),
        ("PATCH", upload),
        ("PUT", upload),
        ("DELETE", upload),
    ] {
        assert_eq!(on_behalf(method, path).await, 403, "{method} {path}");
    }
    assert!(stub.seen().is_empty());
    assert_eq!(world.ask("GET", TAGGED, &token).await.status, 200);
    assert_eq!(on_behalf("GET", TAGGED).await, 200);
}

#[tokio::test]
async fn a_mirroring_push_says_where_it_began() {
    let world = wanting(Stub::default().exchange(|_| respond(201, &[]))).await;
    let token = world.bearer("alice", &["team/app:pull,push"]);
    let mut request = request("PUT", TAGGED, &token, Body::from(MANIFEST));
    let origin = "a.example".parse().unwrap();
    request
        .headers_mut()
        .insert(crate::wire::ORIGIN_HEADER, origin);
    world.send(request).await;
    assert_eq!(
        world.observer.last_change().origin.as_deref(),
        Some("a.example")
    );
}
