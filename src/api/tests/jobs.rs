//! The job API.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use http::Method;
use serde_json::{Value, json};

use super::{ADMIN, ALICE, Answer, Api, NOBODY, assert_fields, on_each_database};
use crate::jobs::{ByHand, Failure, Handler, Running};

/// Runs until it is stopped.
struct Waits;

/// Fails for good.
struct Fails;

/// Kinds that the API's tests launch.
pub(super) fn handlers() -> [Arc<dyn Handler>; 2] {
    [Arc::new(Waits), Arc::new(Fails)]
}

impl Handler for Waits {
    fn kind(&self) -> &'static str {
        "test.waits"
    }

    fn by_hand(&self) -> Option<ByHand> {
        Some(|params| match params.get("bad") {
            None => Ok(()),
            Some(_) => Err("bad is bad".to_owned()),
        })
    }

    fn run<'a>(&'a self, job: &'a Running) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async {
            job.log.line("begun");
            job.stop.cancelled().await;
            Err(Failure::Stopped)
        })
    }
}

impl Handler for Fails {
    fn kind(&self) -> &'static str {
        "test.fails"
    }

    fn by_hand(&self) -> Option<ByHand> {
        Some(|_any| Ok(()))
    }

    fn run<'a>(&'a self, _job: &'a Running) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async { Err(Failure::permanent("as it must")) })
    }
}

#[tokio::test]
async fn a_job_is_launched_watched_stopped_and_retried() {
    on_each_database(async |api| {
        let launched = launch(api, "test.waits", json!({"kind": "Generic"})).await;
        let path = path_of(&launched);
        assert_eq!(launched["name"], "test.waits");
        assert_eq!(launched["parameters"], json!({"a": 1}));
        until(api, &path, "Running").await;

        let follow = format!("{path}/log?follow=true");
        let (log, ()) = tokio::join!(api.get(&follow, ADMIN), async {
            act(api, &path, "stop").await;
        });
        let log = String::from_utf8(log.body.to_vec()).unwrap();
        let lines: Vec<_> = log
            .lines()
            .map(|line| line.split_once(' ').unwrap().1)
            .collect();
        assert_eq!(lines, ["begun", "stopped"], "all of it, and then its end");
        assert_eq!(api.get(&format!("{path}/log"), ADMIN).await.body, log);

        let stopped = until(api, &path, "Stopped").await;
        assert_eq!(stopped["state"], "stopped");
        act(api, &path, "stop").await;
        act(api, &path, "retry").await;
        until(api, &path, "Running").await;
        act(api, &path, "stop").await;
        until(api, &path, "Stopped").await;
    })
    .await;
}

