use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::{
    ADMIN, ALICE, Api, NOBODY, assert_fields, on_each_database,
    target::{Target, policy},
};
use crate::{
    oci::{Digest, RepositoryName},
    wire::{self, Body},
};

/// A policy that was run to its end.
struct Run {
    target: Target,
    policy: i64,
    execution: i64,
    /// What was pushed to `team/app:v1` before.
    digest: Digest,
}

impl Run {
    async fn finish(api: &Api) -> Self {
        let target = Target::start().await;
        let name: RepositoryName = "team/app".parse().unwrap();
        let digest = push(api, &name, "v1").await;
        let registry = api
            .post("/registries", ADMIN, target.described("mirror"))
            .await
            .id();
        let policy = policy("p", registry);
        let policy = api.post("/replication/policies", ADMIN, policy).await.id();
        let start = json!({"policy_id": policy});
        let started = api.post("/replication/executions", ADMIN, start).await;
        let execution = started.created("/replication/executions/");
        finished(api, &format!("/replication/executions/{execution}")).await;
        Self {
            target,
            policy,
            execution,
            digest,
        }
    }

    fn path(&self) -> String {
        format!("/replication/executions/{}", self.execution)
    }
}

#[tokio::test]
async fn an_execution_tells_how_it_went() {
    on_each_database(async |api| {
        let run = Run::finish(api).await;
        let shown = api.get(&run.path(), ADMIN).await.json();
        let fields = [
            "id",
            "policy_id",
            "status",
            "status_text",
            "trigger",
            "start_time",
            "end_time",
            "total",
            "failed",
            "succeed",
            "in_progress",
            "stopped",
        ];
        assert_fields(&shown, &fields);
        assert_eq!(
            (&shown["status"], &shown["succeed"]),
            (&json!("Succeed"), &json!(1)),
            "{shown}"
        );
        assert_eq!(head(&run.target, "team/app", "v1").await, run.digest);
    })
    .await;
}

#[tokio::test]
async fn tasks_and_their_logs_are_shown() {
    on_each_database(async |api| {
        let run = Run::finish(api).await;
        let tasks = format!("{}/tasks", run.path());
        let listed = api.get(&format!("{tasks}?status=Succeed"), ADMIN).await;
        assert_eq!(listed.header("x-total-count"), "1");
        let task = listed.json()[0].clone();
        let fields = [
            "id",
            "execution_id",
            "status",
            "job_id",
            "operation",
            "resource_type",
            "src_resource",
            "dst_resource",
            "start_time",
            "end_time",
        ];
        assert_fields(&task, &fields);
        let (source, operation) = (&task["src_resource"], &task["operation"]);
        assert_eq!((source, operation), (&json!("team/app:v1"), &json!("copy")));
        let log = api.get(&format!("{tasks}/{}/log", task["id"]), ADMIN).await;
        assert!(log.header("content-type").starts_with("text/plain"));
        assert!(
            String::from_utf8_lossy(&log.body).contains("team/app"),
            "{log:?}"
        );
        api.get(&format!("{tasks}/999/log"), ADMIN)
            .await
            .refused(404, "NOT_FOUND");
        let others = api
            .get(&format!("{tasks}?resource_type=chart"), ADMIN)
            .await;
        assert_eq!(others.header("x-total-count"), "0");
    })
    .await;
}

#[tokio::test]
async fn executions_are_listed_and_stopped() {
    on_each_database(async |api| {
        let run = Run::finish(api).await;
        let executions = "/replication/executions";
        let of_policy = format!("{executions}?policy_id={}", run.policy);
        assert_eq!(
            api.get(&of_policy, ADMIN).await.column("id"),
            [json!(run.execution)]
        );
        let failed = api.get(&format!("{executions}?status=Failed"), ADMIN).await;
        assert_eq!(failed.header("x-total-count"), "0");
        assert_eq!(api.put(&run.path(), ADMIN, Value::Null).await.status, 200);
        let absent = format!("{executions}/999");
        api.get(&absent, ADMIN).await.refused(404, "NOT_FOUND");
        api.put(&absent, ADMIN, Value::Null)
            .await
            .refused(404, "NOT_FOUND");
        let unknown = json!({"policy_id": 999});
        api.post(executions, ADMIN, unknown)
            .await
            .refused(404, "NOT_FOUND");
        // Nothing of it failed, and nothing is under way.
        let (run, policy) = (run.execution, run.policy);
        for (path, unknown) in [
            (
                format!("{OURS}/executions/{run}/retry"),
                format!("{OURS}/executions/999/retry"),
            ),
            (
                format!("{OURS}/policies/{policy}/stop"),
                format!("{OURS}/policies/999/stop"),
            ),
        ] {
            let answer = api.post(&path, ADMIN, Value::Null).await;
            assert_eq!(
                (answer.status, &answer.json()["count"]),
                (200, &json!(0)),
                "{path}"
            );
            let answer = api.post(&unknown, ADMIN, Value::Null).await;
            answer.refused(404, "NOT_FOUND");
        }
        let firings = api
            .get(&format!("{OURS}/policies/{policy}/firings"), ADMIN)
            .await;
        assert_eq!((firings.status, firings.json()), (200, json!([])));
    })
    .await;
}

