//! A large blob goes on after the process was killed, and what the target has is not sent again.

use serde_json::json;

use crate::harness::{Database, Distribution, Gateway, Image, Options, Skopeo, until};

#[tokio::test]
async fn a_large_blob_goes_on_after_a_kill_where_it_was() {
    for database in Database::BOTH {
        let target = Distribution::start().await;
        let mut gateway = Gateway::with(Options {
            database: Some(database),
            extra: "[replication]\ntee = false\nchunk_mib = 1\n\
                [jobs]\nlease_seconds = 3\nretry_base_ms = 50\npoll_ms = 200\n"
                .to_owned(),
            ..Options::default()
        })
        .await;
        gateway.create_project("team").await;
        let policy = gateway.mirror_to(&target.url()).await;
        gateway.kill();
        assert!(gateway.start_to_die_at("replication.chunk_kept:7").await);
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
        // The layer and what its archive adds, in eleven chunks, each sent once.
        let patches = target.requests("\"PATCH /v2/team/app/blobs/uploads/");
        assert_eq!(patches.len(), 11, "{patches:#?}");
        let sent = uploaded_bytes(&gateway).await;
        assert!(
            sent < 5 * MIB as u64,
            "{sent} bytes were sent the second time"
        );
        let id = &executions[0]["id"];
        let log = log(&gateway, id).await;
        assert!(log.contains("goes on at 7.0 MiB of 10.0 MiB"), "{log}");
        assert_eq!(target.open_uploads("team/app"), 0);
    }
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
