//! Storage limits: what does not fit does not reach the registry behind.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request};
use http_body::{Frame, SizeHint};
use http_body_util::StreamBody;
use serde_json::json;
use tokio::sync::Semaphore;
use tower::util::BoxCloneSyncService;

use super::world::{Answer, Stub, World, request, respond};
use crate::{
    inventory::{Change, Ended, Pushed, Reach},
    oci::{Digest, Manifest, Reference, media_type},
    store::testing::databases,
    wire::{Body, BoxError, Exchange},
};

const UPLOADS: &str = "/v2/team/app/blobs/uploads/";
const SESSION: &str = "/v2/team/app/blobs/uploads/1?_state=a%3D%3D";
const ENDED: &str = "DELETE /v2/team/app/blobs/uploads/1?_state=a%3D%3D";

/// A registry that takes everything.
fn taking(stub: &Stub) -> Exchange {
    stub.exchange(|seen| {
        let target = &seen.target;
        match seen.method {
            Method::HEAD if target.contains(Digest::sha256(b"config").as_str()) => {
                respond(200, &[("content-length", "600")])
            }
            Method::HEAD => respond(200, &[("content-length", "60")]),
            Method::POST if target.contains("mount=") || target.contains("digest=") => {
                respond(201, &[("location", "/v2/x")])
            }
            Method::POST => respond(202, &[("location", SESSION)]),
            Method::PATCH => {
                let last = seen.body.as_ref().map_or(0, Bytes::len).saturating_sub(1);
                respond(
                    202,
                    &[("location", SESSION), ("range", &format!("0-{last}"))],
                )
            }
            Method::DELETE => respond(204, &[]),
            _ => respond(201, &[]),
        }
    })
}

/// Over such a registry; the project may hold 100 bytes.
async fn world(stub: &Stub) -> World {
    let world = World::new(taking(stub)).await;
    world.limit_team(100).await;
    world
}

fn token(world: &World) -> String {
    world.bearer(
        "alice",
        &[
            "team/app:pull,push",
            "team/copy:pull,push",
            "open/base:pull",
        ],
    )
}

/// Chunks whose number the client does not say.
fn chunks(sizes: &[usize]) -> Body {
    let frames = sizes.iter().map(|size| {
        let data = Bytes::from(vec![b'x'; *size]);
        Ok::<_, Infallible>(Frame::data(data))
    });
    Body::boxed(StreamBody::new(futures_util::stream::iter(
        frames.collect::<Vec<_>>(),
    )))
}

async fn upload(world: &World, patch: Body) -> Answer {
    let token = token(world);
    assert_eq!(world.ask("POST", UPLOADS, &token).await.status, 202);
    world.send(request("PATCH", SESSION, &token, patch)).await
}

async fn finish(world: &World, digest: &Digest) -> Answer {
    let put = format!("{SESSION}&digest={digest}");
    world.ask("PUT", &put, &token(world)).await
}

fn assert_refused(answer: &Answer, sentence: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (403, "DENIED")
    );
    assert!(answer.text().contains(sentence), "{}", answer.text());
}

/// What the registry behind has been asked, once nothing is under way any more.
async fn asked(world: &World, stub: &Stub) -> Vec<String> {
    world.tasks.close();
    world.tasks.wait().await;
    world.tasks.reopen();
    stub.lines()
}

#[tokio::test]
async fn an_upload_that_does_not_fit_is_refused_before_it_is_sent() {
    let stub = Stub::default();
    let world = world(&stub).await;
    let refused = upload(&world, Body::from(vec![0; 101])).await;
    assert_refused(
        &refused,
        "adding 101 B of storage resource, which when updated to current usage of 0 B will \
         exceed the configured upper limit of 100 B.",
    );
    let lines = asked(&world, &stub).await;
    assert_eq!(lines, [format!("POST {UPLOADS}"), ENDED.to_owned()]);
    let whole = format!("{UPLOADS}?digest={}", Digest::sha256(b"x"));
    let post = request("POST", &whole, &token(&world), Body::from(vec![0; 101]));
    assert_refused(&world.send(post).await, "adding 101 B");
    assert_eq!(asked(&world, &stub).await.len(), 2);
    assert_eq!(upload(&world, Body::from(vec![0; 100])).await.status, 202);
}

