//! Layers that registries need not hold.

use serde_json::json;

use crate::{
    oci::{Digest, media_type::OCI_MANIFEST},
    registry::Client,
    replication::{
        Status,
        testing::{Rig, name, push, push_image, push_manifest},
    },
    store::testing::databases,
    wire::Body,
};

const FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";

/// Pushes an image with a layer that is meant to be fetched elsewhere.
async fn push_foreign(client: &Client, layer: &Digest) -> Digest {
    let config = Digest::sha256(b"{}");
    let repository = name("a/b");
    let put = client.put_blob(&repository, &config, 2, Body::from("{}".to_owned()));
    put.await.unwrap();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2,
        },
        "layers": [{
            "mediaType": FOREIGN, "digest": layer, "size": 5,
            "urls": ["https://elsewhere.invalid/layer"],
        }],
    });
    push_manifest(client, "a/b", "v1", OCI_MANIFEST, &manifest).await
}

#[tokio::test]
async fn foreign_layers_stay_where_they_are_unless_the_policy_wants_them() {
    let layer = Digest::sha256(b"layer");
    for (is_wanted, is_held, is_copied, says) in [
        (false, true, false, "foreign, not copied"),
        (true, true, true, "5 bytes, copied"),
        (true, false, false, "foreign, the source does not hold it"),
    ] {
        for db in databases().await {
            let rig = Rig::new(db).await;
            rig.policy(|spec| spec.copy_foreign_layers = is_wanted)
                .await;
            rig.work();
            if is_held {
                push_image(&rig.local, "a/b", "other", &["layer"]).await;
            }
            let digest = push_foreign(&rig.local, &layer).await;
            rig.happen(&push("a/b", "v1")).await;
            let execution = rig.settled().await.remove(0);
            let log = rig.logs(execution.id).await;
            assert_eq!(execution.status, Status::Succeed, "{log}");
            assert_eq!(rig.remote.digest("a/b", "v1").await, Some(digest), "{log}");
            let there = rig.remote.client.head_blob(&name("a/b"), &layer).await;
            assert_eq!(there.unwrap().is_some(), is_copied, "{log}");
            assert!(log.contains(says), "{log}");
        }
    }
}