#[tokio::test]
async fn a_job_has_the_fields_of_jobservice() {
    on_each_database(async |api| {
        let launched = launch(api, "test.fails", json!({"kind": "Generic"})).await;
        let failed = until(api, &path_of(&launched), "Error").await;
        assert_eq!(failed["error"], "as it must");
        assert_ne!(failed["die_at"], 0);
        let jobservice = [
            "id",
            "status",
            "name",
            "kind",
            "unique",
            "ref_link",
            "enqueue_time",
            "update_time",
            "run_at",
            "die_at",
            "parameters",
            "revision",
        ];
        let ours = [
            "key",
            "state",
            "stopping",
            "attempts",
            "max_attempts",
            "error",
            "error_class",
            "start_time",
            "end_time",
        ];
        assert_fields(&failed, &[&jobservice[..], &ours].concat());
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_launched_is_refused_in_words() {
    on_each_database(async |api| {
        let later = json!({"kind": "Scheduled", "schedule_delay": 3600, "unique": true});
        let first = launch(api, "test.waits", later.clone()).await;
        let second = send_launch(api, "test.waits", &json!({"a": 1}), &later).await;
        let why = refused(&second, 409, 10012);
        assert!(why.contains(first["id"].as_str().unwrap()), "{why}");
        let now = json!({"kind": "Generic"});
        for (name, parameters, metadata, word) in [
            ("nothing", json!({}), &now, "no job of the name"),
            ("replication.transfer", json!({}), &now, "by hand"),
            (
                "replication.execute",
                json!({"policy": "x"}),
                &now,
                "do not fit",
            ),
            ("test.waits", json!({"bad": 1}), &now, "bad is bad"),
            ("test.waits", json!([]), &now, "object"),
            (
                "test.waits",
                json!({}),
                &json!({"kind": "Scheduled"}),
                "schedule_delay",
            ),
            (
                "test.waits",
                json!({}),
                &json!({"kind": "Periodic"}),
                "policies",
            ),
            ("test.waits", json!({}), &json!({"kind": "Odd"}), "Odd"),
        ] {
            let answer = send_launch(api, name, &parameters, metadata).await;
            let why = refused(&answer, 400, 10013);
            assert!(why.contains(word), "{name}: {why}");
        }
    })
    .await;
}

#[tokio::test]
async fn pages_lead_through_all_jobs_by_their_links() {
    on_each_database(async |api| {
        let later = json!({"kind": "Scheduled", "schedule_delay": 3600});
        let mut wanted = Vec::new();
        for _ in 0..7 {
            let job = launch(api, "test.waits", later.clone()).await;
            wanted.insert(0, job["id"].clone());
        }
        let stopped = launch(api, "test.waits", later).await;
        act(api, &path_of(&stopped), "stop").await;

        let mut found = Vec::new();
        let mut next = Some(format!(
            "{JOBS}?kind=test.waits&status=scheduled&page_size=3"
        ));
        while let Some(path) = next {
            let page = api.get(&path, ADMIN).await;
            assert_eq!(page.header("x-total-count"), "7");
            found.extend(page.column("job").into_iter().map(|job| job["id"].clone()));
            next = page.next();
        }
        assert_eq!(found, wanted, "newest first");
        let third = api
            .get(
                &format!("{JOBS}?status=Scheduled&page_size=3&page=3"),
                ADMIN,
            )
            .await;
        assert_eq!(third.column("job")[0]["id"], wanted[6]);
        let q = format!("{JOBS}?q=id={}", wanted[0].as_str().unwrap());
        assert_eq!(api.get(&q, ADMIN).await.header("x-total-count"), "1");
        for (filter, count) in [
            ("status=Stopped", "1"),
            ("state=done", "0"),
            ("kind=other", "0"),
            ("target=1", "0"),
            ("key=x", "0"),
            ("since=2000-01-01T00:00:00Z", "8"),
            ("since=2100-01-01T00:00:00Z", "0"),
        ] {
            let answer = api.get(&format!("{JOBS}?{filter}"), ADMIN).await;
            assert_eq!(answer.header("x-total-count"), count, "{filter}");
        }
        let odd = api.get(&format!("{JOBS}?status=odd"), ADMIN).await;
        assert!(refused(&odd, 400, 10013).contains("Pending"));
    })
    .await;
}

#[tokio::test]
async fn many_jobs_are_stopped_and_retried_in_one_call() {
    on_each_database(async |api| {
        let later = json!({"kind": "Scheduled", "schedule_delay": 3600});
        let waiting = launch(api, "test.waits", later.clone()).await;
        let other = launch(api, "test.waits", later).await;
        let failed = launch(api, "test.fails", json!({"kind": "Generic"})).await;
        until(api, &path_of(&failed), "Error").await;

        assert_eq!(bulk(api, "stop", json!({"kind": "test.waits"})).await, 2);
        until(api, &path_of(&waiting), "Stopped").await;
        let stopped = json!({"kind": "test.waits", "state": "stopped"});
        assert_eq!(bulk(api, "retry", stopped).await, 2);
        until(api, &path_of(&waiting), "Running").await;
        until(api, &path_of(&other), "Running").await;
        let prefix = other["key"].as_str().unwrap();
        assert_eq!(bulk(api, "stop", json!({"key_prefix": prefix})).await, 1);
        until(api, &path_of(&other), "Stopped").await;

        let ever = json!({"since": "2000-01-01T00:00:00Z"});
        assert_eq!(bulk(api, "recover", ever).await, 1);
        let again = until(api, &path_of(&failed), "Error").await;
        assert_eq!(again["revision"], 2);
        let never = json!({"since": "2100-01-01T00:00:00Z"});
        assert_eq!(bulk(api, "recover", never).await, 0);
        for (verb, body, word) in [
            ("stop", json!({}), "which jobs"),
            ("stop", json!({"state": "odd"}), "failed"),
            ("retry", json!({"since": "now"}), "RFC 3339"),
            ("retry", json!({"kinds": []}), "kinds"),
            ("recover", json!({}), "since"),
        ] {
            let answer = api.post(&format!("{JOBS}/{verb}"), ADMIN, body).await;
            let why = refused(&answer, 400, 10013);
            assert!(why.contains(word), "{why}");
        }
    })
    .await;
}

/// How many jobs were changed.
async fn bulk(api: &Api, verb: &str, meant: Value) -> Value {
    let answer = api.post(&format!("{JOBS}/{verb}"), ADMIN, meant).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["count"].clone()
}

#[tokio::test]
async fn only_administrators_use_the_job_api() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        let job = launch(api, "test.fails", json!({"kind": "Generic"})).await;
        let one = path_of(&job);
        let body = json!({"action": "stop", "job": {"name": "x", "metadata": {"kind": "Generic"}}});
        for (method, path) in [
            (Method::GET, JOBS.to_owned()),
            (Method::POST, JOBS.to_owned()),
            (Method::GET, one.clone()),
            (Method::POST, one.clone()),
            (Method::GET, format!("{one}/log")),
        ] {
            let body = if method == Method::GET {
                Value::Null
            } else {
                body.clone()
            };
            let answer = api.send(method.clone(), &path, ALICE, body.clone()).await;
            refused(&answer, 403, 10011);
            refused(&api.send(method, &path, NOBODY, body).await, 401, 10011);
        }
        let meant = json!({"since": "2000-01-01T00:00:00Z"});
        for verb in ["stop", "retry", "recover"] {
            let path = format!("{JOBS}/{verb}");
            refused(&api.post(&path, ALICE, meant.clone()).await, 403, 10011);
            refused(&api.post(&path, NOBODY, meant.clone()).await, 401, 10011);
        }
        for path in [
            format!("{JOBS}/4711"),
            format!("{JOBS}/x"),
            format!("{JOBS}/4711/log"),
        ] {
            refused(&api.get(&path, ADMIN).await, 404, 10010);
        }
        let odd = api.post(&one, ADMIN, json!({"action": "dance"})).await;
        assert!(refused(&odd, 400, 10013).contains("dance"));
    })
    .await;
}

