use serde_json::{Value, json};

use super::{ADMIN, ALICE, Api, NOBODY, on_each_database};
use crate::{settings, store::testing::databases};

#[tokio::test]
async fn settings_are_shown_with_whether_they_can_be_changed() {
    on_each_database(async |api| {
        let shown = api.get("/configurations", ADMIN).await.json();
        for (name, value, editable) in [
            ("auth_mode", json!("db_auth"), false),
            ("primary_auth_mode", json!(false), false),
            ("read_only", json!(false), true),
            ("project_creation_restriction", json!("everyone"), true),
            ("token_expiration", json!(30), true),
            ("robot_name_prefix", json!("robot$"), true),
            ("storage_per_project", json!(-1), true),
        ] {
            assert_eq!(
                shown[name],
                json!({"value": value, "editable": editable}),
                "{name}"
            );
        }
        assert_eq!(shown["ldap_url"], Value::Null);
    })
    .await;
}

#[tokio::test]
async fn settings_are_for_administrators() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        let change = json!({"read_only": true});
        for (who, status, code) in [(NOBODY, 401, "UNAUTHORIZED"), (ALICE, 403, "FORBIDDEN")] {
            api.get("/configurations", who).await.refused(status, code);
            let answer = api.put("/configurations", who, change.clone()).await;
            answer.refused(status, code);
        }
    })
    .await;
}

#[tokio::test]
async fn bad_changes_are_refused_whole_with_the_name() {
    on_each_database(async |api| {
        for (change, name, status, code) in [
            (
                json!({"banner_message": "x", "ldap_url": "x"}),
                "ldap_url",
                400,
                "BAD_REQUEST",
            ),
            (
                json!({"banner_message": "x", "read_only": 1}),
                "read_only",
                400,
                "BAD_REQUEST",
            ),
            (
                json!({"banner_message": "x", "token_expiration": 0}),
                "token_expiration",
                400,
                "BAD_REQUEST",
            ),
            (
                json!({"banner_message": "x", "auth_mode": "oidc_auth"}),
                "auth_mode",
                403,
                "FORBIDDEN",
            ),
            (
                json!({"banner_message": null}),
                "no setting",
                400,
                "BAD_REQUEST",
            ),
        ] {
            let answer = api.put("/configurations", ADMIN, change).await;
            let message = answer.refused(status, code);
            assert!(message.contains(name), "{message}");
        }
        let shown = api.get("/configurations", ADMIN).await.json();
        assert_eq!(shown["banner_message"]["value"], "");
    })
    .await;
}

#[tokio::test]
async fn types_of_events_that_are_none_are_refused() {
    on_each_database(async |api| {
        let change = |types: &str| json!({"disabled_audit_log_event_types": types});
        let path = "/configurations";
        let refused = api.put(path, ADMIN, change("create_user,make_user")).await;
        let message = refused.refused(400, "BAD_REQUEST");
        assert!(message.starts_with("`make_user`"), "{message}");
        let types = api.get("/auditlog-exts/events", ADMIN).await;
        let types = types.column("event_type");
        let all: Vec<&str> = types.iter().filter_map(Value::as_str).collect();
        let changed = api.put(path, ADMIN, change(&all.join(","))).await;
        assert_eq!(changed.status, 200, "{changed:?}");
    })
    .await;
}

#[tokio::test]
async fn all_that_is_shown_can_be_sent_back() {
    on_each_database(async |api| {
        let shown = api.get("/configurations", ADMIN).await.json();
        let values = shown.as_object().unwrap().iter();
        let values: serde_json::Map<_, _> = values
            .map(|(name, item)| (name.clone(), item["value"].clone()))
            .collect();
        let answer = api.put("/configurations", ADMIN, values.into()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    })
    .await;
}

#[tokio::test]
async fn what_the_configuration_fixes_is_locked() {
    for db in databases().await {
        let fixed = settings::Named::from([("self_registration".to_owned(), json!(true))]);
        let fixed = settings::Config::new(fixed).unwrap();
        let api = Api::configured(db, fixed).await;
        let shown = api.get("/configurations", ADMIN).await.json();
        let item = json!({"value": true, "editable": false});
        assert_eq!(shown["self_registration"], item);
        let change = |value: bool| json!({"self_registration": value, "read_only": false});
        let refused = api.put("/configurations", ADMIN, change(false)).await;
        let message = refused.refused(403, "FORBIDDEN");
        assert!(message.contains("self_registration"), "{message}");
        let same = api.put("/configurations", ADMIN, change(true)).await;
        assert_eq!(same.status, 200, "{same:?}");
    }
}

#[tokio::test]
async fn read_only_mode_refuses_every_change_but_that_of_the_mode() {
    on_each_database(async |api| {
        api.project("team", "false").await;
        let mode = async |on: bool| {
            let answer = api.put("/configurations", ADMIN, json!({"read_only": on}));
            assert_eq!(answer.await.status, 200);
        };
        mode(true).await;
        assert_eq!(
            api.get("/systeminfo", ADMIN).await.json()["read_only"],
            true
        );
        let project = json!({"project_name": "other"});
        let message = api
            .post("/projects", ADMIN, project.clone())
            .await
            .refused(403, "DENIED");
        assert!(message.contains("read only mode"), "{message}");
        api.put("/projects/team", ADMIN, json!({}))
            .await
            .refused(403, "DENIED");
        api.delete("/projects/team", ADMIN)
            .await
            .refused(403, "DENIED");
        let collect = json!({"schedule": {"type": "Manual"}, "parameters": {}});
        api.post("/system/gc/schedule", ADMIN, collect)
            .await
            .refused(403, "DENIED");
        assert_eq!(api.get("/projects/team", ADMIN).await.status, 200);
        mode(false).await;
        assert_eq!(api.post("/projects", ADMIN, project).await.status, 201);
        let acts = api.acts(4).await;
        assert_eq!(
            acts[1..3],
            [
                "admin set read_only to true",
                "admin set read_only to false"
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn settings_take_effect_at_once() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        let change = json!({
            "project_creation_restriction": "adminonly",
            "robot_name_prefix": "bot-",
            "robot_token_duration": 7,
            "storage_per_project": 1000,
            "banner_message": "{\"message\":\"hello\"}",
            "notification_enable": false,
        });
        assert_eq!(api.put("/configurations", ADMIN, change).await.status, 200);
        let stranger = api.get("/systeminfo", NOBODY).await.json();
        assert_eq!(stranger["banner_message"], "{\"message\":\"hello\"}");
        let info = api.get("/systeminfo", ALICE).await.json();
        assert_eq!(info["project_creation_restriction"], "adminonly");
        assert_eq!(info["notification_enable"], false);

        let project = json!({"project_name": "hers"});
        api.post("/projects", ALICE, project).await.refused(403, "FORBIDDEN");
        api.project("team", "false").await;
        let summary = api.get("/projects/team/summary", ADMIN).await.json();
        assert_eq!(summary["quota"]["hard"]["storage"], 1000);

        let robot = json!({"name": "ci", "level": "system", "duration": 0, "permissions": [
            {"kind": "system", "namespace": "/", "access": [{"resource": "catalog", "action": "read"}]},
        ]});
        let made = api.post("/robots", ADMIN, robot).await;
        let id = made.id();
        assert_eq!(made.json()["name"], "bot-ci");
        let shown = api.get(&format!("/robots/{id}"), ADMIN).await.json();
        assert_eq!(shown["duration"], 7);
    })
    .await;
}
