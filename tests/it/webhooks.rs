//! What happens in a project reaches the receiver that the documentation shows.

use serde_json::{Value, json};

use crate::harness::{
    Database, Distribution, Gateway, Image, Options, Receiver, Skopeo, Succeeds, until,
};

const POLICIES: &str = "/api/v2.0/projects/team/webhook/policies";

async fn gateway(database: Database) -> Gateway {
    let gateway = Gateway::with(Options {
        database: Some(database),
        extra: Receiver::ALLOWED.to_owned(),
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
        let target = receiver.target();
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
