//! Policies that go by the labels of artifacts.

use serde_json::json;

use super::companions::sign;
use crate::{
    inventory::{self, LabelScope, NewLabel, testing::make_projects},
    oci::Digest,
    registry::Deletion,
    replication::{
        Change, ChangeKind, PolicySpec, Status, Trigger,
        testing::{Rig, push, push_image},
    },
    store::{
        Listing,
        testing::{TestDb, databases},
    },
};

/// A gateway whose project `team` is mirrored by labels.
struct Labelled {
    rig: Rig,
    policy: crate::replication::PolicyId,
}

const APP: &str = "team/app";

impl Labelled {
    async fn over(db: TestDb, decoration: &str, change: impl FnOnce(&mut PolicySpec)) -> Self {
        make_projects(&db).await;
        let rig = Rig::new(db).await;
        let filter = json!([
            {"type": "label", "value": ["tested", "signed"], "decoration": decoration},
        ]);
        let policy = rig
            .policy(|spec| {
                spec.filters = serde_json::from_value(filter).unwrap();
                change(spec);
            })
            .await;
        rig.work();
        Self { rig, policy }
    }

    /// Pushes an image of its own, which the index knows then.
    async fn push(&self, tag: &str) -> Digest {
        let digest = push_image(&self.rig.local, APP, tag, &[tag]).await;
        self.look(tag).await;
        digest
    }

    async fn look(&self, reference: &str) {
        let change = inventory::Change {
            repository: APP.parse().unwrap(),
            reference: reference.parse().unwrap(),
        };
        self.rig.inventory.look(&change).await.unwrap();
    }

    async fn label(&self, reference: &str, names: &[&str]) {
        let inventory = &self.rig.inventory;
        let repository = APP.parse().unwrap();
        let artifact = inventory
            .artifact(&repository, &reference.parse().unwrap())
            .await
            .unwrap();
        for name in names {
            let label = NewLabel {
                name: (*name).to_owned(),
                description: String::new(),
                color: String::new(),
                scope: LabelScope::Project(artifact.project_id),
            };
            let label = match inventory.create_label(&label).await {
                Ok(label) => label,
                Err(_it_is_there) => {
                    let scope = LabelScope::Project(artifact.project_id);
                    let labels = inventory.labels(scope, &Listing::default()).await.unwrap();
                    let found = labels.items.iter().find(|label| label.name == *name);
                    found.unwrap().id
                }
            };
            inventory.attach_label(artifact.id, label).await.unwrap();
        }
    }

    /// Lets a change happen; the log of what it made.
    async fn happen(&self, kind: ChangeKind) -> String {
        let change = Change {
            kind,
            ..push(APP, "v1")
        };
        self.rig.happen(&change).await;
        let executions = self.rig.settled().await;
        let Some(last) = executions.first() else {
            return String::new();
        };
        let log = self.rig.logs(last.id).await;
        assert_eq!(last.status, Status::Succeed, "{log}");
        log
    }

    async fn is_mirrored(&self, reference: &str) -> bool {
        self.rig.remote.digest(APP, reference).await.is_some()
    }

    async fn delete(&self, tag: &str, digest: Option<Digest>) {
        let change = Change {
            kind: ChangeKind::DeleteTag {
                tag: tag.parse().unwrap(),
                digest,
            },
            ..push(APP, tag)
        };
        let ticket = self.rig.replication.intend(&change).await.unwrap();
        let reference = tag.parse().unwrap();
        let name = APP.parse().unwrap();
        let deleted = self.rig.local.delete_manifest(&name, &reference).await;
        assert_eq!(deleted.unwrap(), Deletion::Deleted);
        self.rig.replication.confirm(ticket, &[]).await.unwrap();
        self.rig.settled().await;
    }
}

fn pushed(reference: &str) -> ChangeKind {
    push(APP, reference).kind
}

fn labelled(digest: &Digest, tags: &[&str]) -> ChangeKind {
    ChangeKind::Label {
        digest: digest.clone(),
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
    }
}

