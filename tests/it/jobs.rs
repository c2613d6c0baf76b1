//! The job API over the wire.

use serde_json::{Value, json};

use crate::harness::{Database, Distribution, Gateway, Image, Options, Skopeo, Succeeds, until};

const JOBS: &str = "/api/v1/jobs";
const QUEUE: &str = "/api/v2.0/jobservice/queues/replication.execute";

async fn gateway(database: Database) -> Gateway {
    Gateway::with(Options {
        database: Some(database),
        ..Options::default()
    })
    .await
}

/// Launches a run of the policy and returns the job's path.
async fn launch(gateway: &Gateway, policy: i64, metadata: Value) -> String {
    let job = json!({
        "name": "replication.execute", "parameters": { "policy": policy }, "metadata": metadata,
    });
    let launched = gateway.admin().post(JOBS, &json!({ "job": job })).await;
    let launched = launched.expect(202).json();
    format!("{JOBS}/{}", launched["job"]["id"].as_str().unwrap())
}

async fn until_status(gateway: &Gateway, path: &str, status: &str) {
    until(&format!("{path} is {status}"), async || {
        let job = gateway.admin().get(path).await.expect(200).json();
        (job["job"]["status"] == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_paused_queue_stays_paused_over_a_restart() {
    for database in Database::BOTH {
        let target = Distribution::start().await;
        let mut gateway = gateway(database).await;
        gateway.create_project("team").await;
        let policy = gateway.mirror_to(&target.url()).await;
        let admin = gateway.admin();
        admin
            .put(QUEUE, &json!({ "action": "pause" }))
            .await
            .expect(200);
        gateway.kill_and_restart().await;

        let job = launch(&gateway, policy, json!({ "kind": "Generic" })).await;
        let image = Image::new(&[b"a layer"]);
        let name = format!("{}/team/app:v1", gateway.host());
        Skopeo::at(&gateway, "admin").push(&image, &name).succeeds();
        gateway.until_mirrored(policy).await;
        until_status(&gateway, &job, "Pending").await;
        let queues = admin
            .get("/api/v2.0/jobservice/queues")
            .await
            .expect(200)
            .json();
        let mut queues = queues.as_array().unwrap().iter();
        let queue = queues
            .find(|queue| queue["job_type"] == "replication.execute")
            .unwrap();
        let shown = (queue["paused"].as_bool(), queue["count"].as_i64());
        assert_eq!(shown, (Some(true), Some(1)), "{queue}");

        admin
            .put(QUEUE, &json!({ "action": "resume" }))
            .await
            .expect(200);
        let log = admin
            .get(&format!("{job}/log?follow=true"))
            .await
            .expect(200)
            .text();
        assert!(log.contains("team/app: 1 tags to replicate"), "{log}");
        until_status(&gateway, &job, "Success").await;
    }
}

#[tokio::test]
async fn a_launched_job_is_stopped_and_retried() {
    for database in Database::BOTH {
        let target = Distribution::start().await;
        let gateway = gateway(database).await;
        let policy = gateway.mirror_to(&target.url()).await;
        let later = json!({ "kind": "Scheduled", "schedule_delay": 3600 });
        let job = launch(&gateway, policy, later).await;
        let admin = gateway.admin();
        let scheduled = format!("{JOBS}?kind=replication.execute&status=Scheduled");
        let list = admin.get(&scheduled).await.expect(200);
        assert_eq!(list.header("x-total-count"), "1");
        admin
            .post(&job, &json!({ "action": "stop" }))
            .await
            .expect(204);
        until_status(&gateway, &job, "Stopped").await;
        admin
            .post(&job, &json!({ "action": "retry" }))
            .await
            .expect(204);
        until_status(&gateway, &job, "Success").await;
        let again = admin
            .post(&job, &json!({ "action": "retry" }))
            .await
            .expect(409)
            .json();
        assert!(
            again["details"].as_str().unwrap().contains("done"),
            "{again}"
        );
    }
}

#[tokio::test]
async fn the_job_api_is_described_and_for_administrators() {
    let gateway = Gateway::start().await;
    gateway.create_project("team").await;
    let dora = gateway.create_member("team", "dora", 1).await;
    for path in [JOBS, "/api/v1/stats", "/api/v2.0/jobservice/pools"] {
        dora.get(path).await.expect(403);
        gateway.http().get(path).await.expect(401);
    }
    dora.put(QUEUE, &json!({ "action": "pause" }))
        .await
        .expect(403);
    until("the process has said that it runs jobs", async || {
        let stats = gateway
            .admin()
            .get("/api/v1/stats")
            .await
            .expect(200)
            .json();
        (stats["worker_pools"][0]["status"] == "Healthy").then_some(())
    })
    .await;
    let document = gateway
        .http()
        .get("/api/openapi.json")
        .await
        .expect(200)
        .json();
    for path in ["/api/v1/jobs", "/api/v2.0/projects", "/service/token"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
}
