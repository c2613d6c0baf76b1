//! Tag `gc`: what is its own; `system_jobs` tests what it has in common with others.

use std::time::Duration;

use serde_json::{Value, json};

use super::{ADMIN, on_each_database};

const SCHEDULE: &str = "/system/gc/schedule";

fn wish(parameters: &Value) -> Value {
    json!({"schedule": {"type": "Manual"}, "parameters": parameters})
}

#[tokio::test]
async fn a_collection_shows_what_it_was_told_and_what_it_did() {
    on_each_database(async |api| {
        api.behind.hold(&["library/app"]).await;
        let given = json!({"delete_untagged": true, "dry_run": true, "workers": 2});
        let answer = api.post(SCHEDULE, ADMIN, wish(&given)).await;
        let run = format!("/system/gc/{}", answer.created("/system/gc/"));
        let shown = loop {
            let shown = api.get(&run, ADMIN).await.json();
            if !["Pending", "Running"].contains(&shown["job_status"].as_str().unwrap()) {
                break shown;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let log = api.get(&format!("{run}/log"), ADMIN).await;
        let log = String::from_utf8(log.body.to_vec()).unwrap();
        assert_eq!(shown["job_status"], "Success", "{log}");
        assert_eq!(shown["job_name"], "GARBAGE_COLLECTION");
        let parameters: Value =
            serde_json::from_str(shown["job_parameters"].as_str().unwrap()).unwrap();
        let expected = json!({
            "delete_untagged": true, "dry_run": true, "workers": 2, "time_window": 2,
            "freed_space": 0, "purged_blobs": 0, "purged_manifests": 0,
            "quarantined_space": 0, "quarantined_blobs": 0,
        });
        assert_eq!(parameters, expected);
        assert!(log.contains("dry run: nothing is deleted"), "{log}");
        assert_eq!(api.get("/system/gc", ADMIN).await.json()[0], shown);
        let acts = api.acts(1).await;
        assert!(
            acts.contains(&"admin started garbage collection".to_owned()),
            "{acts:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_refused_with_the_reason() {
    on_each_database(async |api| {
        for (parameters, reason) in [
            (json!({"workers": 11}), "from 1 to 10"),
            (json!({"delete_untagged": "yes"}), "boolean"),
        ] {
            let answer = api.post(SCHEDULE, ADMIN, wish(&parameters)).await;
            let message = answer.refused(400, "BAD_REQUEST");
            assert!(message.contains(reason), "{message}");
        }
        assert_eq!(api.get("/system/gc", ADMIN).await.json(), json!([]));
    })
    .await;
}
