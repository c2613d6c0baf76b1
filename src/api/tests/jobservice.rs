//! Tags `jobservice` and `schedule`, and `/api/v1/stats`.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{
    ADMIN, ALICE, Api, NOBODY, assert_fields,
    jobs::{launch, path_of, until},
    on_each_database,
    target::{Target, policy},
};

#[tokio::test]
async fn the_pool_and_its_workers_are_shown() {
    on_each_database(async |api| {
        let job = launch(api, "test.waits", json!({"kind": "Generic"})).await;
        until(api, &path_of(&job), "Running").await;
        let pools = announced(api, "/jobservice/pools").await;
        let fields = [
            "pid",
            "worker_pool_id",
            "start_at",
            "heartbeat_at",
            "concurrency",
            "host",
        ];
        assert_fields(&pools[0], &fields);
        let pool = pools[0]["worker_pool_id"].as_str().unwrap();
        for wanted in ["all", pool] {
            let path = format!("/jobservice/pools/{wanted}/workers");
            let workers = api.get(&path, ADMIN).await.json();
            let workers = workers.as_array().unwrap();
            assert_eq!(workers.len(), 3, "as many as replication.workers");
            let busy: Vec<_> = workers
                .iter()
                .filter(|worker| worker["job_id"] == job["id"])
                .collect();
            assert_eq!(busy.len(), 1, "{workers:?}");
            assert_fields(
                busy[0],
                &["id", "pool_id", "job_name", "job_id", "start_at"],
            );
        }
        let stranger = api.get("/jobservice/pools/x/workers", ADMIN).await;
        stranger.refused(404, "NOT_FOUND");

        let stats = api.get("/api/v1/stats", ADMIN).await.json();
        let shown = &stats["worker_pools"][0];
        let fields = [
            "worker_pool_id",
            "started_at",
            "heartbeat_at",
            "job_names",
            "concurrency",
            "status",
        ];
        assert_fields(shown, &fields);
        assert_eq!(shown["worker_pool_id"], pool);
        assert!(
            shown["job_names"]
                .as_array()
                .unwrap()
                .contains(&json!("test.waits"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_paused_queue_waits_until_it_is_resumed() {
    on_each_database(async |api| {
        steer(api, "TEST.FAILS", "pause").await;
        // A claim may be under way that does not know it yet; the next one does.
        let first = launch_until_running(api).await;
        let second = launch_until_running(api).await;
        let stopped = launch(api, "test.fails", json!({"kind": "Generic"})).await;
        steer(api, "test.fails", "stop").await;
        until(api, &path_of(&stopped), "Stopped").await;

        let job = launch(api, "test.fails", json!({"kind": "Generic"})).await;
        // Others are served in the meantime.
        let third = launch_until_running(api).await;
        until(api, &path_of(&job), "Pending").await;
        let queue = queue(api, "test.fails").await;
        let shown = (&queue["count"], &queue["paused"]);
        assert_eq!(shown, (&json!(1), &json!(true)), "{queue}");
        for other in [first, second, third] {
            let path = format!("/jobservice/jobs/{}", other["id"].as_str().unwrap());
            assert_eq!(api.put(&path, ADMIN, Value::Null).await.status, 200);
            until(api, &path_of(&other), "Stopped").await;
            let log = api.get(&format!("{path}/log"), ADMIN).await;
            assert!(String::from_utf8_lossy(&log.body).contains("begun"));
        }
        steer(api, "test.fails", "resume").await;
        until(api, &path_of(&job), "Error").await;
    })
    .await;
}

#[tokio::test]
async fn schedules_are_shown_and_paused_together() {
    on_each_database(async |api| {
        let target = Target::start().await;
        let registry = api
            .post("/registries", ADMIN, target.described("mirror"))
            .await
            .id();
        let mut policy = policy("p", registry);
        policy["trigger"] =
            json!({"type": "scheduled", "trigger_settings": {"cron": "0 0 0 1 1 *"}});
        let policy = api.post("/replication/policies", ADMIN, policy).await.id();
        let schedules = api.get("/schedules", ADMIN).await;
        assert_eq!(schedules.header("x-total-count"), "1");
        let shown = &schedules.json()[0];
        assert_eq!(shown["vendor_id"], policy);
        assert_eq!(shown["cron"], "0 0 0 1 1 *");
        let paused =
            async || api.get("/schedules/all/paused", ADMIN).await.json()["paused"].clone();
        assert_eq!(paused().await, false);
        steer(api, "scheduler", "pause").await;
        assert_eq!(paused().await, true);
        steer(api, "all", "resume").await;
        assert_eq!(paused().await, false);
        let one = api.get("/schedules/x/paused", ADMIN).await;
        one.refused(400, "BAD_REQUEST");
    })
    .await;
}

#[tokio::test]
async fn only_who_may_monitor_jobs_does() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        let action = json!({"action": "pause"});
        for (method, path) in [
            (Method::GET, "/jobservice/pools"),
            (Method::GET, "/jobservice/pools/all/workers"),
            (Method::GET, "/jobservice/queues"),
            (Method::PUT, "/jobservice/queues/all"),
            (Method::PUT, "/jobservice/jobs/1"),
            (Method::GET, "/jobservice/jobs/1/log"),
            (Method::GET, "/schedules"),
        ] {
            let body = if method == Method::GET {
                Value::Null
            } else {
                action.clone()
            };
            let answer = api.send(method.clone(), path, ALICE, body.clone()).await;
            answer.refused(403, "FORBIDDEN");
            api.send(method, path, NOBODY, body)
                .await
                .refused(401, "UNAUTHORIZED");
        }
        let odd = api
            .put("/jobservice/queues/all", ADMIN, json!({"action": "dance"}))
            .await;
        odd.refused(400, "BAD_REQUEST");
        let none = api.put("/jobservice/queues/none", ADMIN, action).await;
        none.refused(404, "NOT_FOUND");
    })
    .await;
}

async fn steer(api: &Api, queue: &str, action: &str) {
    let path = format!("/jobservice/queues/{queue}");
    let answer = api.put(&path, ADMIN, json!({"action": action})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn queue(api: &Api, kind: &str) -> Value {
    let queues = api.get("/jobservice/queues", ADMIN).await.json();
    let mut queues = queues.as_array().unwrap().iter();
    queues
        .find(|queue| queue["job_type"] == kind)
        .unwrap()
        .clone()
}

/// The list once the runner has said that it lives.
async fn announced(api: &Api, path: &str) -> Value {
    loop {
        let list = api.get(path, ADMIN).await.json();
        if list != json!([]) {
            return list;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn launch_until_running(api: &Api) -> Value {
    let job = launch(api, "test.waits", json!({"kind": "Generic"})).await;
    until(api, &path_of(&job), "Running").await
}
