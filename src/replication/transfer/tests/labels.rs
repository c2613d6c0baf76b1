//! Policies that go by the labels of artifacts.

use serde_json::json;

use super::companions::sign;
use crate::{
    inventory::{self, LabelScope, NewLabel, testing::make_projects},
    oci::Digest,
    registry::Deletion,
    replication::{
        Change, ChangeKind, Config, Mode, PolicySpec, Status, Trigger,
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
        let world = Self::idle(Rig::new(db).await, decoration, change).await;
        world.rig.work();
        world
    }

    /// Whose workers take no jobs yet.
    async fn idle(rig: Rig, decoration: &str, change: impl FnOnce(&mut PolicySpec)) -> Self {
        make_projects(&rig.db).await;
        let filter = json!([
            {"type": "label", "value": ["tested", "signed"], "decoration": decoration},
        ]);
        let policy = rig
            .policy(|spec| {
                spec.filters = serde_json::from_value(filter).unwrap();
                change(spec);
            })
            .await;
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

    /// Takes all its labels away.
    async fn unlabel(&self, reference: &str) {
        let inventory = &self.rig.inventory;
        let repository = APP.parse().unwrap();
        let artifact = inventory
            .artifact(&repository, &reference.parse().unwrap())
            .await
            .unwrap();
        let labels = inventory.labels_of(std::slice::from_ref(&artifact)).await;
        for label in labels.unwrap().remove(&artifact.id).unwrap() {
            inventory.detach_label(artifact.id, label.id).await.unwrap();
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
        self.begin_delete(tag, digest).await;
        self.rig.settled().await;
    }

    /// Deletes here, and does not wait for what follows.
    async fn begin_delete(&self, tag: &str, digest: Option<Digest>) {
        let change = deletion(tag, digest);
        let ticket = self.rig.replication.intend(&change).await.unwrap();
        let reference = tag.parse().unwrap();
        let name = APP.parse().unwrap();
        let deleted = self.rig.local.delete_manifest(&name, &reference).await;
        assert_eq!(deleted.unwrap(), Deletion::Deleted);
        self.rig.replication.confirm(ticket, &[]).await.unwrap();
    }
}

fn deletion(tag: &str, digest: Option<Digest>) -> Change {
    Change {
        kind: ChangeKind::DeleteTag {
            tag: tag.parse().unwrap(),
            digest,
        },
        ..push(APP, tag)
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
async fn what_goes_before_its_copy_takes_nothing_of_others_along() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let world = Labelled::idle(rig, "matches", |spec| spec.deletion = true).await;
        push_image(&world.rig.remote.client, APP, "v3", &["theirs"]).await;
        let bare = world.push("v3").await;
        world.rig.happen(&push(APP, "v3")).await;
        world.begin_delete("v3", Some(bare)).await;
        world.rig.work();
        let executions = world.rig.settled().await;
        assert_eq!(executions.len(), 1, "that of the push");
        let log = world.rig.logs(executions[0].id).await;
        assert!(log.contains("the source has no"), "{log}");
        assert!(world.is_mirrored("v3").await, "{log}");

        // What the policy has brought there goes, whatever it bore at last.
        let digest = world.push("v4").await;
        world.label("v4", &["tested", "signed"]).await;
        world.happen(pushed("v4")).await;
        let v4 = "v4".parse().unwrap();
        world
            .rig
            .local
            .delete_manifest(&APP.parse().unwrap(), &v4)
            .await
            .unwrap();
        world.happen(labelled(&digest, &["v4"])).await;
        assert!(!world.is_mirrored("v4").await);
    }
}

#[tokio::test]
async fn the_deletion_of_what_the_index_does_not_know_is_not_followed() {
    for db in databases().await {
        let world = Labelled::over(db, "excludes", |spec| spec.deletion = true).await;
        let known = world.push("known").await;
        world.happen(pushed("known")).await;
        world.delete("known", Some(known)).await;
        assert!(!world.is_mirrored("known").await);
        push_image(&world.rig.remote.client, APP, "v3", &["theirs"]).await;
        for asks_digest in [true, false] {
            let digest = push_image(&world.rig.local, APP, "v3", &["unseen"]).await;
            world.delete("v3", asks_digest.then_some(digest)).await;
            assert!(world.is_mirrored("v3").await, "{asks_digest}");
        }
    }
}

#[tokio::test]
async fn without_the_index_best_effort_goes_on_and_required_does_not() {
    for mode in [Mode::BestEffort, Mode::Required] {
        for db in databases().await {
            let config = Config {
                mode,
                ..Config::default()
            };
            let rig = Rig::with(db, config).await;
            let world = Labelled::idle(rig, "excludes", |spec| spec.deletion = true).await;
            world.rig.db.close().await;
            let intended = world.rig.replication.intend(&deletion("v1", None)).await;
            assert_eq!(intended.is_ok(), mode == Mode::BestEffort, "{intended:?}");
        }
    }
}

#[tokio::test]
async fn signatures_of_what_has_lost_its_labels_stay_here() {
    for db in databases().await {
        let world = Labelled::over(db, "matches", |_| {}).await;
        let digest = world.push("v1").await;
        world.label("v1", &["tested", "signed"]).await;
        world.happen(pushed("v1")).await;
        assert!(world.is_mirrored("v1").await);
        world.unlabel("v1").await;
        let signature = world.cosign(&digest, "late").await;
        let log = world.happen(labelled(&digest, &["v1"])).await;
        assert!(log.contains("left out"), "{log}");
        assert!(!world.is_mirrored(&signature).await, "{log}");
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