#[tokio::test]
async fn an_upload_of_unknown_length_is_cut_where_the_room_ends() {
    let stub = Stub::default();
    let world = world(&stub).await;
    let refused = upload(&world, chunks(&[60, 40, 1, 1000])).await;
    assert_refused(&refused, "adding 101 B");
    let lines = asked(&world, &stub).await;
    assert_eq!(lines.last().unwrap(), ENDED);
    let cut = stub
        .seen()
        .into_iter()
        .find(|seen| seen.method == Method::PATCH);
    assert!(
        cut.unwrap().body.is_none(),
        "the registry saw a broken request"
    );
    assert_eq!(upload(&world, chunks(&[60, 40])).await.status, 202);
}

#[tokio::test]
async fn the_requests_of_one_upload_count_together() {
    let stub = Stub::default();
    let world = world(&stub).await;
    assert_eq!(upload(&world, Body::from(vec![0; 60])).await.status, 202);
    let put = format!("{SESSION}&digest={}", Digest::sha256(b"x"));
    let last = request("PUT", &put, &token(&world), Body::from(vec![0; 41]));
    assert_refused(&world.send(last).await, "adding 101 B");
    // It is over, and what it held is free.
    assert_eq!(upload(&world, Body::from(vec![0; 100])).await.status, 202);
    assert_eq!(finish(&world, &Digest::sha256(b"y")).await.status, 201);
    let other = world
        .send(request("PATCH", SESSION, &token(&world), chunks(&[1])))
        .await;
    assert_refused(&other, "current usage of 100 B");
}

/// An upload at once, of this many bytes.
fn whole(world: &World, bytes: usize) -> Request<Body> {
    let path = format!("{UPLOADS}?digest={}", Digest::sha256(&bytes.to_be_bytes()));
    request("POST", &path, &token(world), Body::from(vec![0; bytes]))
}

#[tokio::test]
async fn what_the_registry_did_not_take_is_free_again() {
    let ten = [("range", "0-9")];
    for (status, headers, room) in [(416, 0, 100), (416, 1, 90), (404, 0, 100), (500, 0, 100)] {
        let stub = Stub::default();
        let world = World::new(stub.exchange(move |seen| match seen.method {
            Method::PATCH => respond(status, &ten[..headers]),
            _ if seen.target.contains("digest=") => respond(201, &[("location", "/v2/x")]),
            _ => respond(202, &[("location", SESSION)]),
        }))
        .await;
        world.limit_team(100).await;
        let answer = upload(&world, Body::from(vec![0; 60])).await;
        assert_eq!(answer.status, status);
        let more = world.send(whole(&world, room + 1)).await;
        assert_eq!(more.status, 403, "{status} {headers}");
        let fits = world.send(whole(&world, room)).await;
        assert_eq!(fits.status, 201, "{status} {headers}");
    }
}

#[tokio::test]
async fn what_breaks_off_counts_for_its_session() {
    let arrived = Arc::new(Semaphore::new(0));
    let gate = arrived.clone();
    let registry = BoxCloneSyncService::new(tower::service_fn(move |asked: Request<Body>| {
        let gate = gate.clone();
        async move {
            match *asked.method() {
                Method::PATCH => {
                    gate.add_permits(1);
                    std::future::pending().await
                }
                _ => Ok(respond(202, &[("location", SESSION)])),
            }
        }
    }));
    let world = World::new(registry).await;
    world.limit_team(100).await;
    {
        let upload = std::pin::pin!(upload(&world, Body::from(vec![0; 60])));
        let arrived = std::pin::pin!(arrived.acquire());
        futures_util::future::select(upload, arrived).await;
    }
    let more = world.send(whole(&world, 41)).await;
    assert_refused(&more, "current usage of 60 B");
}

