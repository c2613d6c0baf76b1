//! Blobs go to mirrors while they are pushed.

use serde_json::json;

use crate::harness::{Database, Distribution, Gateway, Image, Options, Skopeo, Succeeds, until};

#[tokio::test]
async fn three_mirrors_get_a_push_and_its_registry_is_asked_for_no_blob() {
    for database in Database::BOTH {
        let source = Distribution::start().await;
        let gateway = Gateway::with(Options {
            database: Some(database),
            upstream: Some(source.url()),
            // However slow the machine is: what is slow is left to the job.
            extra: "[replication]\ntee_idle_seconds = 600\n".to_owned(),
            ..Options::default()
        })
        .await;
        gateway.create_project("team").await;
        let mut mirrors = Vec::new();
        for number in 0..3 {
            let mirror = Distribution::start().await;
            let name = format!("mirror-{number}");
            let policy = mirror_to(&gateway, &name, &mirror.url()).await;
            mirrors.push((policy, mirror));
        }
        let large = vec![7; 1024 * 1024];
        let image = Image::new(&[&large, b"a small layer"]);
        let name = format!("{}/team/app:v1", gateway.host());
        Skopeo::at(&gateway, "admin").push(&image, &name).succeeds();
        for (policy, mirror) in &mut mirrors {
            gateway.until_mirrored(*policy).await;
            let digest = mirror.digest("team/app", "v1").await;
            assert_eq!(digest.as_deref(), Some(image.digest.as_str()));
            until("no upload is left open", async || {
                (mirror.open_uploads("team/app") == 0).then_some(())
            })
            .await;
        }
        assert_eq!(source.requests("\"PUT /v2/team/app/manifests/").len(), 1);
        let read = source.requests("\"GET /v2/team/app/blobs/");
        assert!(read.is_empty(), "{read:#?}");
    }
}

async fn mirror_to(gateway: &Gateway, name: &str, url: &str) -> i64 {
    let registry = json!({ "name": name, "type": "docker-registry", "url": url });
    let admin = gateway.admin();
    let registry = admin.post("/api/v2.0/registries", &registry).await;
    let registry = registry.expect(201).id();
    let policy = json!({
        "name": name, "dest_registry": { "id": registry }, "trigger": { "type": "event_based" },
        "enabled": true, "override": true,
    });
    let policies = "/api/v2.0/replication/policies";
    admin.post(policies, &policy).await.expect(201).id()
}
