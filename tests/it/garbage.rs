//! The space of deleted images, as the disk and clients see it.

use serde_json::{Value, json};

use crate::harness::{
    Database, Distribution, Gateway, Image, Options, Skopeo, Succeeds, bytes_in, until,
};

const BLOBS: &str = "docker/registry/v2/blobs";
const AT_ONCE: &str = "[gc]\nwindow_hours = 0\nquarantine_hours = 0\n";

/// A gateway with two images that share a layer.
async fn gateway(database: Database, upstream: Option<String>) -> (Gateway, [Image; 2]) {
    let gateway = Gateway::with(Options {
        database: Some(database),
        upstream,
        extra: AT_ONCE.to_owned(),
        ..Options::default()
    })
    .await;
    gateway.create_project("team").await;
    let images = [
        Image::new(&[b"a shared layer", b"of the kept one"]),
        Image::new(&[b"a shared layer", b"of the deleted one"]),
    ];
    for (image, tag) in images.iter().zip(["kept", "gone"]) {
        let name = format!("{}/team/app:{tag}", gateway.host());
        Skopeo::at(&gateway, "admin").push(image, &name).succeeds();
    }
    (gateway, images)
}

/// Deletes the tag `gone` and collects; what the run has to show.
async fn collect(gateway: &Gateway) -> Value {
    let admin = gateway.admin();
    let tag = "/api/v2.0/projects/team/repositories/app/artifacts/gone/tags/gone";
    admin.delete(tag).await.expect(200);
    let wish = json!({
        "schedule": {"type": "Manual"}, "parameters": {"delete_untagged": true, "workers": 2},
    });
    let started = admin.post("/api/v2.0/system/gc/schedule", &wish).await;
    let path = format!("/api/v2.0/system/gc/{}", started.expect(201).id());
    let run = until("the collection ends", async || {
        let run = admin.get(&path).await.expect(200).json();
        (!["Pending", "Running"].contains(&run["job_status"].as_str()?)).then_some(run)
    })
    .await;
    let log = admin.get(&format!("{path}/log")).await.expect(200).text();
    assert_eq!(run["job_status"], "Success", "{log}");
    serde_json::from_str(run["job_parameters"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn the_embedded_registry_gives_back_what_only_deleted_images_had() {
    for database in Database::BOTH {
        let (gateway, _images) = gateway(database, None).await;
        let content = gateway.directory().join("data/registry").join(BLOBS);
        let before = bytes_in(&content);
        let outcome = collect(&gateway).await;
        assert_eq!(outcome["freed_space"], before - bytes_in(&content));
        assert_eq!(outcome["purged_manifests"], 1);
        // The manifest, the config and the layer of its own.
        assert_eq!(outcome["purged_blobs"], 3);
        let pulled = tempfile::tempdir().unwrap();
        let name = format!("{}/team/app:kept", gateway.host());
        Skopeo::at(&gateway, "admin")
            .pull(&name, pulled.path())
            .succeeds();
    }
}

#[tokio::test]
async fn distribution_is_left_with_garbage_that_its_own_collector_takes() {
    for database in Database::BOTH {
        let registry = Distribution::start().await;
        let (gateway, images) = gateway(database, Some(registry.url())).await;
        let outcome = collect(&gateway).await;
        assert_eq!(outcome["freed_space"], 0);
        assert_eq!(outcome["purged_manifests"], 1);
        let left = outcome["unreclaimed_space"].as_u64().unwrap();
        let before = bytes_in(&registry.data().join(BLOBS));
        registry.collect_garbage().succeeds();
        // The manifest is not in the estimate.
        let freed = before - bytes_in(&registry.data().join(BLOBS));
        assert!((left..left + 2000).contains(&freed), "{freed} {left}");
        let kept = registry.digest("team/app", "kept").await;
        assert_eq!(kept.as_deref(), Some(images[0].digest.as_str()));
    }
}
