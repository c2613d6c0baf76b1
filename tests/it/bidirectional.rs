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
        let scope = ["repository:team/app:pull"];
        let client = self.gateway.token(Some("admin"), &scope).await;
        let answer = client.get(&format!("/v2/team/app/manifests/{tag}")).await;
        answer.status.as_u16()
    }

    async fn delete(&self, tag: &str) {
        let scope = ["repository:team/app:pull,delete"];
        let client = self.gateway.token(Some("admin"), &scope).await;
        let path = format!("/v2/team/app/manifests/{tag}");
        client.delete(&path).await.expect(202);
    }
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
    assert_eq!(here.status("v2").await, 200);

    // Either side may delete what either has pushed.
    there.delete("v1").await;
    until("the tag is gone at the other side", async || {
        (here.status("v1").await == 404).then_some(())
    })
    .await;
    here.delete("v2").await;
    until("the tag is gone at the other side", async || {
        (there.status("v2").await == 404).then_some(())
    })
    .await;
    here.push(&image, "v3");
    here.has_executed(3).await;
    there.has_executed(2).await;
    assert_eq!(
        (here.status("v1").await, there.status("v1").await),
        (404, 404)
    );
    assert_eq!(
        (here.status("v2").await, there.status("v2").await),
        (404, 404)
    );
}

#[tokio::test]
async fn two_gateways_that_mirror_each_other_copy_each_change_once_on_sqlite() {
    one_change_is_one_copy(Database::Sqlite).await;
}

#[tokio::test]
async fn two_gateways_that_mirror_each_other_copy_each_change_once_on_postgres() {
    one_change_is_one_copy(Database::Postgres).await;
}
