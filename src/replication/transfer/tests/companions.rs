//! Signatures travel with what they sign.

use serde_json::json;

use super::distribution::{mirror, registry};
use crate::{
    oci::{Digest, Reference, media_type},
    registry::{
        Client,
        tests::{Distribution, Setup},
    },
    replication::{
        Status,
        testing::{Rig, digest_at, name, push, push_image, push_manifest},
    },
    store::testing::databases,
};

/// Pushes a manifest that refers to `subject` as an OCI referrer.
pub(super) async fn sign(client: &Client, repository: &str, subject: &Digest) -> Digest {
    let reference = Reference::Digest(subject.clone());
    let head = client.head_manifest(&name(repository), &reference).await;
    let size = head.unwrap().unwrap().size_bytes.unwrap();
    let config = Digest::sha256(b"{}");
    client
        .put_blob(&name(repository), &config, 2, "{}".into())
        .await
        .unwrap();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "artifactType": "application/vnd.example.signature",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": [],
        "subject": {"mediaType": media_type::OCI_MANIFEST, "digest": subject, "size": size},
    });
    push_manifest(
        client,
        repository,
        "by digest",
        media_type::OCI_MANIFEST,
        &manifest,
    )
    .await
}

/// Lets the push of `reference` happen and be mirrored.
async fn mirrored(rig: &Rig, reference: &str) {
    rig.happen(&push("a/b", reference)).await;
    let executions = rig.settled().await;
    let log = rig.logs(executions[0].id).await;
    assert_eq!(executions[0].status, Status::Succeed, "{log}");
}

fn only_versions() -> Vec<crate::replication::policy::Filter> {
    let filters = json!([{"type": "tag", "value": "v*"}]);
    serde_json::from_value(filters).unwrap()
}

#[tokio::test]
async fn signatures_come_with_their_image_whatever_the_tag_filter() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|spec| spec.filters = only_versions()).await;
        rig.work();
        let image = push_image(&rig.local, "a/b", "v1", &["one"]).await;
        let signature = sign(&rig.local, "a/b", &image).await;
        let tag = format!("sha256-{}.sig", image.hex());
        let cosign = push_image(&rig.local, "a/b", &tag, &["sig"]).await;
        mirrored(&rig, "v1").await;
        assert_eq!(rig.remote.digest("a/b", &tag).await, Some(cosign));
        let repository = name("a/b");
        let there = rig.remote.client.referrers(&repository, &image, None).await;
        let there = there.unwrap();
        assert_eq!(there.descriptors()[0].digest, signature);
    }
}

#[tokio::test]
async fn a_signature_that_comes_later_follows_only_an_image_that_was_mirrored() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|spec| spec.filters = only_versions()).await;
        rig.work();
        let mirrored_image = push_image(&rig.local, "a/b", "v1", &["one"]).await;
        let other_image = push_image(&rig.local, "a/b", "test", &["two"]).await;
        mirrored(&rig, "v1").await;
        for (image, comes) in [(&mirrored_image, true), (&other_image, false)] {
            let tag = format!("sha256-{}.sig", image.hex());
            push_image(&rig.local, "a/b", &tag, &["sig"]).await;
            mirrored(&rig, &tag).await;
            assert_eq!(rig.remote.digest("a/b", &tag).await.is_some(), comes);
        }
    }
}

#[tokio::test]
async fn a_destination_without_the_referrers_api_gets_the_referrers_tag() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.work();
        let target = Distribution::start(Setup::Open).await;
        let there = mirror(&rig, &target, registry(target.endpoint().url.to_string())).await;
        let image = push_image(&rig.local, "a/b", "v1", &["one"]).await;
        let signature = sign(&rig.local, "a/b", &image).await;
        mirrored(&rig, "v1").await;
        assert_eq!(digest_at(&there, "a/b", "v1").await, Some(image.clone()));
        let found = there.referrers(&name("a/b"), &image, None).await.unwrap();
        let found: Vec<_> = found.descriptors().iter().map(|one| &one.digest).collect();
        assert_eq!(found, [&signature]);
    }
}
