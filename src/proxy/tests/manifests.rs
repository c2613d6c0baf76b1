//! The memory that manifests take on their way: bounded, and held by nobody for long.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Response;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::Semaphore;
use tower::util::BoxCloneSyncService;

use super::world::{Answer, Listener, PATIENCE, Stub, World, request, respond};
use crate::{
    oci::Digest,
    proxy::Config,
    wire::{Body, BoxError, Exchange, ExchangeError},
};

const MANIFEST: &str = "/v2/team/app/manifests/v1";
const LARGEST: usize = 4 << 20;
const CHUNK_BYTES: usize = 10_000;

/// A body of unknown length that stops after this; it says when more is waited for.
struct Stalled(Bytes, Arc<Semaphore>);

impl http_body::Body for Stalled {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.0.is_empty() {
            let data = std::mem::take(&mut self.0);
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        self.1.add_permits(1);
        Poll::Pending
    }
}

/// Room for one manifest of the largest size, for which nobody waits.
fn narrow() -> Config {
    Config {
        manifest_memory_mib: 4,
        manifest_wait_seconds: 0,
        ..Config::default()
    }
}

/// `length` bytes that stop there.
fn stalled(length: usize, waiting: &Arc<Semaphore>) -> Body {
    let data = Bytes::from(vec![b' '; length]);
    Body::boxed(Stalled(data, Arc::clone(waiting)))
}

/// `length` bytes whose number the client does not say.
fn chunked(length: usize) -> Body {
    let chunks = (0..length).step_by(CHUNK_BYTES).map(move |begin| {
        let chunk = vec![b' '; CHUNK_BYTES.min(length - begin)];
        Ok::<_, Infallible>(Frame::data(Bytes::from(chunk)))
    });
    Body::boxed(StreamBody::new(futures_util::stream::iter(chunks)))
}

async fn push(world: &World, body: Body) -> Answer {
    push_as(world, "alice", body).await
}

async fn push_as(world: &World, name: &str, body: Body) -> Answer {
    let token = world.bearer(name, &["team/app:pull,push"]);
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
    let slow = push(&world, stalled(LARGEST, &waiting));
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
async fn silent_pushes_stop_no_others() {
    let upstream = Stub::default().exchange(|_| respond(201, &[]));
    let world = World::with(upstream, Listener::default(), narrow()).await;
    let waiting = Arc::new(Semaphore::new(0));
    let silent = join_all((0..32).map(|_| push(&world, stalled(0, &waiting))));
    tokio::select! {
        answers = silent => panic!("bodies that never end were answered: {answers:?}"),
        () = async {
            for _ in 0..32 {
                reached(&waiting).await;
            }
            assert_eq!(push(&world, Body::from("{}")).await.status, 201);
            assert_eq!(push(&world, chunked(1 << 20)).await.status, 201);
        } => {}
    }
}

#[tokio::test]
async fn one_account_that_sends_slowly_stops_no_others() {
    let config = Config {
        manifest_wait_seconds: 0,
        ..Config::default()
    };
    let upstream = Stub::default().exchange(|_| respond(201, &[]));
    let world = World::with(upstream, Listener::default(), config).await;
    let waiting = Arc::new(Semaphore::new(0));
    let slow = join_all((0..2).map(|_| push(&world, stalled(LARGEST, &waiting))));
    tokio::select! {
        answers = slow => panic!("bodies that never end were answered: {answers:?}"),
        () = async {
            reached(&waiting).await;
            reached(&waiting).await;
            assert_eq!(push(&world, Body::from("{}")).await.status, 503);
            let other = push_as(&world, "admin", chunked(LARGEST)).await;
            assert_eq!(other.status, 201, "{}", other.text());
        } => {}
    }
}

#[tokio::test]
async fn a_manifest_that_grows_past_the_memory_is_refused_and_holds_none() {
    let stub = Stub::default();
    let upstream = stub.exchange(|_| respond(201, &[]));
    let world = World::with(upstream, Listener::default(), narrow()).await;
    let waiting = Arc::new(Semaphore::new(0));
    let slow = push(&world, stalled(3 << 20, &waiting));
    tokio::select! {
        answer = slow => panic!("a body that never ends was answered: {answer:?}"),
        () = async {
            reached(&waiting).await;
            for _ in 0..20 {
                let refused = push(&world, chunked((1 << 20) + 1)).await;
                assert_eq!(refused.status, 503, "{}", refused.text());
                assert_eq!(refused.header("retry-after"), "5");
            }
            assert!(stub.lines().is_empty(), "no part of it was sent");
            assert_eq!(push(&world, chunked(1 << 20)).await.status, 201);
        } => {}
    }
}

#[tokio::test]
async fn manifests_that_wait_for_each_others_memory_come_through() {
    let (exchange, arrived, answers) = held();
    let config = Config {
        manifest_wait_seconds: PATIENCE.as_secs(),
        ..narrow()
    };
    let world = World::with(exchange, Listener::default(), config).await;
    let all = join_all((0..4).map(|_| push(&world, chunked(2 << 20))));
    let (answered, ()) = tokio::join!(all, async {
        reached(&arrived).await;
        answers.add_permits(4);
    });
    assert!(answered.iter().all(|answer| answer.status == 201));
}

#[tokio::test]
async fn a_manifest_of_the_largest_size_arrives_whole() {
    let stub = Stub::default();
    let upstream = stub.exchange(|_| respond(201, &[]));
    let world = World::with(upstream, Listener::default(), narrow()).await;
    for body in [chunked(LARGEST), Body::from(vec![b' '; LARGEST])] {
        assert_eq!(push(&world, body).await.status, 201);
        let sent = stub.seen().pop().unwrap().body.unwrap();
        assert!(sent.len() == LARGEST && sent.iter().all(|byte| *byte == b' '));
    }
    for body in [chunked(LARGEST + 1), Body::from(vec![b' '; LARGEST + 1])] {
        let refused = push(&world, body).await;
        assert_eq!(refused.code(), "MANIFEST_INVALID", "{}", refused.text());
    }
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
    let refused = push(&world, stalled(0, &Arc::new(Semaphore::new(0)))).await;
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
    let large = || Body::from(vec![b' '; LARGEST - 1]);
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
