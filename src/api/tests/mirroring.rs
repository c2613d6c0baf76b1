use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::{ADMIN, ALICE, Api, NOBODY, assert_fields, on_each_database};
use crate::{
    clock::SystemClock,
    embedded,
    oci::{Digest, RepositoryName},
    server::{self, Listener, Shutdown},
    wire::{self, Body},
};

/// A registry on a port of its own, to be mirrored to.
struct Target {
    address: SocketAddr,
    registry: embedded::Registry,
    shutdown: Shutdown,
    _files: tempfile::TempDir,
}

impl Target {
    async fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let registry = embedded::Registry::open(files.path(), Arc::new(SystemClock)).unwrap();
        let config = server::Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..server::Config::default()
        };
        let listener = Listener::bind(&config, None).await.unwrap();
        let address = listener.local_addr();
        let exchange = registry.exchange();
        let service = tower::service_fn(move |request| {
            let answer = tower::ServiceExt::oneshot(exchange.clone(), request);
            async move { Ok(answer.await.unwrap()) }
        });
        let shutdown = Shutdown::default();
        tokio::spawn(listener.serve(service, shutdown.clone()));
        Self {
            address,
            registry,
            shutdown,
            _files: files,
        }
    }

    fn described(&self, name: &str) -> Value {
        json!({"name": name, "type": "docker-registry", "url": format!("http://{}", self.address),
            "credential": {"type": "basic", "access_key": "mirror", "access_secret": "s3cret"}})
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.shutdown.abort();
    }
}

fn policy(name: &str, target: i64) -> Value {
    json!({"name": name, "dest_registry": {"id": target}, "enabled": true, "override": true,
        "trigger": {"type": "manual"}, "filters": [{"type": "name", "value": "team/**"}]})
}

#[tokio::test]
async fn registries_are_made_shown_changed_and_deleted() {
    on_each_database(async |api| {
        let target = Target::start().await;
        let id = api
            .post("/registries", ADMIN, target.described("mirror"))
            .await;
        let id = id.created("/registries/");
        let path = format!("/registries/{id}");
        let shown = api.get(&path, ADMIN).await;
        assert!(!String::from_utf8_lossy(&shown.body).contains("s3cret"));
        let shown = shown.json();
        let fields = [
            "id",
            "name",
            "type",
            "url",
            "description",
            "insecure",
            "credential",
            "status",
            "creation_time",
            "update_time",
        ];
        assert_fields(&shown, &fields);
        let masked = json!({"type": "basic", "access_key": "mirror", "access_secret": "*****"});
        assert_eq!(
            (&shown["credential"], &shown["status"]),
            (&masked, &json!("healthy"))
        );
        assert_eq!(
            api.get("/registries?name=IRR", ADMIN).await.column("name"),
            ["mirror"]
        );

        let change = json!({"name": "twin", "access_secret": "*****"});
        assert_eq!(api.put(&path, ADMIN, change).await.status, 200);
        let shown = api.get(&path, ADMIN).await.json();
        assert_eq!(
            (&shown["name"], &shown["credential"]),
            (&json!("twin"), &masked)
        );
        let info = api.get(&format!("{path}/info"), ADMIN).await.json();
        assert_eq!(info["type"], "docker-registry");
        assert_eq!(
            api.get("/registries/0/info", ADMIN).await.json()["type"],
            "harbor"
        );

        let user = api
            .post("/replication/policies", ADMIN, policy("p", id))
            .await;
        let message = api.delete(&path, ADMIN).await.refused(412, "PRECONDITION");
        assert!(message.contains("policy"), "{message}");
        let policy = format!("/replication/policies/{}", user.id());
        assert_eq!(api.delete(&policy, ADMIN).await.status, 200);
        assert_eq!(api.delete(&path, ADMIN).await.status, 200);
        api.get(&path, ADMIN).await.refused(404, "NOT_FOUND");
    })
    .await;
}

