use serde_json::json;

use super::deletion;
use crate::{
    oci::{Digest, media_type},
    registry::{
        Client, Remote,
        tests::{Distribution, Setup, alice},
    },
    replication::{
        Change, ChangeKind, NewCredential, NewRegistry, RegistryId, Status,
        testing::{Rig, digest_at, name, push, push_image, push_manifest},
    },
    secret::Secret,
    store::testing::databases,
};

/// A policy with deletion from the rig to `target`, and a client that looks there.
pub(super) async fn mirror(rig: &Rig, target: &Distribution, new: NewRegistry) -> Client {
    let mut endpoint = target.endpoint();
    endpoint.url = new.url.parse().unwrap();
    endpoint.ca_certificate.clone_from(&new.ca_certificate);
    if !new.credential.access_key.is_empty() {
        endpoint.credential = Some(alice("wonderland"));
    }
    let destination: RegistryId = rig.replication.create_registry(new).await.unwrap();
    let mut spec = crate::replication::policy::tests::spec();
    spec.destination = destination;
    spec.deletion = true;
    rig.replication.create_policy(&spec).await.unwrap();
    let remote = Remote::challenged(&endpoint, &crate::registry::Config::default());
    Client::new(remote.unwrap().exchange())
}

pub(super) fn registry(url: String) -> NewRegistry {
    NewRegistry {
        name: "distribution".to_owned(),
        kind: "docker-registry".to_owned(),
        url,
        ..NewRegistry::default()
    }
}

fn deletion_of_tag(tag: &str) -> Change {
    let kind = ChangeKind::DeleteTag {
        tag: tag.parse().unwrap(),
        digest: None,
    };
    deletion("team/app", kind)
}

/// Deletes a tag here; how the execution that follows it ends.
async fn delete_tag(rig: &Rig, tag: &str) -> (Status, String) {
    let reference = tag.parse().unwrap();
    rig.local
        .delete_manifest(&name("team/app"), &reference)
        .await
        .unwrap();
    rig.happen(&deletion_of_tag(tag)).await;
    let newest = rig.settled().await.remove(0);
    let tasks = rig.tasks(newest.id).await;
    assert_eq!(tasks[0].status_text, newest.status_text);
    (newest.status, newest.status_text)
}

async fn delete_everywhere(rig: &Rig, digest: &Digest) {
    let reference = digest.as_str().parse().unwrap();
    rig.local
        .delete_manifest(&name("team/app"), &reference)
        .await
        .unwrap();
    let kind = ChangeKind::DeleteDigest {
        digest: digest.clone(),
        tags: Vec::new(),
    };
    rig.happen(&deletion("team/app", kind)).await;
}

#[tokio::test]
async fn distribution_with_a_password_gets_images_and_loses_digests() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.work();
        let target = Distribution::start(Setup::Htpasswd).await;
        let new = NewRegistry {
            credential: NewCredential {
                kind: "basic".to_owned(),
                access_key: "alice".to_owned(),
                access_secret: Secret::new("wonderland"),
            },
            ..registry(target.endpoint().url.to_string())
        };
        let there = mirror(&rig, &target, new).await;
        let digest = push_image(&rig.local, "team/app", "v1", &["one", "two", "three"]).await;
        rig.happen(&push("team/app", "v1")).await;
        let executions = rig.settled().await;
        assert_eq!(
            executions[0].status,
            Status::Succeed,
            "{}",
            rig.logs(executions[0].id).await
        );
        assert_eq!(
            digest_at(&there, "team/app", "v1").await,
            Some(digest.clone())
        );
        delete_everywhere(&rig, &digest).await;
        let executions = rig.settled().await;
        assert_eq!(
            executions[0].status,
            Status::Succeed,
            "{}",
            rig.logs(executions[0].id).await
        );
        assert_eq!(digest_at(&there, "team/app", digest.as_str()).await, None);
    }
}

#[tokio::test]
async fn a_tag_goes_with_its_digest_at_distribution_unless_another_one_needs_it() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.work();
        let target = Distribution::start(Setup::Open).await;
        let there = mirror(&rig, &target, registry(target.endpoint().url.to_string())).await;
        let digest = push_image(&rig.local, "team/app", "v1", &["one"]).await;
        push_image(&rig.local, "team/app", "v2", &["one"]).await;
        for tag in ["v1", "v2"] {
            rig.happen(&push("team/app", tag)).await;
        }
        rig.settled().await;

        let (status, text) = delete_tag(&rig, "v1").await;
        let reason = "unsupported: the destination cannot delete a tag without its digest, \
                      which v2 needs";
        assert!(text.starts_with(reason), "{text}");
        assert_eq!(status, Status::Succeed);
        assert_eq!(
            digest_at(&there, "team/app", "v1").await,
            Some(digest.clone())
        );

        let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [{
            "mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": 1,
        }]});
        push_manifest(&there, "team/app", "all", media_type::OCI_INDEX, &index).await;
        let alone = push_image(&there, "team/app", "v2", &["two"]).await;
        push_image(&there, "team/app", "v1", &["two"]).await;
        let (status, text) = delete_tag(&rig, "v2").await;
        assert!(text.contains("which v1 needs"), "{text}");
        assert_eq!(status, Status::Succeed);
        push_image(&there, "team/app", "v1", &["one"]).await;
        let (_, text) = delete_tag(&rig, "v2").await;
        assert_eq!(text, "");
        assert_eq!(digest_at(&there, "team/app", alone.as_str()).await, None);
        rig.happen(&deletion_of_tag("v1")).await;
        let text = rig.settled().await[0].status_text.clone();
        assert!(text.contains("which all needs"), "{text}");
    }
}

#[tokio::test]
async fn a_registry_with_a_certificate_of_its_own_ca_is_trusted_by_that_ca() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.work();
        let target = Distribution::start(Setup::Tls).await;
        let url = target
            .endpoint()
            .url
            .to_string()
            .replace("http://", "https://");
        let untrusted = rig.replication.create_registry(registry(url.clone())).await;
        let error = untrusted.unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");
        let new = NewRegistry {
            ca_certificate: Some(target.ca()),
            ..registry(url)
        };
        let there = mirror(&rig, &target, new).await;
        let digest = push_image(&rig.local, "team/app", "v1", &["one"]).await;
        rig.happen(&push("team/app", "v1")).await;
        let executions = rig.settled().await;
        assert_eq!(
            executions[0].status,
            Status::Succeed,
            "{}",
            rig.logs(executions[0].id).await
        );
        assert_eq!(digest_at(&there, "team/app", "v1").await, Some(digest));
    }
}
