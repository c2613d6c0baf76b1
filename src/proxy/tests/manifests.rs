//! The memory that manifests take on their way: bounded, and held by nobody for long.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::Frame;
use tokio::sync::Semaphore;
use tower::util::BoxCloneSyncService;

use super::world::{Answer, Listener, PATIENCE, Stub, World, request, respond};
use crate::{
    oci::Digest,
    proxy::Config,
    wire::{Body, BoxError, Exchange, ExchangeError},
};

const MANIFEST: &str = "/v2/team/app/manifests/v1";

/// A body of unknown length that never comes; it says when it is waited for.
struct Silent(Arc<Semaphore>);

impl http_body::Body for Silent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.add_permits(1);
        Poll::Pending
    }
}

/// Room for one manifest of unknown length, for which nobody waits.
fn narrow() -> Config {
    Config {
        manifest_memory_mib: 4,
        manifest_wait_seconds: 0,
        ..Config::default()
    }
}

async fn push(world: &World, body: Body) -> Answer {
    let token = world.bearer("alice", &["team/app:pull,push"]);
    world.send(request("PUT", MANIFEST, &token, body)).await
}

async fn reached(signal: &Semaphore) {
    let permit = tokio::time::timeout(PATIENCE, signal.acquire()).await;
    permit.unwrap().unwrap().forget();
}

#[tokio::test]
async fn a_push_that_finds_no_memory_is_told_when_to_come_back() {
    let upstream = Stub::default().exchange(|_| respond(201, &[]));
    let world = World::with(upstream, Listener::default(), narrow()).await;
    let waiting = Arc::new(Semaphore::new(0));
    let slow = push(&world, Body::boxed(Silent(Arc::clone(&waiting))));
    tokio::select! {
        answer = slow => panic!("a body that never ends was answered: {answer:?}"),
        () = async {
            reached(&waiting).await;
            let refused = push(&world, Body::from("{}")).await;
            assert_eq!(refused.status, 503, "{}", refused.text());
            assert_eq!(refused.code(), "UNAVAILABLE");
            assert_eq!(refused.header("retry-after"), "5");
        } => {}
    }
    assert_eq!(push(&world, Body::from("{}")).await.status, 201);
}

#[tokio::test]
async fn small_manifests_take_little_of_the_memory() {
    let (exchange, arrived, answers) = held();
    let world = World::with(exchange, Listener::default(), narrow()).await;
    tokio::join!(
        async { assert_eq!(push(&world, Body::from("{}")).await.status, 201) },
        async { assert_eq!(push(&world, Body::from("[]")).await.status, 201) },
        async {
            reached(&arrived).await;
            reached(&arrived).await;
            answers.add_permits(2);
        },
    );
}

#[tokio::test]
async fn a_manifest_that_does_not_end_in_time_is_refused() {
    let stub = Stub::default();
    let config = Config {
        manifest_read_seconds: 0,
        ..Config::default()
    };
    let upstream = stub.exchange(|_| respond(201, &[]));
    let world = World::with(upstream, Listener::default(), config).await;
    let body = Silent(Arc::new(Semaphore::new(0)));
    let refused = push(&world, Body::boxed(body)).await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.text().contains("within 0 seconds"),
        "{}",
        refused.text()
    );
    assert!(stub.lines().is_empty());
}

#[tokio::test]
async fn memory_is_held_until_the_exchange_ends_even_when_the_client_is_gone() {
    let (exchange, arrived, answers) = held();
    let world = World::with(exchange, Listener::default(), narrow()).await;
    let large = || Body::from(vec![b' '; (4 << 20) - 1]);
    tokio::select! {
        answer = push(&world, large()) => panic!("answered: {answer:?}"),
        () = reached(&arrived) => {}
    }
    assert_eq!(push(&world, large()).await.status, 503);
    answers.add_permits(2);
    world.tasks.close();
    world.tasks.wait().await;
    assert_eq!(push(&world, large()).await.status, 201);
}

/// A registry that says when a request has arrived and answers when it is let.
fn held() -> (Exchange, Arc<Semaphore>, Arc<Semaphore>) {
    let (arrived, answers) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let signals = (Arc::clone(&arrived), Arc::clone(&answers));
    let exchange = BoxCloneSyncService::new(tower::service_fn(move |_: http::Request<Body>| {
        let (arrived, answers) = signals.clone();
        async move {
            arrived.add_permits(1);
            answers.acquire().await.unwrap().forget();
            Ok::<Response<Body>, ExchangeError>(respond(201, &[]))
        }
    }));
    (exchange, arrived, answers)
}

#[tokio::test]
async fn only_a_manifest_that_was_given_counts_as_pulled() {
    let digest = Digest::sha256(b"{}");
    let header = digest.to_string();
    let upstream = Stub::default().exchange(move |request| {
        let is_there = request.target.ends_with("/v1");
        respond(
            if is_there { 200 } else { 404 },
            &[("docker-content-digest", &header)],
        )
    });
    let world = World::new(upstream).await;
    let token = world.bearer("alice", &["team/app:pull"]);
    for (method, path) in [
        ("HEAD", MANIFEST),
        ("GET", "/v2/team/app/manifests/v2"),
        ("GET", "/v2/team/app/tags/list"),
        ("GET", MANIFEST),
    ] {
        world.send(request(method, path, &token, Body::Empty)).await;
    }
    let pulls = world.observer.pulls.lock().unwrap();
    let pulls: Vec<_> = pulls
        .iter()
        .map(|pull| (pull.reference.as_str(), &pull.digest, &*pull.actor.name))
        .collect();
    assert_eq!(pulls, [("v1", &Some(digest), "alice")]);
}
