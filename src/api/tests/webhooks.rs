use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::{ADMIN, ALICE, Api, BOB, assert_fields, on_each_database};
use crate::{
    clock::{Clock, SystemClock},
    webhook::{Event, EventType},
};

const POLICIES: &str = "/projects/team/webhook/policies";

fn policy(address: &str) -> Value {
    json!({
        "name": "tell", "description": "d", "enabled": true, "event_types": ["PULL_ARTIFACT"],
        "targets": [{
            "type": "http", "address": address, "auth_header": "Bearer s3cret",
            "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "payload_format": "CloudEvents",
        }],
    })
}

#[tokio::test]
async fn policies_are_made_shown_changed_and_deleted_without_showing_secrets() {
    on_each_database(async |api| {
        let project = api.project("team", "false").await;
        let made = api
            .post(POLICIES, ADMIN, policy("https://example.com/a"))
            .await;
        let id = made.created("/projects/team/webhook/policies/");
        let one = format!("{POLICIES}/{id}");
        let answer = api.get(&one, ADMIN).await;
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(
            !text.contains("s3cret") && !text.contains("whsec_"),
            "{text}"
        );
        let shown = answer.json();
        let fields = [
            "id",
            "name",
            "description",
            "project_id",
            "targets",
            "event_types",
            "creator",
            "creation_time",
            "update_time",
            "enabled",
        ];
        assert_fields(&shown, &fields);
        assert_eq!(
            (&shown["project_id"], &shown["creator"]),
            (&json!(project), &json!("admin"))
        );
        assert_eq!(shown["event_types"], json!(["PULL_ARTIFACT"]));
        assert_eq!(
            shown["targets"],
            json!([{
                "type": "http", "address": "https://example.com/a", "skip_cert_verify": false,
                "payload_format": "CloudEvents", "has_auth_header": true, "signed": true,
            }])
        );

        // Secrets that are left out stay for their address and go with it; empty ones go.
        let change = |address: &str, header: Value| {
            let mut target = json!({"type": "http", "address": address});
            if !header.is_null() {
                target["auth_header"] = header;
            }
            json!({"name": "told", "event_types": ["PUSH_ARTIFACT"], "targets": [target]})
        };
        let same = "https://example.com/a";
        for (address, header, has) in [
            (same, Value::Null, (true, true)),
            (same, json!(""), (false, true)),
            (same, json!("Basic eA=="), (true, true)),
            (
                "https://elsewhere.example.com/a",
                Value::Null,
                (false, false),
            ),
        ] {
            let changed = api.put(&one, ADMIN, change(address, header)).await;
            assert_eq!(changed.status, 200, "{changed:?}");
            let target = api.get(&one, ADMIN).await.json()["targets"][0].clone();
            assert_eq!(target["has_auth_header"], has.0, "{target}");
            assert_eq!(target["signed"], has.1, "{target}");
        }
        let page = api.get(&format!("{POLICIES}?q=name=told"), ADMIN).await;
        assert_eq!(
            (page.header("x-total-count"), page.column("enabled")),
            ("1", vec![json!(false)])
        );
        assert_eq!(api.delete(&one, ADMIN).await.status, 200);
        api.get(&one, ADMIN).await.refused(404, "NOT_FOUND");
        let acts = api.acts(7).await;
        assert_eq!(acts[1], "admin made the webhook policy tell");
        assert_eq!(acts[6], "admin deleted the webhook policy told");
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_cannot_work_is_refused_with_the_reason() {
    on_each_database(async |api| {
        api.project("team", "false").await;
        let targets = |target: Value| json!([target]);
        let http = |address: &str| targets(json!({"type": "http", "address": address}));
        let cases = [
            ("name", json!(""), "name"),
            ("event_types", json!([]), "at least one"),
            ("event_types", json!(["MADE_UP"]), "MADE_UP"),
            ("targets", json!([]), "1 to 20"),
            (
                "targets",
                targets(json!({"type": "teams", "address": "https://e.com"})),
                "`teams`",
            ),
            ("targets", http("e.com/hook"), "not a URL"),
            ("targets", http("ftp://e.com"), "http://"),
            ("targets", http("https://u:p@e.com"), "auth_header"),
            (
                "targets",
                http("http://169.254.169.254/latest"),
                "not a public address",
            ),
            (
                "targets",
                http("http://[::ffff:10.0.0.1]/"),
                "not a public address",
            ),
            (
                "targets",
                http("http://0x0a000001/"),
                "not a public address",
            ),
            (
                "targets",
                targets(json!({
                    "type": "slack", "address": "https://e.com", "payload_format": "CloudEvents",
                })),
                "payload format",
            ),
            (
                "targets",
                targets(json!({"type": "http", "address": "https://e.com", "secret": "short"})),
                "whsec_",
            ),
            (
                "targets",
                targets(json!({
                    "type": "http", "address": "https://e.com", "auth_header": "a\r\nHost: b",
                })),
                "auth_header",
            ),
        ];
        for (field, value, reason) in cases {
            let mut body = policy("https://example.com");
            body[field] = value;
            let answer = api.post(POLICIES, ADMIN, body).await;
            let message = answer.refused(400, "BAD_REQUEST");
            assert!(message.contains(reason), "{field}: {message}");
        }
        let body = policy("https://example.com");
        assert_eq!(api.post(POLICIES, ADMIN, body.clone()).await.status, 201);
        let twin = api.post(POLICIES, ADMIN, body).await;
        assert!(twin.refused(409, "CONFLICT").contains("`tell`"));
        assert_eq!(api.get(POLICIES, ADMIN).await.header("x-total-count"), "1");
    })
    .await;
}

#[tokio::test]
async fn project_admins_make_policies_and_maintainers_see_them() {
    on_each_database(async |api| {
        for who in [ALICE, BOB] {
            api.user(who).await;
        }
        api.project("team", "true").await;
        api.project("other", "true").await;
        api.member("team", ALICE, 1).await;
        api.member("team", BOB, 4).await;
        let body = policy("https://example.com");
        api.post(POLICIES, BOB, body.clone())
            .await
            .refused(403, "FORBIDDEN");
        let id = api.post(POLICIES, ALICE, body).await.id();
        let one = format!("{POLICIES}/{id}");
        assert_eq!(api.get(&one, BOB).await.json()["creator"], "alice");
        api.delete(&one, BOB).await.refused(403, "FORBIDDEN");
        for path in [
            "policies",
            "events",
            "lasttrigger",
            "jobs?policy_id=1",
            "policies/1/executions",
        ] {
            let path = format!("/projects/other/webhook/{path}");
            api.get(&path, ALICE).await.refused(403, "FORBIDDEN");
        }
        // A policy is in its own project only.
        for rest in [
            "",
            "/executions",
            "/executions/1/tasks",
            "/executions/1/tasks/1/log",
        ] {
            let path = format!("/projects/other/webhook/policies/{id}{rest}");
            api.get(&path, ADMIN).await.refused(404, "NOT_FOUND");
        }
        let path = format!("/projects/other/webhook/jobs?policy_id={id}");
        api.get(&path, ADMIN).await.refused(404, "NOT_FOUND");
        let path = format!("{one}/executions/99/tasks");
        api.get(&path, ADMIN).await.refused(404, "NOT_FOUND");
    })
    .await;
}

#[tokio::test]
async fn what_can_be_told_and_how_is_listed() {
    on_each_database(async |api| {
        api.project("team", "false").await;
        let shown = api.get("/projects/team/webhook/events", ADMIN).await.json();
        assert_fields(&shown, &["event_type", "notify_type", "payload_formats"]);
        assert_eq!(shown["event_type"].as_array().unwrap().len(), 10);
        assert_eq!(shown["notify_type"], json!(["http", "slack"]));
        let formats = json!([{"notify_type": "http", "formats": ["Default", "CloudEvents"]}]);
        assert_eq!(shown["payload_formats"], formats);
    })
    .await;
}

/// Waits until the first row of a list has this status.
async fn until(api: &Api, path: &str, status: &str) -> Value {
    loop {
        let rows = api.get(path, ADMIN).await.json();
        if rows[0]["status"] == status {
            return rows;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Where one delivery is taken.
async fn receiver() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/hook", listener.local_addr().unwrap());
    let receiving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _head = stream.read(&mut [0; 4096]).await.unwrap();
        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    });
    (address, receiving)
}

#[tokio::test]
async fn what_became_of_an_event_is_shown_as_harbor_shows_it() {
    on_each_database(async |api| {
        api.project("team", "false").await;
        let (address, receiving) = receiver().await;
        let id = api.post(POLICIES, ADMIN, policy(&address)).await.id();
        let last = "/projects/team/webhook/lasttrigger";
        let before = api.get(last, ADMIN).await.json();
        assert_eq!(
            (&before[0]["policy_name"], before.as_array().unwrap().len()),
            (&json!("tell"), 1)
        );
        assert_eq!(before[0]["last_trigger_time"], Value::Null);
        let event = Event::new(EventType::PullArtifact, "team", "bob", SystemClock.now());
        api.webhooks.fire_fleeting(event);

        let executions = until(api, &format!("{POLICIES}/{id}/executions"), "Success").await;
        receiving.await.unwrap();
        let execution = &executions[0];
        assert_fields(
            execution,
            &[
                "id",
                "vendor_type",
                "vendor_id",
                "status",
                "status_message",
                "metrics",
                "trigger",
                "extra_attrs",
                "start_time",
                "end_time",
            ],
        );
        let named = (
            &execution["vendor_type"],
            &execution["vendor_id"],
            &execution["trigger"],
        );
        assert_eq!(named, (&json!("WEBHOOK"), &json!(id), &json!("EVENT")));
        assert_eq!(execution["metrics"]["success_task_count"], 1);
        let tasks = format!("{POLICIES}/{id}/executions/{}/tasks", execution["id"]);
        let task = until(api, &tasks, "Success").await[0].clone();
        assert_eq!(
            (&task["run_count"], &task["execution_id"]),
            (&json!(1), &execution["id"])
        );
        let log = api.get(&format!("{tasks}/{}/log", task["id"]), ADMIN).await;
        assert_eq!(log.header("content-type"), "text/plain; charset=utf-8");
        assert!(
            String::from_utf8_lossy(&log.body).contains("answered 204"),
            "{log:?}"
        );
        api.get(&format!("{tasks}/99/log"), ADMIN)
            .await
            .refused(404, "NOT_FOUND");

        let jobs = format!("/projects/team/webhook/jobs?policy_id={id}");
        let row = api
            .get(&format!("{jobs}&status=Success"), ADMIN)
            .await
            .json()[0]
            .clone();
        assert_eq!(
            (&row["event_type"], &row["notify_type"]),
            (&json!("PULL_ARTIFACT"), &json!("http"))
        );
        assert!(
            row["job_detail"]
                .as_str()
                .unwrap()
                .contains("harbor.artifact.pulled")
        );
        let none = api
            .get(&format!("{jobs}&status=Error&status=Stopped"), ADMIN)
            .await;
        assert_eq!(none.json(), json!([]));
        let unnamed = api.get("/projects/team/webhook/jobs", ADMIN).await;
        unnamed.refused(422, "UNPROCESSABLE_ENTITY");
        let after = api.get(last, ADMIN).await.json();
        assert!(after[0]["last_trigger_time"].is_string(), "{after}");
    })
    .await;
}
