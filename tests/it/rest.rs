//! Harbor's REST API over the wire: the way of an administrator from nothing to a policy.

use serde_json::json;

use crate::harness::{Database, Distribution, Gateway, Options, PASSWORD};

#[tokio::test]
async fn an_administrator_sets_up_a_team() {
    for database in Database::BOTH {
        let gateway = Gateway::with(Options {
            database: Some(database),
            ..Options::default()
        })
        .await;
        let admin = gateway.admin();
        gateway.create_project("team").await;
        let dora = gateway.create_member("team", "dora", 2).await;

        let projects = dora.get("/api/v2.0/projects?page_size=1").await.expect(200);
        assert_eq!(
            projects.header("x-total-count"),
            "2",
            "team, and the public library"
        );
        assert!(
            projects.header("link").contains("rel=\"next\""),
            "{}",
            projects.header("link")
        );

        let me = dora.get("/api/v2.0/users/current").await.expect(200).json();
        assert_eq!(
            (me["username"].as_str(), me["sysadmin_flag"].as_bool()),
            (Some("dora"), Some(false))
        );
        dora.get("/api/v2.0/users").await.expect(403);
        gateway
            .http()
            .get("/api/v2.0/users/current")
            .await
            .expect(401);

        let duplicate = json!({ "project_name": "team" });
        let conflict = admin
            .post("/api/v2.0/projects", &duplicate)
            .await
            .expect(409);
        assert_eq!(conflict.json()["errors"][0]["code"], "CONFLICT");
        admin.delete("/api/v2.0/projects/team").await.expect(200);
        admin.get("/api/v2.0/projects/team").await.expect(404);
    }
}

#[tokio::test]
async fn targets_never_show_their_secrets() {
    let gateway = Gateway::start().await;
    let target = Distribution::start().await;
    let registry = json!({
        "name": "mirror", "type": "docker-registry", "url": target.url(),
        "credential": { "type": "basic", "access_key": "robot", "access_secret": "hunter2-hunter2" },
    });
    let id = gateway
        .admin()
        .post("/api/v2.0/registries", &registry)
        .await
        .expect(201)
        .id();
    let shown = gateway
        .admin()
        .get(&format!("/api/v2.0/registries/{id}"))
        .await
        .expect(200)
        .text();
    assert!(!shown.contains("hunter2"), "{shown}");
    let database = std::fs::read(gateway.directory().join("data/tidegate.db")).unwrap();
    let wal = std::fs::read(gateway.directory().join("data/tidegate.db-wal")).unwrap_or_default();
    for bytes in [database, wal] {
        assert!(
            !bytes.windows(7).any(|window| window == b"hunter2"),
            "the secret is stored in clear"
        );
    }
}

#[tokio::test]
async fn health_and_metrics_tell_the_state() {
    let gateway = Gateway::start().await;
    let health = gateway
        .http()
        .get("/api/v2.0/health")
        .await
        .expect(200)
        .json();
    assert_eq!(health["status"], "healthy", "{health}");
    gateway.http().get("/healthz").await.expect(200);
    gateway.http().get("/readyz").await.expect(200);
    let metrics = gateway.http().get("/metrics").await.expect(200).text();
    assert!(metrics.contains("tidegate_server_"), "{metrics}");
    assert_eq!(
        gateway
            .http()
            .get("/api/v2.0/ping")
            .await
            .expect(200)
            .text(),
        "Pong"
    );
    let info = gateway
        .http()
        .basic("admin", PASSWORD)
        .get("/api/v2.0/systeminfo")
        .await
        .expect(200)
        .json();
    assert_eq!(info["auth_mode"], "db_auth");
}