#[tokio::test]
async fn registries_that_cannot_be_used_are_refused() {
    on_each_database(async |api| {
        let target = Target::start().await;
        let made = api
            .post("/registries", ADMIN, target.described("mirror"))
            .await;
        let url = format!("http://{}", target.address);
        let described =
            |name: &str, kind: &str, url: &str| json!({"name": name, "type": kind, "url": url});
        for (body, status, code) in [
            (
                described("mirror", "docker-registry", &url),
                409,
                "CONFLICT",
            ),
            (described("", "docker-registry", &url), 400, "BAD_REQUEST"),
            (described("a", "quay", &url), 400, "BAD_REQUEST"),
            (
                described("a", "docker-registry", "ftp://x"),
                400,
                "BAD_REQUEST",
            ),
            (
                described("a", "docker-registry", "http://127.0.0.1:1"),
                400,
                "BAD_REQUEST",
            ),
        ] {
            api.post("/registries", ADMIN, body)
                .await
                .refused(status, code);
        }
        let ping = async |body: Value| api.post("/registries/ping", ADMIN, body).await;
        assert_eq!(ping(json!({"id": made.id()})).await.status, 200);
        assert_eq!(ping(json!({"id": made.id(), "url": url})).await.status, 200);
        let elsewhere = json!({"id": made.id(), "url": "http://127.0.0.1:1"});
        let message = ping(elsewhere).await.refused(400, "BAD_REQUEST");
        assert!(message.contains("access_secret"), "{message}");
        assert_eq!(ping(target.described("new")).await.status, 200);
        ping(described("a", "harbor", "http://127.0.0.1:1"))
            .await
            .refused(400, "BAD_REQUEST");
        ping(json!({"id": 999})).await.refused(404, "NOT_FOUND");
    })
    .await;
}

#[tokio::test]
async fn the_types_of_registries_are_listed() {
    on_each_database(async |api| {
        let types = api.get("/replication/adapters", ADMIN).await.json();
        assert_eq!(types, json!(["docker-registry", "harbor"]));
        let infos = api.get("/replication/adapterinfos", ADMIN).await.json();
        assert_fields(&infos, &["docker-registry", "harbor"]);
        assert_fields(
            &infos["harbor"],
            &["endpoint_pattern", "credential_pattern"],
        );
    })
    .await;
}

#[tokio::test]
async fn policies_are_made_shown_changed_and_deleted() {
    on_each_database(async |api| {
        let target = Target::start().await;
        let registry = api
            .post("/registries", ADMIN, target.described("mirror"))
            .await
            .id();
        let mut body = policy("nightly", registry);
        body["trigger"] = json!({"type": "scheduled", "trigger_settings": {"cron": "0 0 2 * * *"}});
        body["filters"] = json!([
            {"type": "name", "value": "team/**"},
            {"type": "tag", "value": "*-rc", "decoration": "excludes"},
            {"type": "resource", "value": ""},
            {"type": "label", "value": []},
        ]);
        body["deletion"] = json!(true);
        body["speed"] = json!(-1);
        let id = api.post("/replication/policies", ADMIN, body.clone()).await;
        let id = id.created("/replication/policies/");
        let path = format!("/replication/policies/{id}");
        let shown = api.get(&path, ADMIN).await.json();
        let fields = [
            "id",
            "name",
            "description",
            "src_registry",
            "dest_registry",
            "dest_namespace",
            "dest_namespace_replace_count",
            "trigger",
            "filters",
            "replicate_deletion",
            "deletion",
            "override",
            "enabled",
            "creation_time",
            "update_time",
            "speed",
            "copy_by_chunk",
            "single_active_replication",
        ];
        assert_fields(&shown, &fields);
        assert_eq!(
            (
                &shown["src_registry"]["id"],
                &shown["dest_registry"]["name"]
            ),
            (&json!(0), &json!("mirror"))
        );
        assert_eq!(shown["trigger"], body["trigger"]);
        assert_eq!(shown["filters"].as_array().unwrap().len(), 2);
        assert_eq!(
            (&shown["replicate_deletion"], &shown["speed"]),
            (&json!(true), &json!(0))
        );
        assert_eq!(shown["dest_namespace_replace_count"], -1);
        assert!(!shown.to_string().contains("s3cret"));

        let mut change = shown.clone();
        change["enabled"] = json!(false);
        assert_eq!(api.put(&path, ADMIN, change).await.status, 200);
        let listed = api.get("/replication/policies?name=night", ADMIN).await;
        assert_eq!(listed.column("enabled"), [json!(false)]);
        api.post("/replication/policies", ADMIN, body)
            .await
            .refused(409, "CONFLICT");
        let start = api
            .post("/replication/executions", ADMIN, json!({"policy_id": id}))
            .await;
        start.refused(412, "PRECONDITION");
        assert_eq!(api.delete(&path, ADMIN).await.status, 200);
        api.get(&path, ADMIN).await.refused(404, "NOT_FOUND");
        api.delete(&path, ADMIN).await.refused(404, "NOT_FOUND");
    })
    .await;
}