#[tokio::test]
async fn replication_is_for_system_administrators() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        let target = Target::start().await;
        let operations = [
            ("GET", "/registries", Value::Null),
            ("POST", "/registries", target.described("mirror")),
            ("POST", "/registries/ping", target.described("mirror")),
            ("GET", "/registries/1", Value::Null),
            ("PUT", "/registries/1", json!({})),
            ("DELETE", "/registries/1", Value::Null),
            ("GET", "/registries/1/info", Value::Null),
            ("GET", "/replication/adapters", Value::Null),
            ("GET", "/replication/adapterinfos", Value::Null),
            ("GET", "/replication/policies", Value::Null),
            ("POST", "/replication/policies", policy("p", 1)),
            ("GET", "/replication/policies/1", Value::Null),
            ("PUT", "/replication/policies/1", policy("p", 1)),
            ("DELETE", "/replication/policies/1", Value::Null),
            ("GET", "/replication/executions", Value::Null),
            ("POST", "/replication/executions", json!({"policy_id": 1})),
            ("GET", "/replication/executions/1", Value::Null),
            ("PUT", "/replication/executions/1", Value::Null),
            ("GET", "/replication/executions/1/tasks", Value::Null),
            ("GET", "/replication/executions/1/tasks/1/log", Value::Null),
            ("GET", "/api/v1/replication/lag", Value::Null),
            (
                "POST",
                "/api/v1/replication/executions/1/retry",
                Value::Null,
            ),
            ("POST", "/api/v1/replication/policies/1/stop", Value::Null),
            ("GET", "/api/v1/replication/policies/1/firings", Value::Null),
        ];
        for (method, path, body) in operations {
            let method: Method = method.parse().unwrap();
            let ask = async |who| {
                api.send(method.clone(), path, who, body.clone())
                    .await
                    .status
            };
            assert_eq!(
                (ask(NOBODY).await, ask(ALICE).await),
                (401, 403),
                "{method} {path}"
            );
        }
    })
    .await;
}

/// Pushes an artifact without blobs worth mentioning to the registry behind the gateway.
async fn push(api: &Api, name: &RepositoryName, tag: &str) -> Digest {
    let empty = Bytes::from_static(b"{}");
    let config = Digest::sha256(&empty);
    let start = format!("/v2/{name}/blobs/uploads/?digest={config}");
    assert_eq!(exchange(api, Method::POST, &start, empty).await, 201);
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2}});
    let manifest = Bytes::from(manifest.to_string());
    let digest = Digest::sha256(&manifest);
    let put = format!("/v2/{name}/manifests/{tag}");
    assert_eq!(exchange(api, Method::PUT, &put, manifest).await, 201);
    digest
}

async fn exchange(api: &Api, method: Method, path: &str, body: Bytes) -> u16 {
    let request = http::Request::builder().method(method).uri(path);
    let request = request
        .header("content-type", MANIFEST)
        .body(Body::from(body));
    let answer = tower::ServiceExt::oneshot(api.local.clone(), request.unwrap()).await;
    answer.unwrap().status().as_u16()
}

/// The digest the target has for a tag.
async fn head(target: &Target, name: &str, tag: &str) -> Digest {
    let request = http::Request::get(format!("/v2/{name}/manifests/{tag}"));
    let request = request
        .header("accept", MANIFEST)
        .body(Body::Empty)
        .unwrap();
    let answer = tower::ServiceExt::oneshot(target.registry.exchange(), request).await;
    let manifest = wire::collect(answer.unwrap().into_body(), 1 << 20)
        .await
        .unwrap();
    Digest::sha256(&manifest)
}

/// An execution once nothing of it is in progress.
async fn finished(api: &Api, path: &str) -> Value {
    loop {
        let shown = api.get(path, ADMIN).await.json();
        if shown["status"] != "InProgress" {
            return shown;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

#[tokio::test]
async fn a_plan_says_what_a_run_would_do() {
    on_each_database(async |api| {
        let run = Run::finish(api).await;
        api.user(ALICE).await;
        let path = "/api/v1/replication/plan";
        let kept = json!({"policy_id": run.policy});
        let plan = api.post(path, ADMIN, kept.clone()).await.json();
        assert_eq!(
            plan,
            json!({"copy": 0, "delete": 0, "keep": 1, "truncated": false, "steps": [{
                "action": "keep", "src_resource": "team/app:v1", "dst_resource": "team/app:v1",
                "reason": "equal",
            }]})
        );
        let shown = api.get("/registries", ADMIN).await.json();
        let registry = shown[0]["id"].as_i64().unwrap();
        let mut other = policy("other", registry);
        other["dest_namespace"] = "backup".into();
        let plan = api.post(path, ADMIN, json!({"policy": other})).await.json();
        assert_eq!(
            (&plan["copy"], &plan["steps"][0]["dst_resource"]),
            (&json!(1), &json!("backup/app:v1"))
        );
        let nothing = api.post(path, ADMIN, json!({})).await;
        assert_eq!(nothing.status, 400);
        assert_eq!(api.post(path, ALICE, kept).await.status, 403);
    })
    .await;
}
const OURS: &str = "/api/v1/replication";
