//! What projects use, against a naive count of everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Pushed, Shelf, change, name, shelves, walk_all};
use crate::{
    auth::ProjectId,
    inventory::Inventory,
    oci::{Digest, Manifest, media_type},
    store::{Db, testing::databases},
};

/// One that can be pushed, and all that it holds.
struct Content {
    digest: Digest,
    bytes: Vec<u8>,
    holds: BTreeMap<Digest, u64>,
}

impl Content {
    fn new(blobs: &[(&str, Digest, usize)], salt: usize) -> Self {
        let descriptor = |(kind, digest, size): &(&str, Digest, usize)| json!({ "mediaType": kind, "digest": digest, "size": size });
        let listed: Vec<Value> = blobs.iter().map(descriptor).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": listed[0], "layers": listed[1..], "annotations": { "salt": salt.to_string() },
        });
        let bytes = manifest.to_string().into_bytes();
        let digest = Digest::sha256(&bytes);
        let held = blobs.iter().filter(|(kind, ..)| *kind != FOREIGN);
        let mut holds: BTreeMap<_, _> = held
            .map(|(_, digest, size)| (digest.clone(), *size as u64))
            .collect();
        holds.insert(digest.clone(), bytes.len() as u64);
        Self {
            digest,
            bytes,
            holds,
        }
    }

    fn pushed(&self, repository: &str, tag: &str) -> Pushed {
        let manifest = Manifest::parse(media_type::OCI_MANIFEST, &self.bytes).unwrap();
        Pushed {
            repository: name(repository),
            digest: self.digest.clone(),
            media_type: media_type::OCI_MANIFEST.to_owned(),
            size_bytes: self.bytes.len() as u64,
            manifest: Some(Arc::new(manifest)),
            tags: vec![tag.parse().unwrap()],
        }
    }
}

/// They share blobs; one lists a layer twice and one that registries do not hold, one has
/// another's manifest as a layer.
fn contents() -> Vec<Content> {
    let blob = |number: usize| {
        let digest = Digest::sha256(&[u8::try_from(number).unwrap()]);
        (media_type::OCI_LAYER_GZIP, digest, 100 + number * number)
    };
    let mut contents: Vec<Content> = (0..6)
        .map(|salt| Content::new(&[blob(salt), blob(salt + 1), blob(6)], salt))
        .collect();
    let foreign = (FOREIGN, Digest::sha256(b"foreign"), 5000);
    contents.push(Content::new(&[blob(0), blob(1), blob(1), foreign], 6));
    let first = &contents[0];
    let as_layer = (
        media_type::OCI_LAYER_GZIP,
        first.digest.clone(),
        first.bytes.len(),
    );
    contents.push(Content::new(&[blob(2), as_layer], 7));
    contents
}

#[derive(Debug, Clone)]
enum Step {
    /// Repository, content, tag: which moves, if it was elsewhere.
    Push(usize, usize, usize),
    DeleteDigest(usize, usize),
    DeleteTag(usize, usize),
    ForgetRepository(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (repository, content, tag) = (0..REPOSITORIES.len(), 0..8_usize, 0..3_usize);
    let step = prop_oneof![
        4 => (repository.clone(), content.clone(), tag.clone())
            .prop_map(|(repository, content, tag)| Step::Push(repository, content, tag)),
        3 => (repository.clone(), content).prop_map(|(repository, content)| Step::DeleteDigest(repository, content)),
        1 => (repository.clone(), tag).prop_map(|(repository, tag)| Step::DeleteTag(repository, tag)),
        1 => repository.prop_map(Step::ForgetRepository),
    ];
    prop::collection::vec(step, 1..40)
}

#[test]
fn what_is_counted_is_what_is_there_after_any_changes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for shelf in runtime.block_on(shelves()) {
        let cases = Config {
            cases: 20,
            failure_persistence: None,
            ..Config::default()
        };
        let result =
            TestRunner::new(cases).run(&steps(), |steps| runtime.block_on(compare(&shelf, steps)));
        result.unwrap();
    }
}

async fn compare(shelf: &Shelf, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let contents = contents();
    let mut there: BTreeSet<(usize, usize)> = BTreeSet::new();
    for repository in 0..REPOSITORIES.len() {
        take(shelf, &contents, &Step::ForgetRepository(repository)).await;
    }
    for step in steps {
        take(shelf, &contents, &step).await;
        match step {
            Step::Push(repository, content, _) => drop(there.insert((repository, content))),
            Step::DeleteDigest(repository, content) => {
                there.remove(&(repository, content));
            }
            Step::DeleteTag(..) => {}
            Step::ForgetRepository(gone) => there.retain(|(repository, _)| *repository != gone),
        }
        for project in ["team", "other"] {
            let within = there
                .iter()
                .filter(|(repository, _)| REPOSITORIES[*repository].starts_with(project));
            let held: BTreeMap<Digest, u64> = within
                .flat_map(|(_, content)| contents[*content].holds.clone())
                .collect();
            let wanted: Vec<&Digest> = contents.iter().flat_map(|one| one.holds.keys()).collect();
            let project = project_id(shelf, project).await;
            let usage = shelf.inventory.usage(project, &wanted).await.unwrap();
            prop_assert_eq!(usage.used_bytes, held.values().sum::<u64>());
            prop_assert_eq!(usage.held, held);
        }
    }
    Ok(())
}

