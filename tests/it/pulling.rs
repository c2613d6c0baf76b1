//! What a policy brings into the gateway is a change like a client's push: guarded, written down
//! and sent on.

use serde_json::{Value, json};

use crate::harness::{
    Database, Distribution, Gateway, Image, Options, PASSWORD, Skopeo, Succeeds, rule_for_tags,
    until,
};

/// A gateway with a policy that brings `library/app` from a registry.
struct World {
    gateway: Gateway,
    policy: i64,
    /// Pushes into that registry.
    elsewhere: Gateway,
    _source: Distribution,
}

const EXECUTIONS: &str = "/api/v2.0/replication/executions";

impl World {
    async fn start(database: Database) -> Self {
        let source = Distribution::start().await;
        let elsewhere = Gateway::with(Options {
            upstream: Some(source.url()),
            ..Options::default()
        })
        .await;
        let gateway = Gateway::with(Options {
            database: Some(database),
            ..Options::default()
        })
        .await;
        let admin = gateway.admin();
        let registry =
            json!({ "name": "elsewhere", "type": "docker-registry", "url": source.url() });
        let registry = admin.post("/api/v2.0/registries", &registry).await;
        let policy = json!({
            "name": "bring", "src_registry": { "id": registry.expect(201).id() },
            "filters": [{ "type": "name", "value": "library/app" }],
            "trigger": { "type": "manual" }, "enabled": true, "override": true,
        });
        let policy = admin.post("/api/v2.0/replication/policies", &policy).await;
        Self {
            policy: policy.expect(201).id(),
            gateway,
            elsewhere,
            _source: source,
        }
    }

    fn push_there(&self, image: &Image, tag: &str) {
        let name = format!("{}/library/app:{tag}", self.elsewhere.host());
        let skopeo = Skopeo::with(&self.elsewhere, "admin", PASSWORD);
        skopeo.push(image, &name).succeeds();
    }

    /// Runs the policy to its end: the execution, and the logs of its tasks.
    async fn bring(&self) -> (Value, String) {
        let admin = self.gateway.admin();
        // Not refused in read-only mode, as the way by `EXECUTIONS` is.
        let parameters = json!({ "policy": self.policy });
        let job = json!({ "job": {
            "name": "replication.execute", "parameters": parameters,
            "metadata": { "kind": "Generic" },
        } });
        let before = self.executions().await.len();
        admin.post("/api/v1/jobs", &job).await.expect(202);
        let execution = until("the execution has ended", async || {
            let executions = self.executions().await;
            let is_new = executions.len() > before;
            let ended = is_new && executions[0]["status"] != "InProgress";
            ended.then(|| executions[0].clone())
        })
        .await;
        let tasks = format!("{EXECUTIONS}/{}/tasks", execution["id"]);
        let mut logs = String::new();
        for task in admin
            .get(&tasks)
            .await
            .expect(200)
            .json()
            .as_array()
            .unwrap()
        {
            let log = admin.get(&format!("{tasks}/{}/log", task["id"])).await;
            logs += &log.expect(200).text();
        }
        (execution, logs)
    }

    async fn executions(&self) -> Vec<Value> {
        let path = format!("{EXECUTIONS}?policy_id={}", self.policy);
        let listed = self.gateway.admin().get(&path).await.expect(200).json();
        listed.as_array().unwrap().clone()
    }

    async fn digest(&self, tag: &str) -> Option<String> {
        let scope = ["repository:library/app:pull"];
        let reader = self.gateway.token(Some("admin"), &scope).await;
        let path = format!("/v2/library/app/manifests/{tag}");
        let answer = reader.get(&path).await;
        (answer.status == 200).then(|| answer.header("docker-content-digest").to_owned())
    }
}

#[tokio::test]
async fn what_is_brought_here_is_recorded_and_sent_on_once() {
    for database in Database::BOTH {
        let world = World::start(database).await;
        let target = Distribution::start().await;
        let onward = world.gateway.mirror_to(&target.url()).await;
        let image = Image::new(&[b"from elsewhere"]);
        world.push_there(&image, "v1");
        let (execution, logs) = world.bring().await;
        assert_eq!(execution["status"], "Succeed", "{logs}");
        let digest = image.digest.to_string();
        assert_eq!(world.digest("v1").await.as_ref(), Some(&digest));
        world.gateway.until_mirrored(onward).await;
        let there = target.digest("library/app", "v1").await;
        assert_eq!(there.as_ref(), Some(&digest));
        let admin = world.gateway.admin();
        until("the audit log has it", async || {
            let found = "/api/v2.0/auditlog-exts?q=username%3Dreplication";
            let entries = admin.get(found).await.expect(200).json();
            let entries = entries.as_array().unwrap();
            (entries.len() == 1 && entries[0]["resource"] == "library/app:v1").then_some(())
        })
        .await;

        // What is here already is no change.
        let (execution, _) = world.bring().await;
        assert_eq!(execution["status"], "Succeed");
        let executions = world.gateway.until_mirrored(onward).await;
        assert_eq!(executions.as_array().unwrap().len(), 1, "{executions:#}");
    }
}

#[tokio::test]
async fn immutable_tags_and_read_only_mode_hold_for_what_is_brought_here() {
    for database in Database::BOTH {
        let world = World::start(database).await;
        let (old, new) = (Image::new(&[b"old"]), Image::new(&[b"new"]));
        world.push_there(&old, "v1");
        let (execution, logs) = world.bring().await;
        assert_eq!(execution["status"], "Succeed", "{logs}");
        let admin = world.gateway.admin();
        let rules = "/api/v2.0/projects/library/immutabletagrules";
        let rule = admin.post(rules, &rule_for_tags("**")).await;
        let rule = rule.expect(201).id();
        world.push_there(&new, "v1");
        let (execution, logs) = world.bring().await;
        assert_eq!(execution["status"], "Failed", "{logs}");
        assert!(logs.contains("v1 of library/app is immutable"), "{logs}");
        assert_eq!(world.digest("v1").await, Some(old.digest.to_string()));

        admin.delete(&format!("{rules}/{rule}")).await.expect(200);
        let configuration = "/api/v2.0/configurations";
        let is_read_only = |value: bool| json!({ "read_only": value });
        admin
            .put(configuration, &is_read_only(true))
            .await
            .expect(200);
        let (execution, logs) = world.bring().await;
        assert_eq!(execution["status"], "Failed", "{logs}");
        assert!(logs.contains("read-only mode"), "{logs}");
        admin
            .put(configuration, &is_read_only(false))
            .await
            .expect(200);
        let (execution, logs) = world.bring().await;
        assert_eq!(execution["status"], "Succeed", "{logs}");
        assert_eq!(world.digest("v1").await, Some(new.digest.to_string()));
    }
}
