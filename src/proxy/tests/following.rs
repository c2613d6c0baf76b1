//! What a follower of uploads is told.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use http_body_util::StreamBody;
use url::Url;

use super::world::{Listener, Stub, World, request, respond};
use crate::{
    proxy::{Config, Follower, Following, Keep, NewUpload, Upstream},
    wire::{Body, BoxError, Exchange},
};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const UPLOADS: &str = "/v2/team/app/blobs/uploads/";
const SESSION: &str = "/v2/team/app/blobs/uploads/1?_state=a";

/// Follows uploads to `team/app` and notes what it is told.
#[derive(Default, Clone)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Follower for Notes {
    fn follow(&self, upload: &NewUpload<'_>) -> Option<Box<dyn Following>> {
        let is_wanted = upload.repository.as_str() == "team/app";
        self.note(format!("begin {}", upload.origin.unwrap_or("here")));
        is_wanted.then(|| Box::new(self.clone()) as Box<dyn Following>)
    }
}

impl Following for Notes {
    fn take(&self, data: &Bytes) {
        self.note(String::from_utf8_lossy(data));
    }

    fn claim(&self, digest: &crate::oci::Digest, size_bytes: Option<u64>) {
        assert_eq!(digest.as_str(), DIGEST);
        let size = size_bytes.map_or("?".to_owned(), |bytes| bytes.to_string());
        self.note(format!("claim {size}"));
    }

    fn whole(&self) {
        self.note("whole");
    }

    fn commit(&self) {
        self.note("commit");
    }
}

async fn world(exchange: Exchange) -> (World, Notes) {
    let notes = Notes::default();
    let url = Some(Url::parse("http://10.0.0.5:5000").unwrap());
    let follower: Arc<dyn Follower> = Arc::new(notes.clone());
    let upstream = Upstream {
        exchange,
        url,
        keep: Keep::Nothing,
    };
    let world = World::followed(
        upstream,
        Listener::default(),
        Config::default(),
        Some(follower),
    )
    .await;
    (world, notes)
}

/// A registry that keeps sessions; `patch` is what it says to a PATCH.
fn registry(patch: impl Fn() -> Response<Body> + Send + Sync + 'static) -> Exchange {
    Stub::default().exchange(move |seen| match seen.method.as_str() {
        "PATCH" => patch(),
        "PUT" => respond(201, &[]),
        "POST" if seen.target.contains("digest=") => respond(201, &[]),
        _ => respond(202, &[("location", SESSION)]),
    })
}

fn chunks(chunks: Vec<Result<&'static str, BoxError>>) -> Body {
    let frames = chunks
        .into_iter()
        .map(|chunk| chunk.map(|text| http_body::Frame::data(Bytes::from_static(text.as_bytes()))));
    Body::boxed(StreamBody::new(futures_util::stream::iter(frames)))
}

#[tokio::test]
async fn every_way_to_upload_is_told_whole() {
    let (world, notes) = world(registry(|| respond(202, &[("range", "0-3")]))).await;
    let token = world.bearer("alice", &["team/app:pull,push"]);
    let send = async |method: &str, path: &str, body: Body, status: u16| {
        let answer = world.send(request(method, path, &token, body)).await;
        assert_eq!(answer.status, status, "{method} {path}");
    };
    let put = format!("{SESSION}&digest={DIGEST}");
    // docker
    send("POST", UPLOADS, Body::Empty, 202).await;
    send("PATCH", SESSION, chunks(vec![Ok("ab"), Ok("cd")]), 202).await;
    send("PUT", &put, Body::Empty, 201).await;
    assert_eq!(
        notes.take(),
        ["begin here", "ab", "cd", "claim 4", "whole", "commit"]
    );
    // containerd
    send("POST", UPLOADS, Body::Empty, 202).await;
    send("PUT", &put, Body::from("abcd"), 201).await;
    assert_eq!(
        notes.take(),
        ["begin here", "claim 4", "abcd", "whole", "commit"]
    );
    // the last chunk comes with the PUT
    send("POST", UPLOADS, Body::Empty, 202).await;
    send("PATCH", SESSION, Body::from("abcd"), 202).await;
    send("PUT", &put, chunks(vec![Ok("ef")]), 201).await;
    assert_eq!(
        notes.take(),
        ["begin here", "abcd", "claim ?", "ef", "whole", "commit"]
    );
    // one request
    let monolithic = format!("{UPLOADS}?digest={DIGEST}");
    send("POST", &monolithic, Body::from("abcd"), 201).await;
    assert_eq!(
        notes.take(),
        ["begin here", "claim 4", "abcd", "whole", "commit"]
    );
}

/// What the registry behind has is not what was told, or nobody knows: it is not committed,
/// whatever follows.
#[tokio::test]
async fn an_upload_that_stumbles_is_never_committed() {
    let broken = || chunks(vec![Ok("ab"), Err("gone".into())]);
    let whole = || Body::from("abcd");
    for (patch, body, status) in [
        (respond(202, &[("range", "0-1")]), whole(), 202),
        (respond(416, &[("range", "0-1")]), whole(), 416),
        (respond(500, &[]), whole(), 500),
        (respond(202, &[]), broken(), 400),
    ] {
        let patch = Mutex::new(Some(patch));
        let (world, notes) = world(registry(move || patch.lock().unwrap().take().unwrap())).await;
        let token = world.bearer("alice", &["team/app:pull,push"]);
        world.ask("POST", UPLOADS, &token).await;
        let answer = world.send(request("PATCH", SESSION, &token, body)).await;
        assert_eq!(answer.status.as_u16(), status);
        let put = format!("{SESSION}&digest={DIGEST}");
        assert_eq!(world.ask("PUT", &put, &token).await.status, 201);
        let told = notes.take();
        assert!(!told.contains(&"commit".to_owned()), "{told:?}");
    }
}

#[tokio::test]
async fn a_refused_digest_is_not_committed() {
    let refusing = Stub::default().exchange(|seen| match seen.method.as_str() {
        "PUT" => respond(400, &[]),
        _ => respond(202, &[("location", SESSION)]),
    });
    let (world, notes) = world(refusing).await;
    let token = world.bearer("alice", &["team/app:pull,push"]);
    world.ask("POST", UPLOADS, &token).await;
    let put = format!("{SESSION}&digest={DIGEST}");
    let answer = world.send(request("PUT", &put, &token, "abcd".into()));
    assert_eq!(answer.await.status, 400);
    assert_eq!(notes.take(), ["begin here", "claim 4", "abcd", "whole"]);
}

#[tokio::test]
async fn mounts_and_what_nobody_wants_are_not_told() {
    let exchange = Stub::default().exchange(|seen| match seen.method.as_str() {
        "HEAD" => respond(200, &[]),
        "POST" if seen.target.contains("mount=") => respond(201, &[]),
        _ => respond(202, &[("location", "/v2/team/other/blobs/uploads/1")]),
    });
    let (world, notes) = world(exchange).await;
    let access = ["team/app:pull,push", "team/other:pull,push"];
    let token = world.bearer("alice", &access);
    let mount = format!("{UPLOADS}?mount={DIGEST}&from=team/other");
    assert_eq!(world.ask("POST", &mount, &token).await.status, 201);
    assert_eq!(notes.take(), [""; 0]);
    let other = "/v2/team/other/blobs/uploads/";
    assert_eq!(world.ask("POST", other, &token).await.status, 202);
    let path = format!("{other}1");
    world
        .send(request("PATCH", &path, &token, "abcd".into()))
        .await;
    assert_eq!(notes.take(), ["begin here"]);
}
