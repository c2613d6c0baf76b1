use serde_json::{Value, json};

use super::{
    ADMIN, assert_fields, on_each_database,
    target::{Target, policy},
};

#[tokio::test]
async fn registries_are_made_shown_changed_and_deleted() {
    on_each_database(async |api| {
        let target = Target::start().await;
        let id = api
            .post("/registries", ADMIN, target.described("mirror"))
            .await;
        let id = id.created("/registries/");
        let path = format!("/registries/{id}");
        let shown = api.get(&path, ADMIN).await;
        assert!(!String::from_utf8_lossy(&shown.body).contains("s3cret"));
        let shown = shown.json();
        let fields = [
            "id",
            "name",
            "type",
            "url",
            "description",
            "insecure",
            "credential",
            "status",
            "speed_kbps",
            "creation_time",
            "update_time",
        ];
        assert_fields(&shown, &fields);
        let masked = json!({"type": "basic", "access_key": "mirror", "access_secret": "*****"});
        assert_eq!(
            (&shown["credential"], &shown["status"]),
            (&masked, &json!("healthy"))
        );
        assert_eq!(
            api.get("/registries?name=IRR", ADMIN).await.column("name"),
            ["mirror"]
        );

        assert_eq!(shown["speed_kbps"], 0);

        let change = json!({"name": "twin", "access_secret": "*****", "speed_kbps": 1024});
        assert_eq!(api.put(&path, ADMIN, change).await.status, 200);
        let shown = api.get(&path, ADMIN).await.json();
        assert_eq!(
            (&shown["name"], &shown["credential"], &shown["speed_kbps"]),
            (&json!("twin"), &masked, &json!(1024))
        );
        let info = api.get(&format!("{path}/info"), ADMIN).await.json();
        assert_eq!(info["type"], "docker-registry");
        assert_eq!(
            api.get("/registries/0/info", ADMIN).await.json()["type"],
            "harbor"
        );

        let user = api
            .post("/replication/policies", ADMIN, policy("p", id))
            .await;
        let message = api.delete(&path, ADMIN).await.refused(412, "PRECONDITION");
        assert!(message.contains("policy"), "{message}");
        let policy = format!("/replication/policies/{}", user.id());
        assert_eq!(api.delete(&policy, ADMIN).await.status, 200);
        assert_eq!(api.delete(&path, ADMIN).await.status, 200);
        api.get(&path, ADMIN).await.refused(404, "NOT_FOUND");
    })
    .await;
}

#[tokio::test]
async fn registries_that_cannot_be_used_are_refused() {
    on_each_database(async |api| {
        let target = Target::start().await;
        let made = api
            .post("/registries", ADMIN, target.described("mirror"))
            .await;
        let url = format!("http://{}", target.address);
        let described =
            |name: &str, kind: &str, url: &str| json!({"name": name, "type": kind, "url": url});
        for (body, status, code) in [
            (
                described("mirror", "docker-registry", &url),
                409,
                "CONFLICT",
            ),
            (described("", "docker-registry", &url), 400, "BAD_REQUEST"),
            (described("a", "no-such-type", &url), 400, "BAD_REQUEST"),
            (
                described("a", "docker-registry", "ftp://x"),
                400,
                "BAD_REQUEST",
            ),
            (
                described("a", "docker-registry", "http://127.0.0.1:1"),
                400,
                "BAD_REQUEST",
            ),
        ] {
            api.post("/registries", ADMIN, body)
                .await
                .refused(status, code);
        }
        let ping = async |body: Value| api.post("/registries/ping", ADMIN, body).await;
        assert_eq!(ping(json!({"id": made.id()})).await.status, 200);
        assert_eq!(ping(json!({"id": made.id(), "url": url})).await.status, 200);
        let elsewhere = json!({"id": made.id(), "url": "http://127.0.0.1:1"});
        let message = ping(elsewhere).await.refused(400, "BAD_REQUEST");
        assert!(message.contains("access_secret"), "{message}");
        assert_eq!(ping(target.described("new")).await.status, 200);
        ping(described("a", "harbor", "http://127.0.0.1:1"))
            .await
            .refused(400, "BAD_REQUEST");
        ping(json!({"id": 999})).await.refused(404, "NOT_FOUND");
    })
    .await;
}

#[tokio::test]
async fn the_types_of_registries_are_listed() {
    on_each_database(async |api| {
        let types = api.get("/replication/adapters", ADMIN).await.json();
        assert_eq!(types.as_array().unwrap().len(), 10, "{types}");
        assert_eq!(types[0], "aws-ecr");
        let infos = api.get("/replication/adapterinfos", ADMIN).await.json();
        for kind in types.as_array().unwrap() {
            let info = &infos[kind.as_str().unwrap()];
            assert_fields(info, &["endpoint_pattern", "credential_pattern"]);
        }
        assert_eq!(
            infos["docker-hub"]["endpoint_pattern"],
            json!({
                "endpoint_type": "EndpointPatternTypeFix",
                "endpoints": [{"key": "hub.docker.com", "value": "https://hub.docker.com"}],
            })
        );
        assert_eq!(
            infos["google-gcr"]["credential_pattern"]["access_key_data"],
            "_json_key"
        );
        assert_eq!(infos["harbor"]["endpoint_pattern"]["endpoints"], json!([]));
    })
    .await;
}
