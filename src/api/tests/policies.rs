use serde_json::json;

use super::{
    ADMIN, assert_fields, on_each_database,
    target::{Target, policy},
};

#[tokio::test]
async fn policies_are_made_shown_changed_and_deleted() {
    on_each_database(async |api| {
        let target = Target::start().await;
        let registry = api
            .post("/registries", ADMIN, target.described("mirror"))
            .await
            .id();
        let mut body = policy("nightly", registry);
        body["trigger"] = json!({"type": "scheduled", "trigger_settings": {"cron": "0 0 2 * * *"}});
        body["filters"] = json!([
            {"type": "name", "value": "team/**"},
            {"type": "tag", "value": "*-rc", "decoration": "excludes"},
            {"type": "resource", "value": ""},
            {"type": "label", "value": []},
        ]);
        body["deletion"] = json!(true);
        body["speed"] = json!(-1);
        let id = api.post("/replication/policies", ADMIN, body.clone()).await;
        let id = id.created("/replication/policies/");
        let path = format!("/replication/policies/{id}");
        let shown = api.get(&path, ADMIN).await.json();
        let fields = [
            "id",
            "name",
            "description",
            "src_registry",
            "dest_registry",
            "dest_namespace",
            "dest_namespace_replace_count",
            "trigger",
            "filters",
            "replicate_deletion",
            "deletion",
            "override",
            "enabled",
            "creation_time",
            "update_time",
            "speed",
            "copy_by_chunk",
            "single_active_replication",
            "bidirectional",
            "tee",
            "runs_delete",
            "max_deletions",
            "max_deletions_percent",
            "copy_foreign_layers",
        ];
        assert_fields(&shown, &fields);
        assert_eq!(
            (
                &shown["src_registry"]["id"],
                &shown["dest_registry"]["name"]
            ),
            (&json!(0), &json!("mirror"))
        );
        assert_eq!(shown["trigger"], body["trigger"]);
        assert_eq!(shown["filters"].as_array().unwrap().len(), 2);
        assert_eq!(
            (&shown["replicate_deletion"], &shown["speed"]),
            (&json!(true), &json!(0))
        );
        assert_eq!(shown["dest_namespace_replace_count"], -1);
        assert!(!shown.to_string().contains("s3cret"));

        let mut change = shown.clone();
        change["enabled"] = json!(false);
        assert_eq!(api.put(&path, ADMIN, change).await.status, 200);
        let listed = api.get("/replication/policies?name=night", ADMIN).await;
        assert_eq!(listed.column("enabled"), [json!(false)]);
        api.post("/replication/policies", ADMIN, body)
            .await
            .refused(409, "CONFLICT");
        let start = api
            .post("/replication/executions", ADMIN, json!({"policy_id": id}))
            .await;
        start.refused(412, "PRECONDITION");
        assert_eq!(api.delete(&path, ADMIN).await.status, 200);
        api.get(&path, ADMIN).await.refused(404, "NOT_FOUND");
        api.delete(&path, ADMIN).await.refused(404, "NOT_FOUND");
    })
    .await;
}

#[tokio::test]
async fn policies_that_make_no_sense_are_refused() {
    on_each_database(async |api| {
        let target = Target::start().await;
        let registry = api
            .post("/registries", ADMIN, target.described("mirror"))
            .await
            .id();
        let scheduled =
            |cron: &str| json!({"type": "scheduled", "trigger_settings": {"cron": cron}});
        for (field, value, reason) in [
            ("name", json!(""), "name"),
            ("dest_registry", json!({"id": 0}), "local"),
            ("src_registry", json!({"id": registry}), "local"),
            ("trigger", scheduled("often"), "cron"),
            ("trigger", scheduled("0 * * * * *"), "every minute"),
            ("trigger", json!({"type": "moon"}), "not a trigger"),
            (
                "filters",
                json!([{"type": "name", "value": "a["}]),
                "close its `[`",
            ),
            (
                "filters",
                json!([{"type": "label", "value": "a"}]),
                "a list of labels",
            ),
            ("dest_namespace_replace_count", json!(-2), "-1 or more"),
            ("speed", json!(-5), "kilobits"),
        ] {
            let mut body = policy("p", registry);
            body[field] = value;
            let answer = api.post("/replication/policies", ADMIN, body).await;
            let message = answer.refused(400, "BAD_REQUEST");
            assert!(message.contains(reason), "{field}: {message}");
        }
        let absent = api
            .post("/replication/policies", ADMIN, policy("p", 999))
            .await;
        absent.refused(404, "NOT_FOUND");
    })
    .await;
}
