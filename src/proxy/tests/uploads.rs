//! Blob uploads: mounts, bodies, and sessions that outlive a token.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Response;
use http_body_util::StreamBody;
use tokio::sync::Notify;
use tower::util::BoxCloneSyncService;

use super::world::{PATIENCE, Stub, World, interrupted, request, respond};
use crate::wire::{Body, BoxError};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const UPLOADS: &str = "/v2/team/app/blobs/uploads/";
const SESSION: &str = "/v2/team/app/blobs/uploads/1?_state=a%3D%3D";

#[tokio::test]
async fn a_mount_is_forwarded_only_from_where_the_caller_may_pull() {
    let stub = Stub::default();
    let registry = stub.exchange(|seen| match seen.method {
        http::Method::HEAD => respond(200, &[]),
        _ => respond(202, &[("location", SESSION)]),
    });
    let world = World::new(registry).await;
    let mount = |from: &str| format!("{UPLOADS}?mount={DIGEST}{from}");
    let mounted = |from: &str| {
        format!(
            "POST {UPLOADS}?mount={}&from={from}",
            DIGEST.replace(':', "%3A")
        )
    };
    let plain = format!("POST {UPLOADS}");
    for (access, from, forwarded) in [
        (
            vec!["team/app:pull,push", "team/base:pull"],
            "&from=team/base",
            mounted("team%2Fbase"),
        ),
        (
            vec!["team/app:pull,push", "open/base:pull"],
            "&from=open%2Fbase",
            mounted("open%2Fbase"),
        ),
        (vec!["team/app:pull,push"], "&from=team/base", plain.clone()),
        (
            vec!["team/app:pull,push", "hidden/x:pull"],
            "&from=hidden/x",
            plain.clone(),
        ),
        (vec!["team/app:pull,push"], "", plain.clone()),
        (
            vec!["team/app:pull,push", "team/base:pull"],
            "&from=team/base&origin=h%3A1",
            mounted("team%2Fbase"),
        ),
    ] {
        let answer = world
            .ask("POST", &mount(from), &world.bearer("alice", &access))
            .await;
        assert_eq!(answer.status, 202, "{from}");
        assert_eq!(stub.lines().pop().unwrap(), forwarded, "{access:?} {from}");
    }
}

/// Some registries link any blob they know, whatever `from` says.
#[tokio::test]
async fn a_mount_is_forwarded_only_from_where_the_blob_lies() {
    for (head, forwarded) in [(200, true), (307, true), (404, false), (401, false)] {
        let stub = Stub::default();
        let registry = stub.exchange(move |seen| match seen.method {
            http::Method::HEAD => respond(head, &[]),
            _ => respond(202, &[("location", SESSION)]),
        });
        let world = World::new(registry).await;
        let token = world.bearer("alice", &["team/app:pull,push", "team/base:pull"]);
        let path = format!("{UPLOADS}?mount={DIGEST}&from=team/base");
        assert_eq!(world.ask("POST", &path, &token).await.status, 202);
        let lines = stub.lines();
        assert_eq!(lines[0], format!("HEAD /v2/team/base/blobs/{DIGEST}"));
        assert_eq!(lines[1].contains("mount="), forwarded, "{head}");
    }
}

/// distribution reads `mount` and `from` from a form body, and lets them win over the query.
#[tokio::test]
async fn a_form_in_the_body_cannot_smuggle_a_mount() {
    let stub = Stub::default();
    let world = World::new(stub.exchange(|_| respond(202, &[("location", SESSION)]))).await;
    let token = world.bearer("alice", &["team/app:pull,push"]);
    let form = format!("mount={DIGEST}&from=hidden/x");
    for content_type in [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        for (method, path) in [("POST", UPLOADS), ("PATCH", SESSION), ("PUT", SESSION)] {
            let mut request = request(method, path, &token, Body::from(form.clone()));
            request
                .headers_mut()
                .insert("content-type", content_type.parse().unwrap());
            world.send(request).await;
            let seen = stub.seen().pop().unwrap();
            if method == "POST" {
                assert!(seen.body.unwrap().is_empty());
                assert_eq!(seen.headers["content-length"], "0");
                assert!(!seen.headers.contains_key("content-type"));
            } else {
                assert_eq!(seen.header("content-type"), "application/octet-stream");
            }
        }
    }
    for twice in ["mount=a&mount=b", "from=a&from=b", "digest=a&digest=b"] {
        let answer = world
            .ask("POST", &format!("{UPLOADS}?{twice}"), &token)
            .await;
        assert_eq!(answer.status, 400, "{twice}");
    }
}

#[tokio::test]
async fn blob_bytes_and_their_length_pass_unchanged() {
    let stub = Stub::default();
    let world = World::new(stub.exchange(|_| respond(201, &[]))).await;
    let token = world.bearer("alice", &["team/app:pull,push"]);
    let put = format!("{SESSION}&digest={DIGEST}");
    let monolithic = format!("{UPLOADS}?digest={DIGEST}");
    for (method, path) in [("PATCH", SESSION), ("PUT", &put), ("POST", &monolithic)] {
        let mut request = request(method, path, &token, Body::from("layer"));
        request
            .headers_mut()
            .insert("content-range", "0-4".parse().unwrap());
        assert_eq!(world.send(request).await.status, 201);
        let seen = stub.seen().pop().unwrap();
        assert_eq!(seen.body.as_deref(), Some(b"layer".as_slice()), "{method}");
        assert_eq!(seen.header("content-length"), "5");
        assert_eq!(seen.header("content-range"), "0-4");
    }
    let chunks = ["a", "b"].map(|chunk| {
        Ok::<_, Infallible>(http_body::Frame::data(Bytes::from_static(chunk.as_bytes())))
    });
    let chunked = Body::boxed(StreamBody::new(futures_util::stream::iter(chunks)));
    world.send(request("PATCH", SESSION, &token, chunked)).await;
    let seen = stub.seen().pop().unwrap();
    assert_eq!(seen.body.as_deref(), Some(b"ab".as_slice()));
    assert!(!seen.headers.contains_key("content-length"));
}