#[tokio::test]
async fn what_the_project_has_costs_nothing_again() {
    let stub = Stub::default();
    let world = world(&stub).await;
    let blob = Digest::sha256(b"blob");
    assert_eq!(upload(&world, Body::from(vec![0; 60])).await.status, 202);
    assert_eq!(finish(&world, &blob).await.status, 201);
    let post = |repository: &str, query: &str| {
        let path = format!("/v2/team/{repository}/blobs/uploads/?{query}");
        request("POST", &path, &token(&world), Body::from(vec![0; 60]))
    };
    let again = post("copy", &format!("digest={blob}"));
    assert_eq!(world.send(again).await.status, 201);
    let mounted = post("copy", &format!("mount={blob}&from=team/app"));
    assert_eq!(world.send(mounted).await.status, 201);
    let other = post("copy", &format!("digest={}", Digest::sha256(b"other")));
    assert_refused(&world.send(other).await, "current usage of 60 B");
}

/// A body that breaks off before it has the length it says.
struct BreaksOff(u64);

impl http_body::Body for BreaksOff {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(Some(Err("connection reset".into())))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

/// Puts an image into the index whose config is `config` and has 60 bytes; how much it takes.
async fn record(world: &World, config: &Digest) -> usize {
    let text = image(config, 60);
    let parsed = Manifest::parse(media_type::OCI_MANIFEST, text.as_bytes()).unwrap();
    let digest = Digest::sha256(text.as_bytes());
    let pushed = Pushed {
        repository: "team/app".parse().unwrap(),
        digest: digest.clone(),
        media_type: media_type::OCI_MANIFEST.to_owned(),
        size_bytes: text.len() as u64,
        manifest: Some(Arc::new(parsed)),
        tags: Vec::new(),
    };
    let change = Change {
        repository: pushed.repository.clone(),
        reference: Reference::Digest(digest),
    };
    let (inventory, ended) = (&world.shelf.inventory, Ended::Pushed(pushed));
    inventory.begin(&change, Reach::Reference);
    inventory.conclude(&change, Reach::Reference, ended).await;
    world.clock.advance(Duration::from_secs(1));
    text.len() + 60
}

#[tokio::test]
async fn the_name_of_a_blob_that_the_project_has_does_not_pass_the_limit() {
    for db in databases().await {
        let stub = Stub::default();
        let world = World::over_one_connection(db, taking(&stub)).await;
        world.limit_team(1000).await;
        let blob = Digest::sha256(b"blob");
        let room = 1000 - record(&world, &blob).await;
        let token = token(&world);
        let last = format!("{SESSION}&digest={blob}");
        let whole_post = format!("{UPLOADS}?digest={blob}");
        for (method, path) in [("PUT", &last), ("POST", &whole_post)] {
            assert_eq!(world.ask("POST", UPLOADS, &token).await.status, 202);
            let body = Body::boxed(BreaksOff(1 << 40));
            let long = world.send(request(method, path, &token, body)).await;
            assert_refused(&long, "adding 1.0 TiB");
        }
        assert_eq!(world.ask("POST", UPLOADS, &token).await.status, 202);
        let broken = request("PUT", &last, &token, Body::boxed(BreaksOff(60)));
        assert_eq!(world.send(broken).await.status, 400);
        let more = world.send(whole(&world, room - 59)).await;
        assert_refused(&more, "exceed");
        let again = request("PUT", &last, &token, Body::from(vec![0; 0]));
        assert_eq!(world.send(again).await.status, 201);
        assert_eq!(world.send(whole(&world, room)).await.status, 201);
        let same = request("POST", &whole_post, &token, Body::from(vec![0; 60]));
        assert_eq!(world.send(same).await.status, 201, "nothing is added");
    }
}

#[tokio::test]
async fn a_mount_brings_no_bytes() {
    let stub = Stub::default();
    let world = world(&stub).await;
    let (one, other) = (Digest::sha256(b"one"), Digest::sha256(b"other"));
    let path = format!("{UPLOADS}?mount={one}&from=open/base&digest={other}");
    let mount = request("POST", &path, &token(&world), Body::from(vec![0; 1000]));
    assert_eq!(world.send(mount).await.status, 201);
    let seen = stub.seen().pop().unwrap();
    assert!(!seen.target.contains("digest="), "{}", seen.target);
    assert_eq!(seen.body.as_deref(), Some(&[][..]));
}

#[tokio::test]
async fn a_mount_from_another_project_counts() {
    let stub = Stub::default();
    let world = world(&stub).await;
    let mount = |blob: &[u8]| {
        let blob = Digest::sha256(blob);
        request(
            "POST",
            &format!("{UPLOADS}?mount={blob}&from=open/base"),
            &token(&world),
            Body::Empty,
        )
    };
    assert_eq!(world.send(mount(b"one")).await.status, 201);
    assert_refused(&world.send(mount(b"two")).await, "adding 60 B");
    let mounts = stub
        .lines()
        .into_iter()
        .filter(|line| line.contains("mount="));
    assert_eq!(mounts.count(), 1);
}

#[tokio::test]
async fn what_cannot_be_measured_is_uploaded_instead_of_mounted() {
    for (limit, is_mounted) in [(-1, true), (100, false)] {
        let stub = Stub::default();
        let world = World::new(stub.exchange(|seen| match seen.method {
            Method::HEAD => respond(307, &[("location", "https://blobs.example/x")]),
            _ => respond(202, &[("location", SESSION)]),
        }))
        .await;
        world.limit_team(limit).await;
        let path = format!("{UPLOADS}?mount={}&from=open/base", Digest::sha256(b"x"));
        let answer = world.ask("POST", &path, &token(&world)).await;
        assert_eq!(answer.status, 202);
        assert_eq!(stub.lines()[1].contains("mount="), is_mounted);
        let path = format!("{path}&digest={}", Digest::sha256(b"y"));
        let body = Body::from(vec![0; 101]);
        let answer = world.send(request("POST", &path, &token(&world), body));
        let status = if is_mounted { 202 } else { 403 };
        assert_eq!(answer.await.status, status);
    }
}

fn image(config: &Digest, size: u64) -> String {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "layers": [],
        "config": { "mediaType": media_type::OCI_CONFIG, "digest": config, "size": size },
    });
    manifest.to_string()
}

