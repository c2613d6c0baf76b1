//! Two gateways that mirror each other: what is changed at one is changed at the other once.

use serde_json::json;

use crate::harness::{Database, Gateway, Image, Options, PASSWORD, Skopeo, Succeeds, until};

/// A gateway, and its policy that sends everything to the other one.
struct Side {
    gateway: Gateway,
    policy: i64,
}

/// Two gateways, each with a policy to the other.
async fn pair(database: Database) -> (Side, Side) {
    let options = Options {
        database: Some(database),
        ..Options::default()
    };
    let (here, there) = (
        Gateway::with(options.clone()).await,
        Gateway::with(options).await,
    );
    for gateway in [&here, &there] {
        gateway.create_project("team").await;
    }
    let (forth, back) = (mirror(&here, &there).await, mirror(&there, &here).await);
    let side = |gateway, policy| Side { gateway, policy };
    (side(here, forth), side(there, back))
}

/// Makes `from` mirror everything, deletions too, to `to`.
async fn mirror(from: &Gateway, to: &Gateway) -> i64 {
    let registry = json!({
        "name": "other", "type": "docker-registry", "url": to.url(), "insecure": true,
        "credential": { "type": "basic", "access_key": "admin", "access_secret": PASSWORD },
    });
    let admin = from.admin();
    let registry = admin.post("/api/v2.0/registries", &registry).await;
    let policy = json!({
        "name": "to-other", "dest_registry": { "id": registry.expect(201).id() },
        "trigger": { "type": "event_based" }, "enabled": true, "override": true, "deletion": true,
    });
    let policy = admin.post("/api/v2.0/replication/policies", &policy).await;
    policy.expect(201).id()
}

impl Side {
    fn push(&self, image: &Image, tag: &str) {
        let name = format!("{}/team/app:{tag}", self.gateway.host());
        let skopeo = Skopeo::at(&self.gateway, "admin");
        skopeo.push(image, &name).succeeds();
    }

    /// Waits until it has made `expected` executions and all of them are over.
    async fn has_executed(&self, expected: usize) {
        until("all executions are there", async || {
            let executions = self.gateway.until_mirrored(self.policy).await;
            let count = executions.as_array().unwrap().len();
            assert!(count <= expected, "{executions:#}");
            (count == expected).then_some(())
        })
        .await;
    }

    async fn status(&self, tag: &str) -> u16 {
        let client = self.gateway.token(Some("admin"), &SCOPE).await;
        let answer = client.get(&format!("/v2/team/app/manifests/{tag}")).await;
        answer.status.as_u16()
    }

    async fn manifest(&self, image: &Image) -> bytes::Bytes {
        let client = self.gateway.token(Some("admin"), &SCOPE).await;
        let path = format!("/v2/team/app/manifests/{}", image.digest);
        client.get(&path).await.expect(200).body
    }

    /// Puts a manifest as another gateway does; the answer's status.
    async fn put_mirrored(&self, tag: &str, manifest: &bytes::Bytes, origin: &str) -> u16 {
        let client = self.gateway.token(Some("admin"), &SCOPE).await;
        let headers = [
            ("content-type", "application/vnd.oci.image.manifest.v1+json"),
            ("tidegate-origin", origin),
        ];
        let path = format!("/v2/team/app/manifests/{tag}");
        let put = client.send(http::Method::PUT, &path, &headers, manifest.clone());
        put.await.status.as_u16()
    }

    async fn loses(&self, tag: &str) {
        until("the tag is gone at the other side", async || {
            (self.status(tag).await == 404).then_some(())
        })
        .await;
    }

    async fn delete(&self, tag: &str) {
        let client = self.gateway.token(Some("admin"), &SCOPE).await;
        let path = format!("/v2/team/app/manifests/{tag}");
        client.delete(&path).await.expect(202);
    }
}

const SCOPE: [&str; 1] = ["repository:team/app:pull,push,delete"];

/// A copy of a tag that was deleted meanwhile is not let in; one that was made since is.
async fn late_copies_are_refused(here: &Side, image: &Image) {
    let manifest = here.manifest(image).await;
    assert_eq!(here.put_mirrored("v2", &manifest, "feed;at=1").await, 409);
    let since = "feed;at=9000000000000";
    assert_eq!(here.put_mirrored("v4", &manifest, since).await, 201);
}

async fn one_change_is_one_copy(database: Database) {
    let (here, there) = pair(database).await;
    let image = Image::new(&[b"a layer"]);
    here.push(&image, "v1");
    here.has_executed(1).await;
    assert_eq!(there.status("v1").await, 200);

    // What came from the other side has made no execution before this one.
    there.push(&image, "v2");
    there.has_executed(1).await;

    // Either side may delete what either has pushed.
    there.delete("v1").await;
    here.loses("v1").await;
    here.delete("v2").await;
    there.loses("v2").await;
    late_copies_are_refused(&here, &image).await;
    here.push(&image, "v3");
    here.has_executed(4).await;
    there.has_executed(2).await;
    for tag in ["v1", "v2"] {
        let both = (here.status(tag).await, there.status(tag).await);
        assert_eq!(both, (404, 404), "{tag}");
    }
}

#[tokio::test]
async fn two_gateways_that_mirror_each_other_copy_each_change_once_on_sqlite() {
    one_change_is_one_copy(Database::Sqlite).await;
}

#[tokio::test]
async fn two_gateways_that_mirror_each_other_copy_each_change_once_on_postgres() {
    one_change_is_one_copy(Database::Postgres).await;
}
