use std::time::Duration;

use serde_json::json;

use super::{
    ADMIN, Api, on_each_database,
    target::{Target, policy},
};

/// Whether the target has `team/app:v1`.
async fn has_arrived(target: &Target) -> bool {
    let there = crate::registry::Client::new(target.registry.exchange());
    let (name, tag) = ("team/app".parse().unwrap(), "v1".parse().unwrap());
    there.head_manifest(&name, &tag).await.unwrap().is_some()
}

async fn executions(api: &Api) -> String {
    let listed = api.get("/replication/executions", ADMIN).await;
    listed.header("x-total-count").to_owned()
}

#[tokio::test]
async fn a_label_put_on_an_artifact_sends_it_to_where_policies_ask_for_it() {
    on_each_database(async |api| {
        api.project("team", "false").await;
        api.behind.push("team/app", "v1", "me").await;
        let target = Target::start().await;
        let registry = api
            .post("/registries", ADMIN, target.described("mirror"))
            .await
            .id();
        let mut by_label = policy("by-label", registry);
        by_label["trigger"] = json!({"type": "event_based"});
        by_label["filters"] = json!([{"type": "label", "value": ["tested"]}]);
        let made = api.post("/replication/policies", ADMIN, by_label).await;
        assert_eq!(made.status, 201, "{made:?}");
        let label = json!({"name": "tested", "scope": "g"});
        let label = api.post("/labels", ADMIN, label).await.id();
        let info = api.get("/registries/0/info", ADMIN).await.json();
        assert_eq!(
            info["supported_resource_filters"][3],
            json!({"type": "label", "style": "list", "values": ["tested"]})
        );

        let labels = "/projects/team/repositories/app/artifacts/v1/labels";
        let put = api.post(labels, ADMIN, json!({"id": label})).await;
        assert_eq!(put.status, 200, "{put:?}");
        while !has_arrived(&target).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let again = api.post(labels, ADMIN, json!({"id": label})).await;
        again.refused(409, "CONFLICT");
        assert_eq!(executions(api).await, "1", "what was refused sends nothing");
    })
    .await;
}

#[tokio::test]
async fn label_filters_of_other_registries_are_refused() {
    on_each_database(async |api| {
        let target = Target::start().await;
        let registry = api
            .post("/registries", ADMIN, target.described("mirror"))
            .await
            .id();
        let body = json!({
            "name": "in", "src_registry": {"id": registry},
            "filters": [{"type": "label", "value": ["tested"]}],
        });
        let refused = api.post("/replication/policies", ADMIN, body).await;
        let message = refused.refused(400, "BAD_REQUEST");
        assert!(message.contains("label filter"), "{message}");
    })
    .await;
}