pub(super) async fn launch(api: &Api, name: &str, metadata: Value) -> Value {
    let answer = send_launch(api, name, &json!({"a": 1}), &metadata).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["job"].clone()
}

async fn send_launch(api: &Api, name: &str, parameters: &Value, metadata: &Value) -> Answer {
    let job = json!({"name": name, "parameters": parameters, "metadata": metadata});
    api.post(JOBS, ADMIN, json!({"job": job})).await
}

async fn act(api: &Api, path: &str, action: &str) {
    let answer = api.post(path, ADMIN, json!({"action": action})).await;
    assert_eq!(answer.status, 204, "{answer:?}");
}

/// The job when it has the status.
pub(super) async fn until(api: &Api, path: &str, status: &str) -> Value {
    let reached = async {
        loop {
            let job = api.get(path, ADMIN).await.json()["job"].clone();
            if job["status"] == status {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_mins(1), reached).await;
    reached.unwrap_or_else(|_| panic!("{path} does not become {status}"))
}

pub(super) fn path_of(job: &Value) -> String {
    format!("{JOBS}/{}", job["id"].as_str().unwrap())
}

/// Asserts that this is an error in jobservice's form and returns its details.
fn refused(answer: &Answer, status: u16, code: u16) -> String {
    assert_eq!(answer.status, status, "{answer:?}");
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_fields(&body, &["code", "message", "details"]);
    assert_eq!(body["code"], code, "{body}");
    body["details"].as_str().unwrap().to_owned()
}

const JOBS: &str = "/api/v1/jobs";