#[tokio::test]
async fn policies_that_make_no_sense_are_refused() {
    on_each_database(async |api| {
        let target = Target::start().await;
        let registry = api
            .post("/registries", ADMIN, target.described("mirror"))
            .await
            .id();
        let scheduled =
            |cron: &str| json!({"type": "scheduled", "trigger_settings": {"cron": cron}});
        for (field, value, reason) in [
            ("name", json!(""), "name"),
            ("dest_registry", json!({"id": 0}), "local"),
            ("src_registry", json!({"id": registry}), "local"),
            ("trigger", scheduled("often"), "cron"),
            ("trigger", scheduled("0 * * * * *"), "every minute"),
            ("trigger", json!({"type": "moon"}), "not a trigger"),
            (
                "filters",
                json!([{"type": "name", "value": "a["}]),
                "close its `[`",
            ),
            (
                "filters",
                json!([{"type": "label", "value": ["a"]}]),
                "label",
            ),
            ("dest_namespace_replace_count", json!(-2), "-1 or more"),
            ("speed", json!(-5), "kilobits"),
        ] {
            let mut body = policy("p", registry);
            body[field] = value;
            let answer = api.post("/replication/policies", ADMIN, body).await;
            let message = answer.refused(400, "BAD_REQUEST");
            assert!(message.contains(reason), "{field}: {message}");
        }
        let absent = api
            .post("/replication/policies", ADMIN, policy("p", 999))
            .await;
        absent.refused(404, "NOT_FOUND");
    })
    .await;
}

#[tokio::test]
async fn a_run_of_a_policy_is_watched_until_the_image_is_at_the_target() {
    on_each_database(async |api| {
        let target = Target::start().await;
        let name: RepositoryName = "team/app".parse().unwrap();
        let digest = push(api, &name, "v1").await;
        let registry = api
            .post("/registries", ADMIN, target.described("mirror"))
            .await
            .id();
        let policy = api
            .post("/replication/policies", ADMIN, policy("p", registry))
            .await
            .id();
        let started = api
            .post(
                "/replication/executions",
                ADMIN,
                json!({"policy_id": policy}),
            )
            .await;
        let id = started.created("/replication/executions/");
        let path = format!("/replication/executions/{id}");
        let shown = finished(api, &path).await;
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

        let tasks = api
            .get(&format!("{path}/tasks?status=Succeed"), ADMIN)
            .await;
        assert_eq!(tasks.header("x-total-count"), "1");
        let task = tasks.json()[0].clone();
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
        assert_eq!(
            (&task["src_resource"], &task["operation"]),
            (&json!("team/app:v1"), &json!("copy"))
        );
        let log = api
            .get(&format!("{path}/tasks/{}/log", task["id"]), ADMIN)
            .await;
        assert!(log.header("content-type").starts_with("text/plain"));
        assert!(
            String::from_utf8_lossy(&log.body).contains("team/app"),
            "{log:?}"
        );
        api.get(&format!("{path}/tasks/999/log"), ADMIN)
            .await
            .refused(404, "NOT_FOUND");
        assert_eq!(head(&target, &name, "v1").await, digest.to_string());

        let listed = api
            .get(
                &format!("/replication/executions?policy_id={policy}"),
                ADMIN,
            )
            .await;
        assert_eq!(listed.column("id"), [json!(id)]);
        let failed = api
            .get("/replication/executions?status=Failed", ADMIN)
            .await;
        assert_eq!(failed.header("x-total-count"), "0");
        let other = api
            .get(&format!("{path}/tasks?resource_type=chart"), ADMIN)
            .await;
        assert_eq!(other.header("x-total-count"), "0");
        assert_eq!(api.put(&path, ADMIN, Value::Null).await.status, 200);
        api.get("/replication/executions/999", ADMIN)
            .await
            .refused(404, "NOT_FOUND");
        api.put("/replication/executions/999", ADMIN, Value::Null)
            .await
            .refused(404, "NOT_FOUND");
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

#[tokio::test]
async fn administrative_acts_are_recorded() {
    on_each_database(async |api| {
        let target = Target::start().await;
        api.user(ALICE).await;
        api.project("team", "false").await;
        api.member("team", ALICE, 2).await;
        let registry = api
            .post("/registries", ADMIN, target.described("mirror"))
            .await
            .id();
        api.post("/replication/policies", ADMIN, policy("p", registry))
            .await
            .id();
        let acts = api.acts(5).await;
        let wanted = [
            "admin created the user alice",
            "admin created project team",
            "admin made alice developer of project team",
            "admin created the registry mirror",
            "admin created the replication policy p",
        ];
        assert_eq!(acts, wanted);
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
async fn head(target: &Target, name: &RepositoryName, tag: &str) -> String {
    let request = http::Request::get(format!("/v2/{name}/manifests/{tag}"));
    let request = request
        .header("accept", MANIFEST)
        .body(Body::Empty)
        .unwrap();
    let answer = tower::ServiceExt::oneshot(target.registry.exchange(), request).await;
    let manifest = wire::collect(answer.unwrap().into_body(), 1 << 20)
        .await
        .unwrap();
    Digest::sha256(&manifest).to_string()
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