#[tokio::test]
async fn an_artifact_is_mirrored_when_it_bears_all_labels() {
    for db in databases().await {
        let world = Labelled::over(db, "matches", |_| {}).await;
        let digest = world.push("v1").await;
        let log = world.happen(pushed("v1")).await;
        assert!(log.contains("left out by the policy's filters"), "{log}");
        world.label("v1", &["tested"]).await;
        world.happen(labelled(&digest, &["v1"])).await;
        assert!(!world.is_mirrored("v1").await, "one label is missing");
        world.label("v1", &["signed"]).await;
        world.happen(labelled(&digest, &["v1"])).await;
        assert!(world.is_mirrored("v1").await);

        // Another tag of the digest bears its labels, another digest under the tag does not.
        push_image(&world.rig.local, APP, "v2", &["v1"]).await;
        world.happen(pushed("v2")).await;
        assert!(world.is_mirrored("v2").await);
        push_image(&world.rig.local, APP, "v1", &["other"]).await;
        world.happen(pushed("v1")).await;
        let there = world.rig.remote.digest(APP, "v1").await;
        assert_eq!(there, Some(digest));
    }
}

#[tokio::test]
async fn excluded_labels_keep_an_artifact_here() {
    for db in databases().await {
        let world = Labelled::over(db, "excludes", |_| {}).await;
        for (tag, labels, comes) in [
            ("bare", &[][..], true),
            ("half", &["tested"], true),
            ("both", &["signed", "tested"], false),
        ] {
            world.push(tag).await;
            world.label(tag, labels).await;
            world.happen(pushed(tag)).await;
            assert_eq!(world.is_mirrored(tag).await, comes, "{tag}");
        }
    }
}

#[tokio::test]
async fn a_deletion_is_followed_when_what_goes_bears_the_labels() {
    for db in databases().await {
        let world = Labelled::over(db, "matches", |spec| spec.deletion = true).await;
        let first = world.push("v1").await;
        world.push("v2").await;
        world.push("v3").await;
        for tag in ["v1", "v2"] {
            world.label(tag, &["tested", "signed"]).await;
            world.happen(pushed(tag)).await;
        }
        push_image(&world.rig.remote.client, APP, "v3", &["theirs"]).await;
        world.delete("v1", Some(first)).await;
        world.delete("v2", None).await;
        world.delete("v3", None).await;
        assert!(!world.is_mirrored("v1").await);
        assert!(!world.is_mirrored("v2").await);
        assert!(world.is_mirrored("v3").await, "it was never of the policy");
    }
}

#[tokio::test]
async fn a_run_goes_by_labels_and_deletes_only_what_is_gone() {
    for db in databases().await {
        let world = Labelled::over(db, "matches", |spec| {
            spec.trigger = Trigger::Manual;
            spec.deletion = true;
            spec.runs_delete = true;
        })
        .await;
        for tag in ["v1", "v2", "bare"] {
            world.push(tag).await;
        }
        world.label("v1", &["tested", "signed"]).await;
        world.label("v2", &["tested"]).await;
        let there = &world.rig.remote.client;
        push_image(there, APP, "bare", &["once labelled"]).await;
        push_image(there, APP, "gone", &["gone"]).await;
        let run = world.rig.replication.run_policy(world.policy).await;
        let run = world.rig.finished(run.unwrap()).await;
        assert_eq!(run.status, Status::Succeed, "{}", run.status_text);
        assert_eq!(run.counts.succeed, 2, "one copied, one deleted");
        for (tag, is_there) in [("v1", true), ("v2", false), ("bare", true), ("gone", false)] {
            assert_eq!(world.is_mirrored(tag).await, is_there, "{tag}");
        }
    }
}

#[tokio::test]
async fn what_is_attached_to_an_artifact_goes_by_its_labels() {
    for db in databases().await {
        let world = Labelled::over(db, "matches", |_| {}).await;
        let (wanted, other) = (world.push("v1").await, world.push("v2").await);
        let early = world.cosign(&wanted, "early").await;
        world.label("v1", &["tested", "signed"]).await;
        world.happen(labelled(&wanted, &["v1"])).await;
        assert!(world.is_mirrored(&early).await, "it comes along");
        for (subject, comes) in [(&wanted, true), (&other, false)] {
            let referrer = sign(&world.rig.local, APP, subject).await;
            world.happen(pushed(referrer.as_str())).await;
            assert_eq!(world.is_mirrored(referrer.as_str()).await, comes);
            let tag = world.cosign(subject, "late").await;
            let log = world.happen(pushed(&tag)).await;
            assert_eq!(log.contains("left out"), !comes, "{log}");
        }
    }
}

impl Labelled {
    /// Signs in cosign's way; the signature's tag.
    async fn cosign(&self, subject: &Digest, text: &str) -> String {
        let tag = format!("sha256-{}.sig", subject.hex());
        push_image(&self.rig.local, APP, &tag, &[text]).await;
        tag
    }
}
