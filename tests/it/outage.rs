//! The database goes away for a while, as a restart of its server or a broken network makes it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;

use crate::harness::{
    Answer, Distribution, Gateway, Http, Image, Options, Postgres, Skopeo, Succeeds, until,
};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const SCOPE: [&str; 1] = ["repository:team/app:pull,push,delete"];

/// A gateway with a database that may go away, between two registries.
struct Scene {
    database: Postgres,
    source: Distribution,
    mirror: Distribution,
    gateway: Gateway,
    image: Image,
    manifest: Bytes,
    /// Holds a token that it got while the database was there.
    client: Http,
}

impl Scene {
    /// `team/app:first` is at both registries.
    async fn set(mode: &str) -> Self {
        let database = Postgres::start().await;
        let (source, mirror) = (Distribution::start().await, Distribution::start().await);
        let gateway = Gateway::with(Options {
            upstream: Some(source.url()),
            extra: format!(
                "[database]\nurl = \"{}\"\n[replication]\nmode = \"{mode}\"\n",
                database.url()
            ),
            ..Options::default()
        })
        .await;
        gateway.create_project("team").await;
        gateway.mirror_to(&mirror.url()).await;
        let image = Image::new(&[b"a layer"]);
        let name = format!("{}/team/app:first", gateway.host());
        Skopeo::at(&gateway, "admin").push(&image, &name).succeeds();
        let client = gateway.token(Some("admin"), &SCOPE).await;
        let mut scene = Self {
            manifest: Bytes::new(),
            database,
            source,
            mirror,
            gateway,
            image,
            client,
        };
        scene.until_mirrored("first").await;
        scene.manifest = scene.pull().await;
        scene
    }

    /// Pushes the image by another tag.
    async fn push(&self, tag: &str) -> Answer {
        let manifest = self.manifest.clone();
        let headers = [("content-type", OCI_MANIFEST)];
        let path = format!("/v2/team/app/manifests/{tag}");
        self.client
            .send(Method::PUT, &path, &headers, manifest)
            .await
    }

    async fn pull(&self) -> Bytes {
        let accept = [("accept", OCI_MANIFEST)];
        let path = format!("/v2/team/app/manifests/{}", self.image.digest);
        let answer = self.client.send(Method::GET, &path, &accept, Bytes::new());
        answer.await.expect(200).body
    }

    async fn until_mirrored(&self, tag: &str) {
        let what = format!("{tag} is at the mirror");
        until(&what, async || self.mirror.digest("team/app", tag).await).await;
    }

    async fn until_back(&mut self) {
        self.database.come_back().await;
        self.gateway.until_ready().await;
        let running = "/api/v1/jobs?status=Running";
        until("no job is held any more", async || {
            let running = self.gateway.admin().get(running).await;
            (running.status == 200 && running.json() == serde_json::json!([])).then_some(())
        })
        .await;
    }

    /// What does not change anything is answered, or refused with a reason and a time.
    async fn reads_go_on(&self) {
        self.pull().await;
        self.client.get("/v2/team/app/tags/list").await.expect(200);
        self.gateway.http().get("/healthz").await.expect(200);
        let unready = self.gateway.http().get("/readyz").await.expect(503);
        assert!(unready.text().contains("database"), "{}", unready.text());
        let paths = [
            "/api/v2.0/projects",
            "/api/v1/jobs",
            "/api/v1/replication/lag",
        ];
        let admin = self.gateway.admin();
        for answer in join_all(paths.map(|path| admin.get(path))).await {
            refused(&answer);
        }
        let stranger = self.gateway.http().basic("nobody", "Nobody12345");
        refused(&stranger.get("/service/token").await);
    }
}

fn refused(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn required_refuses_pushes_until_the_database_is_back() {
    let mut scene = Scene::set("required").await;
    let pushed = ["a", "b", "c"];
    for tag in pushed {
        scene.push(tag).await.expect(201);
    }
    scene.database.go_away().await;
    let refusal = scene.push("late").await;
    refused(&refusal);
    assert!(
        refusal.text().contains("database is away"),
        "{}",
        refusal.text()
    );
    assert_eq!(scene.source.digest("team/app", "late").await, None);
    refused(&scene.client.delete("/v2/team/app/manifests/first").await);
    scene.reads_go_on().await;

    scene.until_back().await;
    for tag in pushed {
        scene.until_mirrored(tag).await;
    }
    scene.push("late").await.expect(201);
    scene.until_mirrored("late").await;
    let first = scene.mirror.digest("team/app", "first").await;
    assert!(first.is_some(), "what was refused did not happen");
}

#[tokio::test]
async fn best_effort_keeps_pushes_and_mirrors_them_when_the_database_is_back() {
    let mut scene = Scene::set("best_effort").await;
    scene.push("before").await.expect(201);
    scene.database.go_away().await;
    let (begun, kept) = (Instant::now(), ["a", "b", "c", "d", "e", "f"]);
    for tag in kept {
        scene.push(tag).await.expect(201);
    }
    // Only the first waits five seconds for a connection, to be allowed and to be written down.
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(20), "each waits: {waited:?}");
    scene.reads_go_on().await;
    assert_eq!(scene.mirror.digest("team/app", "a").await, None);

    scene.until_back().await;
    for tag in ["before"].into_iter().chain(kept) {
        scene.until_mirrored(tag).await;
    }
}
