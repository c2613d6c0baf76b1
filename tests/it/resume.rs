//! A large blob goes on after the process has ended, and what the target has is not sent again.

use serde_json::json;

use crate::harness::{
    Database, Distribution, Gateway, Image, Options, PASSWORD, Skopeo, Succeeds, until,
};

#[tokio::test]
async fn a_large_blob_goes_on_after_a_kill_where_it_was() {
    for database in Database::BOTH {
        let target = Distribution::start().await;
        let mut gateway = gateway(database).await;
        let policy = gateway.mirror_to(&target.url()).await;
        gateway.kill();
        assert!(gateway.start_to_die_at("replication.chunk_kept:3").await);
        let image = Image::new(&[&vec![7; 10 * MIB]]);
        let name = format!("{}/team/app:v1", gateway.host());
        // The gateway may be gone before the client has heard of its success.
        Skopeo::at(&gateway, "admin").push(&image, &name);
        until("it has died in the middle", async || {
            gateway.process().exited()
        })
        .await;
        gateway.restart().await;
        let executions = gateway.until_mirrored(policy).await;
        let digest = target.digest("team/app", "v1").await;
        assert_eq!(digest.as_deref(), Some(image.digest.as_str()));
        // At least three chunks of a MiB were there.
        let sent = uploaded_bytes(&gateway).await;
        assert!(
            sent < 8 * MIB as u64,
            "{sent} bytes were sent the second time"
        );
        let posts = target.requests("\"POST /v2/team/app/blobs/uploads/");
        assert_eq!(posts.len(), 2, "{posts:#?}");
        let id = &executions[0]["id"];
        let log = log(&gateway, id).await;
        assert!(log.contains(" MiB of 10.0 MiB"), "{log}");
        assert_eq!(target.open_uploads("team/app"), 0);
    }
}

#[tokio::test]
async fn a_large_blob_goes_on_after_a_shutdown_in_the_middle_of_a_chunk() {
    for database in Database::BOTH {
        let target = Gateway::start().await;
        target.create_project("team").await;
        let mut gateway = gateway(database).await;
        let registry = json!({
            "name": "mirror", "type": "docker-registry", "url": target.url(), "insecure": true,
            "credential": { "type": "basic", "access_key": "admin", "access_secret": PASSWORD },
            "speed_kbps": 16 * 1024,
        });
        let made = gateway
            .admin()
            .post("/api/v2.0/registries", &registry)
            .await;
        let mirror = made.expect(201).id();
        let policy = json!({
            "name": "to-mirror", "dest_registry": { "id": mirror }, "enabled": true,
            "trigger": { "type": "event_based" }, "override": true,
        });
        let made = gateway
            .admin()
            .post("/api/v2.0/replication/policies", &policy)
            .await;
        let policy = made.expect(201).id();
        let image = Image::new(&[&vec![7; 10 * MIB]]);
        let name = format!("{}/team/app:v1", gateway.host());
        Skopeo::at(&gateway, "admin").push(&image, &name).succeeds();
        until("some chunks are there", async || {
            (uploaded_bytes(&gateway).await > 3 * MIB as u64).then_some(())
        })
        .await;
        gateway.process().signal("TERM");
        assert!(gateway.process().wait().await.success());
        gateway.restart().await;
        let executions = gateway.until_mirrored(policy).await;
        let log = log(&gateway, &executions[0]["id"]).await;
        assert!(log.contains(" MiB of 10.0 MiB"), "{log}");
        let sent = uploaded_bytes(&gateway).await;
        assert!(
            sent < 8 * MIB as u64,
            "{sent} bytes were sent the second time: {log}"
        );
    }
}

async fn gateway(database: Database) -> Gateway {
    let gateway = Gateway::with(Options {
        database: Some(database),
        extra: "[replication]\ntee = false\nchunk_mib = 1\n\
            [jobs]\nlease_seconds = 3\nretry_base_ms = 50\npoll_ms = 200\n"
            .to_owned(),
        ..Options::default()
    })
    .await;
    gateway.create_project("team").await;
    gateway
}

/// What this life of the gateway has sent to targets.
async fn uploaded_bytes(gateway: &Gateway) -> u64 {
    let metrics = gateway.admin().get("/metrics").await.expect(200);
    let text = metrics.text();
    let line = text
        .lines()
        .find(|line| line.starts_with("tidegate_replication_uploaded_bytes"));
    let value = line.unwrap().split_whitespace().next_back().unwrap();
    value.parse().unwrap()
}

/// The log of the execution's only task.
async fn log(gateway: &Gateway, execution: &serde_json::Value) -> String {
    let admin = gateway.admin();
    let tasks = format!("/api/v2.0/replication/executions/{execution}/tasks");
    let task = admin.get(&tasks).await.expect(200).json()[0]["id"].clone();
    assert_ne!(task, json!(null));
    admin
        .get(&format!("{tasks}/{task}/log"))
        .await
        .expect(200)
        .text()
}

const MIB: usize = 1024 * 1024;
