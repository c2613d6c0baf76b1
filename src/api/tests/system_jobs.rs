//! Tag `purge`: what it has in common with others of its kind.

use std::time::Duration;

use serde_json::{Value, json};

use super::{ADMIN, ALICE, Answer, Api, NOBODY, assert_fields, on_each_database};

const SCHEDULE: &str = "/system/purgeaudit/schedule";

fn wish(kind: &str, cron: &str) -> Value {
    json!({
        "schedule": {"type": kind, "cron": cron},
        "parameters": {
            "audit_retention_hour": 24, "include_event_types": "create_artifact", "dry_run": true,
        },
    })
}

async fn steer(api: &Api, action: &str) {
    let path = "/jobservice/queues/PURGE_AUDIT_LOG";
    let answer = api.put(path, ADMIN, json!({"action": action})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn until(api: &Api, path: &str, status: &str) -> Value {
    loop {
        let run = api.get(path, ADMIN).await.json();
        if run["job_status"] == status {
            return run;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn started(answer: &Answer) -> String {
    let id = answer.created("/system/purgeaudit/");
    format!("/system/purgeaudit/{id}")
}

#[tokio::test]
async fn a_schedule_is_set_read_changed_and_removed() {
    on_each_database(async |api| {
        assert_eq!(api.get(SCHEDULE, ADMIN).await.json(), json!({}));
        let answer = api
            .post(SCHEDULE, ADMIN, wish("Daily", "0 0 0 * * *"))
            .await;
        assert_eq!((answer.status, answer.header("location")), (201, ""));
        let shown = api.get(SCHEDULE, ADMIN).await.json();
        assert_eq!(shown["schedule"]["type"], "Daily");
        assert_eq!(shown["schedule"]["cron"], "0 0 0 * * *");
        let next = shown["schedule"]["next_scheduled_time"].as_str().unwrap();
        assert!(next.contains("T00:00:00"), "{next}");
        let parameters: Value =
            serde_json::from_str(shown["job_parameters"].as_str().unwrap()).unwrap();
        assert_eq!(parameters, wish("Daily", "")["parameters"]);

        let mut changed = wish("Custom", "0 30 * * * *");
        changed["parameters"]["dry_run"] = json!(false);
        assert_eq!(api.put(SCHEDULE, ADMIN, changed).await.status, 200);
        let shown = api.get(SCHEDULE, ADMIN).await.json();
        assert_eq!(shown["schedule"]["type"], "Custom");
        assert!(
            shown["job_parameters"]
                .as_str()
                .unwrap()
                .contains("\"dry_run\":false")
        );
        // As in Harbor, a second POST takes the place of what there is.
        let again = wish("Custom", "0 30 * * * *");
        assert_eq!(api.post(SCHEDULE, ADMIN, again).await.status, 201);
        let listed = api.get("/schedules", ADMIN).await.json();
        assert_eq!(listed.as_array().unwrap().len(), 1);
        assert_eq!(listed[0]["vendor_type"], "PURGE_AUDIT_LOG");
        assert_eq!(listed[0]["cron"], "0 30 * * * *");

        for _ in 0..2 {
            let none = json!({"schedule": {"type": "None"}});
            assert_eq!(api.put(SCHEDULE, ADMIN, none).await.status, 200);
            assert_eq!(api.get(SCHEDULE, ADMIN).await.json(), json!({}));
        }
        assert_eq!(api.get("/system/purgeaudit", ADMIN).await.json(), json!([]));
        let acts = api.acts(5).await;
        let expected = [
            "admin set the schedule of the purge of the audit log to 0 0 0 * * *",
            "admin set the schedule of the purge of the audit log to 0 30 * * * *",
            "admin set the schedule of the purge of the audit log to 0 30 * * * *",
            "admin removed the schedule of the purge of the audit log",
        ];
        assert_eq!(acts[..4], expected);
    })
    .await;
}

#[tokio::test]
async fn a_run_is_started_and_shows_what_came_of_it() {
    on_each_database(async |api| {
        let run = started(&api.post(SCHEDULE, ADMIN, wish("Manual", "")).await);
        let shown = until(api, &run, "Success").await;
        assert_fields(
            &shown,
            &[
                "id",
                "job_name",
                "job_kind",
                "job_parameters",
                "schedule",
                "job_status",
                "deleted",
                "creation_time",
                "update_time",
            ],
        );
        assert_eq!(shown["job_name"], "PURGE_AUDIT_LOG");
        assert_eq!(shown["schedule"], json!({"type": "Manual"}));
        let parameters: Value =
            serde_json::from_str(shown["job_parameters"].as_str().unwrap()).unwrap();
        let expected = json!({
            "audit_retention_hour": 24, "include_event_types": "create_artifact",
            "dry_run": true, "entries": 0,
        });
        assert_eq!(parameters, expected);
        let log = api.get(&format!("{run}/log"), ADMIN).await;
        assert_eq!(log.header("content-type"), "text/plain; charset=utf-8");
        let log = String::from_utf8(log.body.to_vec()).unwrap();
        assert!(log.contains("would delete 0 entries"), "{log}");

        let again = started(&api.post(SCHEDULE, ADMIN, wish("Manual", "")).await);
        until(api, &again, "Success").await;
        let page = "/system/purgeaudit?page_size=1&q=status%3DSuccess";
        let listed = api.get(page, ADMIN).await;
        assert_eq!(listed.header("x-total-count"), "2");
        assert_eq!(
            format!("/system/purgeaudit/{}", listed.json()[0]["id"]),
            again
        );
        let oldest = api
            .get("/system/purgeaudit?sort=creation_time", ADMIN)
            .await;
        assert_eq!(oldest.json()[0]["id"], shown["id"]);
        let none = api.get("/system/purgeaudit?q=status%3DError", ADMIN).await;
        assert_eq!(none.json(), json!([]));
    })
    .await;
}

#[tokio::test]
async fn one_run_is_live_at_a_time_and_can_be_stopped() {
    on_each_database(async |api| {
        steer(api, "pause").await;
        let run = started(&api.post(SCHEDULE, ADMIN, wish("Manual", "")).await);
        for _ in 0..2 {
            let second = api.post(SCHEDULE, ADMIN, wish("Manual", "")).await;
            let message = second.refused(409, "CONFLICT");
            assert!(message.contains("wait for its end"), "{message}");
        }
        let second = api.put(SCHEDULE, ADMIN, wish("Manual", "")).await;
        second.refused(409, "CONFLICT");
        assert_eq!(api.get(&run, ADMIN).await.json()["job_status"], "Pending");
        for _ in 0..2 {
            assert_eq!(api.put(&run, ADMIN, Value::Null).await.status, 200);
            assert_eq!(api.get(&run, ADMIN).await.json()["job_status"], "Stopped");
        }
        started(&api.post(SCHEDULE, ADMIN, wish("Manual", "")).await);
    })
    .await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_the_reason() {
    on_each_database(async |api| {
        let mut hours = wish("Manual", "");
        hours["parameters"]["audit_retention_hour"] = json!(0);
        let parameters = json!({"schedule": {"type": "Daily", "cron": "0 0 0 * * *"}});
        for (body, reason) in [
            (json!({}), "schedule"),
            (json!({"schedule": {}}), "type"),
            (wish("Yearly", "0 0 0 * * *"), "Hourly, Daily"),
            (wish("Schedule", "0 0 0 * * *"), "Hourly, Daily"),
            (wish("Daily", ""), "six fields"),
            (wish("Daily", "0 0 * * *"), "six fields"),
            (hours, "from 1 to 240000"),
            (parameters, "audit_retention_hour"),
        ] {
            for answer in [
                api.post(SCHEDULE, ADMIN, body.clone()).await,
                api.put(SCHEDULE, ADMIN, body.clone()).await,
            ] {
                let message = answer.refused(400, "BAD_REQUEST");
                assert!(message.contains(reason), "{body}: {message}");
            }
        }
        assert_eq!(api.get(SCHEDULE, ADMIN).await.json(), json!({}));
        assert_eq!(api.get("/system/purgeaudit", ADMIN).await.json(), json!([]));
        for path in ["/system/purgeaudit/999999", "/system/purgeaudit/999999/log"] {
            api.get(path, ADMIN).await.refused(404, "NOT_FOUND");
        }
        let stop = api
            .put("/system/purgeaudit/999999", ADMIN, Value::Null)
            .await;
        stop.refused(404, "NOT_FOUND");
        api.user(ALICE).await;
        for path in [SCHEDULE, "/system/purgeaudit"] {
            api.get(path, ALICE).await.refused(403, "FORBIDDEN");
            api.get(path, NOBODY).await.refused(401, "UNAUTHORIZED");
        }
    })
    .await;
}
