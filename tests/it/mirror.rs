//! What is pushed at the gateway is found at the target.

use serde_json::json;

use crate::harness::{Database, Distribution, Gateway, Image, Options, Skopeo, Succeeds, until};

#[tokio::test]
async fn a_push_is_found_at_the_mirror_by_the_same_digest() {
    for database in Database::BOTH {
        for remote in [false, true] {
            let source = Distribution::start().await;
            let target = Distribution::start().await;
            let upstream = remote.then(|| source.url());
            let gateway = Gateway::with(Options {
                database: Some(database),
                upstream,
                ..Options::default()
            })
            .await;
            gateway.create_project("team").await;
            let policy = gateway.mirror_to(&target.url()).await;
            let image = Image::new(&[b"first layer", b"second layer"]);
            let name = format!("{}/team/app:v1", gateway.host());
            Skopeo::at(&gateway, "admin").push(&image, &name).succeeds();

            let executions = gateway.until_mirrored(policy).await;
            assert_eq!(executions[0]["trigger"], "event_based");
            assert_eq!(
                target.digest("team/app", "v1").await.as_deref(),
                Some(image.digest.as_str())
            );

            let execution = executions[0]["id"].as_i64().unwrap();
            let path = format!("/api/v2.0/replication/executions/{execution}/tasks");
            let tasks = gateway.admin().get(&path).await.expect(200).json();
            assert_eq!(
                (tasks[0]["status"].as_str(), tasks.as_array().unwrap().len()),
                (Some("Succeed"), 1)
            );
            let log = gateway
                .admin()
                .get(&format!("{path}/{}/log", tasks[0]["id"]))
                .await
                .expect(200)
                .text();
            assert!(log.contains(image.digest.as_str()), "{log}");
        }
    }
}

#[tokio::test]
async fn a_deleted_tag_is_deleted_at_the_mirror_and_its_sibling_stays() {
    let target = Gateway::start().await;
    target.create_project("team").await;
    let gateway = Gateway::start().await;
    gateway.create_project("team").await;
    let registry = json!({
        "name": "mirror", "type": "docker-registry", "url": target.url(), "insecure": true,
        "credential": { "type": "basic", "access_key": "admin", "access_secret": crate::harness::PASSWORD },
    });
    let registry = gateway
        .admin()
        .post("/api/v2.0/registries", &registry)
        .await
        .expect(201)
        .id();
    let policy = json!({
        "name": "mirror", "dest_registry": { "id": registry }, "trigger": { "type": "event_based" },
        "enabled": true, "override": true, "deletion": true,
    });
    let policy = gateway
        .admin()
        .post("/api/v2.0/replication/policies", &policy)
        .await
        .expect(201)
        .id();
    let image = Image::new(&[b"a layer"]);
    let skopeo = Skopeo::at(&gateway, "admin");
    for tag in ["v1", "v2"] {
        skopeo
            .push(&image, &format!("{}/team/app:{tag}", gateway.host()))
            .succeeds();
    }
    gateway.until_mirrored(policy).await;
    let scope = ["repository:team/app:pull,delete"];
    let here = gateway.token(Some("admin"), &scope).await;
    here.delete("/v2/team/app/manifests/v1").await.expect(202);

    let there = target.token(Some("admin"), &scope).await;
    until("the tag is gone at the mirror", async || {
        (there.get("/v2/team/app/manifests/v1").await.status == 404).then_some(())
    })
    .await;
    there.get("/v2/team/app/manifests/v2").await.expect(200);
}

#[tokio::test]
async fn names_and_tags_are_filtered_and_rewritten() {
    let target = Distribution::start().await;
    let gateway = Gateway::start().await;
    gateway.create_project("team").await;
    let registry = json!({ "name": "mirror", "type": "docker-registry", "url": target.url() });
    let registry = gateway
        .admin()
        .post("/api/v2.0/registries", &registry)
        .await
        .expect(201)
        .id();
    let policy = json!({
        "name": "releases", "dest_registry": { "id": registry }, "trigger": { "type": "event_based" },
        "filters": [
            { "type": "name", "value": "team/**" },
            { "type": "tag", "value": "v*", "decoration": "matches" },
        ],
        "dest_namespace": "backup", "dest_namespace_replace_count": 1, "enabled": true, "override": true,
    });
    let policy = gateway
        .admin()
        .post("/api/v2.0/replication/policies", &policy)
        .await
        .expect(201)
        .id();
    let image = Image::new(&[b"a layer"]);
    let skopeo = Skopeo::at(&gateway, "admin");
    skopeo
        .push(&image, &format!("{}/team/web/app:latest", gateway.host()))
        .succeeds();
    skopeo
        .push(&image, &format!("{}/team/web/app:v1", gateway.host()))
        .succeeds();
    gateway.until_mirrored(policy).await;
    assert_eq!(
        target.digest("backup/web/app", "v1").await.as_deref(),
        Some(image.digest.as_str())
    );
    assert_eq!(target.digest("backup/web/app", "latest").await, None);
}

#[tokio::test]
async fn a_manual_run_copies_what_was_there_before_the_policy() {
    let target = Distribution::start().await;
    let gateway = Gateway::start().await;
    gateway.create_project("team").await;
    let image = Image::new(&[b"a layer"]);
    let skopeo = Skopeo::at(&gateway, "admin");
    for name in ["team/one:v1", "team/two:v1", "team/two:v2"] {
        skopeo
            .push(&image, &format!("{}/{name}", gateway.host()))
            .succeeds();
    }
    let registry = json!({ "name": "mirror", "type": "docker-registry", "url": target.url() });
    let registry = gateway
        .admin()
        .post("/api/v2.0/registries", &registry)
        .await
        .expect(201)
        .id();
    let policy = json!({
        "name": "all", "dest_registry": { "id": registry }, "trigger": { "type": "manual" }, "enabled": true,
    });
    let policy = gateway
        .admin()
        .post("/api/v2.0/replication/policies", &policy)
        .await
        .expect(201)
        .id();
    let start = json!({ "policy_id": policy });
    gateway
        .admin()
        .post("/api/v2.0/replication/executions", &start)
        .await
        .expect(201);
    let executions = gateway.until_mirrored(policy).await;
    assert_eq!(
        (&executions[0]["total"], &executions[0]["succeed"]),
        (&json!(3), &json!(3))
    );
    for (repository, tag) in [("team/one", "v1"), ("team/two", "v1"), ("team/two", "v2")] {
        assert_eq!(
            target.digest(repository, tag).await.as_deref(),
            Some(image.digest.as_str())
        );
    }
}

#[tokio::test]
async fn a_target_that_is_away_gets_its_images_when_it_is_back() {
    let gateway = Gateway::start().await;
    gateway.create_project("team").await;
    let target = Distribution::start().await;
    let policy = gateway.mirror_to(&target.url()).await;
    let port = target.port();
    drop(target);
    let image = Image::new(&[b"a layer"]);
    let name = format!("{}/team/app:v1", gateway.host());
    Skopeo::at(&gateway, "admin").push(&image, &name).succeeds();
    let executions = format!("/api/v2.0/replication/executions?policy_id={policy}");
    until("the execution is there", async || {
        let list = gateway.admin().get(&executions).await.expect(200).json();
        (list[0]["status"] == "InProgress").then_some(())
    })
    .await;
    let target = Distribution::on_port(port).await;
    gateway.until_mirrored(policy).await;
    assert_eq!(
        target.digest("team/app", "v1").await.as_deref(),
        Some(image.digest.as_str())
    );
}
