//! What happens in a project reaches the receiver that the documentation shows.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{
    Database, Distribution, Gateway, Image, Options, Process, Skopeo, Succeeds, free_port, until,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const POLICIES: &str = "/api/v2.0/projects/team/webhook/policies";

/// Python's receiver of `docs/how-to/webhooks.md`.
struct Receiver {
    process: Process,
    port: u16,
    _directory: tempfile::TempDir,
}

impl Receiver {
    fn start() -> Self {
        let guide = include_str!("../../docs/how-to/webhooks.md");
        let (_, program) = guide.split_once("```python\n").unwrap();
        let (program, _) = program.split_once("```").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut command = Command::new("python3");
        command.args(["-c", program]).env("WEBHOOK_SECRET", SECRET);
        command.env("PORT", port.to_string());
        Self {
            process: Process::start(command, &directory.path().join("output")),
            port,
            _directory: directory,
        }
    }

    async fn until_it_prints(&self, line: &str) {
        until(line, async || {
            let output = self.process.output();
            output.lines().any(|printed| printed == line).then_some(())
        })
        .await;
    }
}

async fn gateway(database: Database) -> Gateway {
    let gateway = Gateway::with(Options {
        database: Some(database),
        extra: "[webhook]\nallowed_networks = [\"127.0.0.1\"]\n".to_owned(),
        ..Options::default()
    })
    .await;
    gateway.create_project("team").await;
    gateway
}

async fn make_policy(gateway: &Gateway, events: &[&str], target: Value) -> i64 {
    let policy = json!({
        "name": "tell", "enabled": true, "event_types": events, "targets": [target],
    });
    let made = gateway.admin().post(POLICIES, &policy).await;
    made.expect(201).id()
}

#[tokio::test]
async fn the_receiver_of_the_guide_hears_of_every_change_though_the_gateway_dies() {
    for database in Database::BOTH {
        let receiver = Receiver::start();
        let mut gateway = gateway(database).await;
        let address = format!("http://127.0.0.1:{}/hook", receiver.port);
        let target = json!({"type": "http", "address": address, "secret": SECRET});
        let events = ["PUSH_ARTIFACT", "PULL_ARTIFACT", "DELETE_ARTIFACT"];
        make_policy(&gateway, &events, target).await;

        let image = Image::new(&[b"a layer"]);
        let name = |tag: &str| format!("{}/team/app:{tag}", gateway.host());
        let (first, second) = (name("v1"), name("v2"));
        Skopeo::at(&gateway, "admin")
            .push(&image, &first)
            .succeeds();
        receiver.until_it_prints("PUSH_ARTIFACT team/app v1").await;

        // The registry has the second tag, and the gateway dies before it knows.
        gateway.kill();
        assert!(gateway.start_to_die_at("proxy.upstream_answered").await);
        let unanswered = Skopeo::at(&gateway, "admin").push(&image, &second);
        assert!(!unanswered.status.success());
        gateway.restart().await;
        receiver.until_it_prints("PUSH_ARTIFACT team/app v2").await;

        let into = tempfile::tempdir().unwrap();
        let skopeo = Skopeo::at(&gateway, "admin");
        skopeo.pull(&second, into.path()).succeeds();
        receiver.until_it_prints("PULL_ARTIFACT team/app v2").await;
        skopeo.run("delete", &first).succeeds();
        receiver
            .until_it_prints("DELETE_ARTIFACT team/app v1 v2")
            .await;
    }
}

#[tokio::test]
async fn an_ended_replication_is_one_event_of_its_project() {
    for database in Database::BOTH {
        let (gateway, mirror) = (gateway(database).await, Distribution::start().await);
        let target = json!({"type": "http", "address": "http://127.0.0.1:1/nobody"});
        let webhook = make_policy(&gateway, &["REPLICATION"], target).await;
        let policy = gateway.mirror_to(&mirror.url()).await;
        let name = format!("{}/team/app:v1", gateway.host());
        let image = Image::new(&[b"a layer"]);
        Skopeo::at(&gateway, "admin").push(&image, &name).succeeds();
        gateway.until_mirrored(policy).await;

        let executions = format!("{POLICIES}/{webhook}/executions");
        let told = until("the replication is told", async || {
            let told = gateway.admin().get(&executions).await.expect(200).json();
            (!told[0].is_null()).then_some(told)
        })
        .await;
        assert_eq!(told.as_array().unwrap().len(), 1, "{told}");
        let payload = told[0]["extra_attrs"]["payload"].as_str().unwrap();
        let payload: Value = serde_json::from_str(payload).unwrap();
        let replication = &payload["event_data"]["replication"];
        assert_eq!(
            (&payload["type"], &replication["job_status"]),
            (&json!("REPLICATION"), &json!("Succeed"))
        );
        let copied = json!([{"type": "image", "status": "Succeed", "name_tag": "app:v1"}]);
        assert_eq!(replication["successful_artifact"], copied);
        assert_eq!(replication["failed_artifact"], json!([]));
        assert_eq!(replication["dest_resource"]["endpoint"], mirror.url());
    }
}
