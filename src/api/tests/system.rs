use http::Request;
use serde_json::json;

use super::{ADMIN, ALICE, NOBODY, assert_fields, on_each_database};
use crate::wire::Body;

#[tokio::test]
async fn anybody_may_ask_whether_the_api_is_there() {
    on_each_database(async |api| {
        let pong = api.get("/ping", Some(("admin", "wrong"))).await;
        assert_eq!((pong.status, &*pong.body), (200, &b"Pong"[..]));
        let version = Request::get("/api/version").body(Body::Empty).unwrap();
        assert_eq!(api.ask(version).await.json(), json!({"version": "v2.0"}));
    })
    .await;
}

#[tokio::test]
async fn health_names_the_part_that_is_ill() {
    for db in crate::store::testing::databases().await {
        let api = super::Api::over(db).await;
        let health = api.get("/health", NOBODY).await.json();
        let well = json!([{"name": "registry", "status": "healthy"}]);
        assert_eq!(health, json!({"status": "healthy", "components": well}));

        *api.probe.0.lock().unwrap() = Some("no answer".to_owned());
        let health = api.get("/health", NOBODY).await.json();
        let ill = json!([{"name": "registry", "status": "unhealthy", "error": "no answer"}]);
        assert_eq!(health, json!({"status": "unhealthy", "components": ill}));
    }
}

#[tokio::test]
async fn strangers_see_less_of_the_system() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        let open = [
            "auth_mode",
            "primary_auth_mode",
            "self_registration",
            "current_time",
        ];
        let seen = api.get("/systeminfo", NOBODY).await.json();
        assert_fields(&seen, &open);
        let seen = api.get("/systeminfo", ALICE).await.json();
        let protected = [
            "registry_url",
            "external_url",
            "project_creation_restriction",
            "has_ca_root",
            "harbor_version",
            "registry_storage_provider_name",
            "read_only",
            "notification_enable",
        ];
        assert_fields(&seen, &[&open[..], &protected[..]].concat());
        assert_eq!(seen["external_url"], "https://registry.example.com:8443");
        assert_eq!(seen["registry_url"], "registry.example.com:8443");
        assert_eq!(seen["has_ca_root"], true);
        assert!(seen["harbor_version"].as_str().unwrap().starts_with("v2."));
    })
    .await;
}

#[tokio::test]
async fn the_root_certificate_and_the_volumes_are_shown() {
    on_each_database(async |api| {
        let certificate = api.get("/systeminfo/getcert", NOBODY).await;
        assert_eq!(certificate.status, 200);
        assert!(
            certificate
                .header("content-disposition")
                .ends_with("filename=ca.crt")
        );
        assert!(certificate.body.starts_with(b"-----BEGIN"));
        let volume = api.get("/systeminfo/volumes", ADMIN).await.json()["storage"][0].clone();
        let (total, free) = (
            volume["total"].as_u64().unwrap(),
            volume["free"].as_u64().unwrap(),
        );
        assert!(0 < free && free <= total, "{volume}");
    })
    .await;
}

#[tokio::test]
async fn searching_finds_what_the_caller_may_see() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        let open = api.project("open-web", "true").await;
        api.project("closed-web", "false").await;
        let held = [
            "closed-web/app",
            "library/web",
            "open-web/app",
            "open-web/tool",
        ];
        api.behind.hold(&held).await;
        let found = api.get("/search?q=WEB", NOBODY).await.json();
        assert_eq!(found["project"].as_array().unwrap().len(), 1);
        let repositories = found["repository"].as_array().unwrap();
        let names: Vec<_> = repositories
            .iter()
            .map(|found| &found["repository_name"])
            .collect();
        assert_eq!(names, ["library/web", "open-web/app", "open-web/tool"]);
        assert_eq!(
            repositories[1],
            json!({"project_id": open, "project_name": "open-web", "project_public": true,
                "repository_name": "open-web/app", "artifact_count": 1, "pull_count": 0})
        );
        let found = api.get("/search?q=app", ADMIN).await.json();
        assert_eq!(found["repository"].as_array().unwrap().len(), 2);
        api.get("/search", NOBODY)
            .await
            .refused(422, "UNPROCESSABLE_ENTITY");
    })
    .await;
}

#[tokio::test]
async fn statistics_count_what_the_caller_may_see() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        api.project("open", "true").await;
        api.project("closed", "false").await;
        api.project("joined", "false").await;
        api.member("joined", ALICE, 3).await;
        api.behind
            .hold(&["closed/a", "joined/a", "joined/b", "open/a"])
            .await;
        let own = json!({"private_project_count": 1, "private_repo_count": 2,
            "public_project_count": 2, "public_repo_count": 1});
        assert_eq!(api.get("/statistics", ALICE).await.json(), own);
        let used = api.behind.inventory.stored_bytes().await.unwrap();
        let all = json!({"private_project_count": 2, "private_repo_count": 3,
            "public_project_count": 2, "public_repo_count": 1,
            "total_project_count": 4, "total_repo_count": 4,
            "total_storage_consumption": used});
        assert_eq!(api.get("/statistics", ADMIN).await.json(), all);
        api.get("/statistics", NOBODY)
            .await
            .refused(401, "UNAUTHORIZED");
    })
    .await;
}