fn manifest(world: &World, size: u64) -> Request<Body> {
    manifest_of(world, &image(&Digest::sha256(b"config"), size))
}

fn manifest_of(world: &World, text: &str) -> Request<Body> {
    let path = "/v2/team/app/manifests/v1";
    let mut put = request("PUT", path, &token(world), Body::from(text.to_owned()));
    let kind = media_type::OCI_MANIFEST.parse().unwrap();
    put.headers_mut().insert("content-type", kind);
    put
}

#[tokio::test]
async fn a_manifest_that_does_not_fit_is_not_sent() {
    let stub = Stub::default();
    let world = world(&stub).await;
    world.limit_team(700).await;
    assert_refused(&world.send(manifest(&world, 600)).await, "limit of 700 B");
    assert_eq!(stub.lines(), [ask_for_config()], "it was asked for alone");
    assert!(world.observer.heard().is_empty(), "nothing began");
    world.limit_team(1000).await;
    assert_eq!(world.send(manifest(&world, 600)).await.status, 201);
    assert_eq!(world.send(manifest(&world, 600)).await.status, 201);
}

fn ask_for_config() -> String {
    let config = Digest::sha256(b"config");
    format!("HEAD /v2/team/app/blobs/{config}")
}

#[tokio::test]
async fn a_manifest_that_lies_about_a_size_is_refused_where_it_counts() {
    for (limit, status) in [(-1, 201), (10_000, 400)] {
        let stub = Stub::default();
        let world = world(&stub).await;
        world.limit_team(limit).await;
        for size in [1, 601] {
            let answer = world.send(manifest(&world, size)).await;
            assert_eq!(answer.status, status);
            if status == 400 {
                assert_eq!(answer.code(), "MANIFEST_INVALID");
                let said = format!("announces {size} bytes");
                assert!(answer.text().contains(&said), "{}", answer.text());
            }
        }
        let asked = stub.lines().into_iter();
        let asked = asked.filter(|line| line.starts_with("HEAD")).count();
        assert_eq!(asked, usize::from(status == 400), "a size is remembered");
    }
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_is_refused_where_it_counts() {
    let blob = json!({ "digest": Digest::sha256(b"config"), "size": 600 });
    for text in [
        format!(r#"{{"layers":[],"layers":[{blob}]}}"#),
        format!(r#"{{"Layers":[{blob}]}}"#),
    ] {
        for (limit, status) in [(-1, 201), (10_000, 400)] {
            let stub = Stub::default();
            let world = world(&stub).await;
            world.limit_team(limit).await;
            let answer = world.send(manifest_of(&world, &text)).await;
            assert_eq!(answer.status, status, "{text}");
            assert_eq!(stub.lines().is_empty(), status == 400);
        }
    }
}

#[tokio::test]
async fn a_size_that_a_client_has_asked_for_is_known() {
    let stub = Stub::default();
    let world = world(&stub).await;
    world.limit_team(10_000).await;
    let config = Digest::sha256(b"config");
    let path = format!("/v2/team/app/blobs/{config}");
    assert_eq!(world.ask("HEAD", &path, &token(&world)).await.status, 200);
    assert_eq!(world.send(manifest(&world, 1)).await.status, 400);
    assert_eq!(world.send(manifest(&world, 600)).await.status, 201);
    let put = "PUT /v2/team/app/manifests/v1".to_owned();
    assert_eq!(stub.lines(), [ask_for_config(), put]);
}

#[tokio::test]
async fn what_the_registry_does_not_have_or_say_is_refused_or_believed() {
    for (found, status) in [(404, 400), (307, 201), (500, 201)] {
        let stub = Stub::default();
        let world = World::new(stub.exchange(move |seen| match seen.method {
            Method::HEAD => respond(found, &[("location", "https://blobs.example/x")]),
            _ => respond(201, &[]),
        }))
        .await;
        world.limit_team(10_000).await;
        let answer = world.send(manifest(&world, 600)).await;
        assert_eq!(answer.status, status, "{found}");
        if status == 400 {
            assert_eq!(answer.code(), "MANIFEST_BLOB_UNKNOWN");
        }
    }
}

#[tokio::test]
async fn a_manifest_that_the_registry_refuses_costs_nothing() {
    let stub = Stub::default();
    let world = World::new(stub.exchange(|_| respond(400, &[]))).await;
    world.limit_team(1000).await;
    for size in [600, 601] {
        assert_eq!(world.send(manifest(&world, size)).await.status, 400);
    }
}

/// A thousand blobs fit, just; fifty more do not. All are with the registry at once, and the
/// only connection is free meanwhile.
#[tokio::test]
async fn a_thousand_commits_at_once_are_counted_and_hold_no_connection() {
    for db in databases().await {
        let (arrived, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let gate = (arrived.clone(), go.clone());
        let registry = BoxCloneSyncService::new(tower::service_fn(move |_: Request<Body>| {
            let (arrived, go) = gate.clone();
            async move {
                arrived.add_permits(1);
                go.acquire().await.unwrap().forget();
                Ok(respond(201, &[("location", "/v2/x")]))
            }
        }));
        let world = World::over_one_connection(db, registry).await;
        world.limit_team(1_000_000).await;
        let token = token(&world);
        let commits = (0..1050).map(|number: u32| {
            let digest = Digest::sha256(&number.to_be_bytes());
            let path = format!("{UPLOADS}?digest={digest}");
            world.send(request("POST", &path, &token, Body::from(vec![0; 1000])))
        });
        let others = async {
            arrived.acquire_many(1000).await.unwrap().forget();
            let team = world.auth.project_named("team").await.unwrap();
            assert_eq!(team.storage_limit, 1_000_000, "it can be asked meanwhile");
            go.add_permits(1000);
        };
        let (answers, ()) = tokio::join!(join_all(commits), others);
        let stored = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(stored, 1000);
        let refused = answers.iter().find(|answer| answer.status != 201);
        assert_refused(refused.unwrap(), "limit of 976.6 KiB");
    }
}