async fn take(shelf: &Shelf, contents: &[Content], step: &Step) {
    let inventory = &shelf.inventory;
    let taken = match *step {
        Step::Push(repository, content, tag) => {
            let pushed = contents[content].pushed(REPOSITORIES[repository], TAGS[tag]);
            inventory.record(&pushed).await
        }
        Step::DeleteDigest(repository, content) => {
            let digest = contents[content].digest.as_str();
            inventory
                .forget(&change(REPOSITORIES[repository], digest))
                .await
        }
        Step::DeleteTag(repository, tag) => {
            let gone = change(REPOSITORIES[repository], TAGS[tag]);
            inventory.forget(&gone).await
        }
        Step::ForgetRepository(repository) => {
            let name = name(REPOSITORIES[repository]);
            inventory.forget_repository(&name).await
        }
    };
    taken.unwrap();
}

async fn project_id(shelf: &Shelf, name: &str) -> ProjectId {
    let found = super::super::queries::usage::projects(&shelf.db, name).await;
    found.unwrap()[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_once_count_nothing_twice() {
    for db in databases().await {
        let shelf = Shelf::over(db).await;
        let contents = contents();
        let team = project_id(&shelf, "team").await;
        let used = async || {
            let usage = shelf.inventory.usage(team, &[]).await;
            usage.unwrap().used_bytes
        };
        let size_of = |contents: &[Content]| {
            let held = contents.iter().flat_map(|content| &content.holds);
            held.collect::<BTreeMap<_, _>>().into_values().sum::<u64>()
        };
        all_at_once(&shelf, &contents, recorded).await;
        assert_eq!(used().await, size_of(&contents));
        all_at_once(&shelf, &contents[1..], forgotten).await;
        assert_eq!(used().await, size_of(&contents[..1]));
    }
}

/// Changes each content in each of some repositories.
async fn all_at_once<F>(
    shelf: &Shelf,
    contents: &[Content],
    change: impl Fn(Inventory, Pushed) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut changes = JoinSet::new();
    for number in 0..12 {
        for content in contents {
            let pushed = content.pushed(&format!("team/r{number}"), TAGS[0]);
            changes.spawn(change(shelf.inventory.clone(), pushed));
        }
    }
    changes.join_all().await;
}

async fn recorded(inventory: Inventory, pushed: Pushed) {
    inventory.record(&pushed).await.unwrap();
}

async fn forgotten(inventory: Inventory, pushed: Pushed) {
    let gone = change(pushed.repository.as_str(), pushed.digest.as_str());
    inventory.forget(&gone).await.unwrap();
}

#[tokio::test]
async fn a_walk_mends_what_was_counted_wrong() {
    for shelf in shelves().await {
        shelf.push_image("team/app", "v1", "first").await;
        walk_all(&shelf).await;
        let team = project_id(&shelf, "team").await;
        let right = shelf.inventory.usage(team, &[]).await.unwrap();
        assert!(right.used_bytes > 0);
        assert_eq!(
            shelf
                .inventory
                .stored_bytes()
                .await
                .unwrap()
                .cast_unsigned(),
            right.used_bytes
        );
        for damage in [
            "update project_usage set used_bytes = 1",
            "update project_blobs set holders = 2",
            "delete from project_blobs",
            "delete from project_usage",
        ] {
            match &*shelf.db {
                Db::Lite { writer, .. } => {
                    sqlx::query(damage).execute(writer).await.map(drop).unwrap();
                }
                Db::Pg(pool) => sqlx::query(damage).execute(pool).await.map(drop).unwrap(),
            }
            walk_all(&shelf).await;
            let mended = shelf.inventory.usage(team, &[]).await.unwrap();
            assert_eq!(mended.used_bytes, right.used_bytes, "{damage}");
        }
        let before = shelf.inventory.usage(team, &[]).await.unwrap();
        walk_all(&shelf).await;
        let after = shelf.inventory.usage(team, &[]).await.unwrap();
        assert_eq!(before, after, "what is right is left alone");
    }
}

const REPOSITORIES: [&str; 3] = ["team/a", "team/b", "other/a"];
const TAGS: [&str; 3] = ["v1", "v2", "v3"];
const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