#[tokio::test]
async fn a_body_that_breaks_off_never_looks_complete() {
    let silence = std::io::Error::new(std::io::ErrorKind::TimedOut, "no data for 120 s");
    for (error, message) in [
        (BoxError::from("connection reset"), "request body broke off"),
        (silence.into(), "too long"),
    ] {
        let stub = Stub::default();
        let world = World::new(stub.exchange(|_| respond(202, &[]))).await;
        let frames = [
            Ok(http_body::Frame::data(Bytes::from_static(b"half"))),
            Err(error),
        ];
        let body = Body::boxed(StreamBody::new(futures_util::stream::iter(frames)));
        let token = world.bearer("alice", &["team/app:pull,push"]);
        let answer = world.send(request("PATCH", SESSION, &token, body)).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(message), "{}", answer.text());
        assert_eq!(stub.seen().pop().unwrap().body, None);
    }
}

/// hyper answers `Expect: 100-continue` when the body is first asked for.
#[tokio::test]
async fn a_body_is_not_asked_for_before_the_request_is_allowed() {
    let world = World::new(Stub::default().exchange(|_| respond(202, &[]))).await;
    let asked = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = Arc::clone(&asked);
    let stream = futures_util::stream::poll_fn(move |_| {
        flag.store(true, std::sync::atomic::Ordering::SeqCst);
        std::task::Poll::Ready(None::<Result<http_body::Frame<Bytes>, BoxError>>)
    });
    let body = Body::boxed(StreamBody::new(stream));
    let answer = world.send(request("PATCH", SESSION, "", body)).await;
    assert_eq!(answer.status, 401);
    assert!(!asked.load(std::sync::atomic::Ordering::SeqCst));
}

#[tokio::test]
async fn an_upload_may_be_finished_with_the_token_it_was_begun_under() {
    let stub = Stub::default();
    let exchange = stub.exchange(|seen| match seen.method.as_str() {
        "PUT" => respond(201, &[]),
        _ => respond(202, &[("location", SESSION)]),
    });
    let world = World::new(exchange).await;
    let alice = world.bearer("alice", &["team/app:pull,push"]);
    let readonly = world.bearer("alice", &["team/app:pull"]);
    let admin = world.bearer("admin", &["team/app:pull,push"]);
    assert_eq!(world.ask("POST", UPLOADS, &alice).await.status, 202);
    world.clock.advance(Duration::from_hours(5));
    let other = "/v2/team/app/blobs/uploads/2";
    let elsewhere = "/v2/team/other/blobs/uploads/1";
    for (who, path, status) in [
        (&alice, SESSION, 202),
        (&readonly, SESSION, 401),
        (&admin, SESSION, 401),
        (&alice, other, 401),
        (&alice, elsewhere, 401),
        (&alice, "/v2/team/app/blobs/uploads/", 405),
    ] {
        assert_eq!(
            world.ask("PATCH", path, who).await.status.as_u16(),
            status,
            "{path}"
        );
    }
    assert_eq!(world.ask("POST", UPLOADS, &alice).await.status, 401);
    let put = format!("{SESSION}&digest={DIGEST}");
    assert_eq!(world.ask("PUT", &put, &alice).await.status, 201);
    assert_eq!(
        world.ask("PATCH", SESSION, &alice).await.status,
        401,
        "the session is over"
    );
}

#[tokio::test]
async fn who_may_no_longer_push_cannot_finish_an_upload() {
    let world =
        World::new(Stub::default().exchange(|_| respond(202, &[("location", SESSION)]))).await;
    let alice = world.bearer("alice", &["team/app:pull,push"]);
    assert_eq!(world.ask("POST", UPLOADS, &alice).await.status, 202);
    world.clock.advance(Duration::from_hours(5));
    let id = world.auth.user_named("alice").await.unwrap().id;
    world.auth.delete_user(id).await.unwrap();
    assert_eq!(world.ask("PATCH", SESSION, &alice).await.status, 401);
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_blob_upload_with_it() {
    struct Gone(Arc<Notify>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (arrived, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let signals = (Arc::clone(&arrived), Arc::clone(&gone));
    let exchange = BoxCloneSyncService::new(tower::service_fn(move |_: http::Request<Body>| {
        let (arrived, gone) = signals.clone();
        let guard = Gone(gone);
        async move {
            arrived.notify_one();
            std::future::pending::<()>().await;
            drop(guard);
            Err::<Response<Body>, _>(interrupted("never"))
        }
    }));
    let world = World::new(exchange).await;
    let token = world.bearer("alice", &["team/app:pull,push"]);
    let proxy = world.proxy.clone();
    let request = request("PATCH", SESSION, &token, Body::from("layer"));
    let client = tokio::spawn(async move { proxy.handle(request).await });
    tokio::time::timeout(PATIENCE, arrived.notified())
        .await
        .unwrap();
    client.abort();
    tokio::time::timeout(PATIENCE, gone.notified())
        .await
        .unwrap();
}
