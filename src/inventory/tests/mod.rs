//! What the index shows after changes, losses and walks, on both databases.

mod usage;

use serde_json::{Value, json};

use super::{
    AdditionKind, Artifact, Change, Ended, Error, Kind, Pulled, Pushed, Reach, Scope,
    testing::{Shelf, name},
    walk::Walk,
};
use crate::{
    clock::Timestamp,
    oci::{Digest, Reference, media_type},
    store::{Filter, Listing, Test, testing::databases},
};

async fn shelves() -> Vec<Shelf> {
    let mut shelves = Vec::new();
    for db in databases().await {
        shelves.push(Shelf::over(db).await);
    }
    shelves
}

fn change(repository: &str, reference: &str) -> Change {
    Change {
        repository: name(repository),
        reference: reference.parse().unwrap(),
    }
}

async fn look(shelf: &Shelf, repository: &str, reference: &str) {
    let change = change(repository, reference);
    shelf.inventory.look(&change).await.unwrap();
}

async fn listed(shelf: &Shelf, repository: &str, listing: &Listing) -> Vec<Artifact> {
    let Ok(found) = shelf.inventory.repository(&name(repository)).await else {
        return Vec::new();
    };
    let scope = Scope::Repository(found.id);
    let page = shelf.inventory.artifacts(scope, listing).await.unwrap();
    assert_eq!(usize::try_from(page.total), Ok(page.items.len()));
    page.items
}

/// `tag → digest` and digests without tags, of what a list shows.
async fn shown(shelf: &Shelf, repository: &str) -> Vec<String> {
    let artifacts = listed(shelf, repository, &Listing::default()).await;
    let tags = shelf.inventory.tags_of(&artifacts).await.unwrap();
    let mut shown: Vec<String> = artifacts
        .iter()
        .flat_map(|artifact| match tags.get(&artifact.id) {
            Some(tags) => tags.iter().map(|tag| tag.name.clone()).collect(),
            None => vec![artifact.digest.clone()],
        })
        .collect();
    shown.sort();
    shown
}

#[tokio::test]
async fn statements_prepare_on_both_databases() {
    crate::store::testing::prepare(super::queries::writing::ALL).await;
    crate::store::testing::prepare(super::queries::reading::ALL).await;
    crate::store::testing::prepare(super::queries::labels::ALL).await;
    crate::store::testing::prepare(super::queries::usage::ALL).await;
}

#[tokio::test]
async fn a_look_shows_what_the_registry_has() {
    for shelf in shelves().await {
        let first = shelf.push_image("team/app", "v1", "first").await;
        look(&shelf, "team/app", "v1").await;
        let artifact = shelf
            .inventory
            .artifact(&name("team/app"), &"v1".parse().unwrap())
            .await
            .unwrap();
        assert_eq!(
            (artifact.digest, artifact.kind),
            (first.to_string(), "IMAGE".into())
        );
        assert_eq!(artifact.config_media_type, media_type::OCI_CONFIG);
        // The tag moves, the digest stays without one.
        shelf.push_image("team/app", "v1", "second").await;
        look(&shelf, "team/app", "v1").await;
        assert_eq!(
            shown(&shelf, "team/app").await,
            [first.to_string(), "v1".into()]
        );
        // A digest goes.
        let gone = Reference::Digest(first.clone());
        shelf
            .registry
            .delete_manifest(&name("team/app"), &gone)
            .await
            .unwrap();
        look(&shelf, "team/app", first.as_str()).await;
        assert_eq!(shown(&shelf, "team/app").await, ["v1"]);
        // A tag that the registry does not have goes, and nothing is made of it.
        look(&shelf, "team/app", "v9").await;
        look(&shelf, "team/none", "v1").await;
        assert_eq!(shown(&shelf, "team/app").await, ["v1"]);
        assert_eq!(shelf.inventory.repository_counts().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_repository_of_no_project_is_not_shown() {
    for shelf in shelves().await {
        shelf.push_image("nobody/app", "v1", "x").await;
        look(&shelf, "nobody/app", "v1").await;
        let found = shelf.inventory.repository(&name("nobody/app")).await;
        assert!(matches!(found, Err(Error::NoRepository(_))));
    }
}

fn pushed(repository: &str, tag: &str, digest: &Digest) -> Pushed {
    Pushed {
        repository: name(repository),
        digest: digest.clone(),
        media_type: media_type::OCI_MANIFEST.to_owned(),
        size_bytes: 3,
        manifest: None,
        tags: vec![tag.parse().unwrap()],
    }
}

#[tokio::test]
async fn what_was_begun_and_not_concluded_is_looked_at_after_a_restart() {
    for shelf in shelves().await {
        shelf
            .inventory
            .begin(&change("team/app", "v1"), Reach::Reference);
        shelf.push_image("team/app", "v1", "first").await;
        let shelf = shelf.restarted().await;
        settled(&shelf).await;
        assert_eq!(shown(&shelf, "team/app").await, ["v1"]);
        let journal = shelf.directory.path().join("inventory.journal");
        assert_eq!(std::fs::read(journal).unwrap(), b"");
    }
}

/// Waits until nobody looks any more.
async fn settled(shelf: &Shelf) {
    while !shelf.inventory.0.looks.is_idle() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn of_two_changes_at_once_the_registrys_word_stands() {
    for shelf in shelves().await {
        let (old, new) = (
            shelf.push_image("team/app", "v1", "old").await,
            shelf.push_image("team/app", "v1", "new").await,
        );
        let change = change("team/app", "v1");
        for _ in 0..2 {
            shelf.inventory.begin(&change, Reach::Reference);
        }
        // Concluded in the other order than the registry made them.
        for digest in [&new, &old] {
            let ended = Ended::Pushed(pushed("team/app", "v1", digest));
            shelf
                .inventory
                .conclude(&change, Reach::Reference, ended)
                .await;
        }
        settled(&shelf).await;
        let tagged = shelf
            .inventory
            .artifact(&name("team/app"), &change.reference)
            .await
            .unwrap();
        assert_eq!(tagged.digest, new.to_string());
    }
}

#[tokio::test]
async fn a_change_of_unknown_outcome_is_looked_at() {
    for shelf in shelves().await {
        let change = change("team/app", "v1");
        shelf.inventory.begin(&change, Reach::Reference);
        shelf.push_image("team/app", "v1", "x").await;
        shelf
            .inventory
            .conclude(&change, Reach::Reference, Ended::Unknown)
            .await;
        settled(&shelf).await;
        assert_eq!(shown(&shelf, "team/app").await, ["v1"]);
    }
}

async fn push_index(shelf: &Shelf, repository: &str, tag: &str) -> (Digest, Vec<Digest>) {
    push_annotated_index(shelf, repository, tag, "").await
}

/// With a text in the annotations of the index and of its first child.
async fn push_annotated_index(
    shelf: &Shelf,
    repository: &str,
    tag: &str,
    text: &str,
) -> (Digest, Vec<Digest>) {
    let mut children = Vec::new();
    let mut listed = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let digest = shelf
            .push_image(repository, architecture, architecture)
            .await;
        shelf
            .registry
            .delete_manifest(&name(repository), &architecture.parse().unwrap())
            .await
            .unwrap();
        listed.push(json!({
            "mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": 100,
            "platform": { "architecture": architecture, "os": "linux" },
            "annotations": { "built": "today", "text": if children.is_empty() { text } else { "" } },
        }));
        children.push(digest);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
        "manifests": listed, "annotations": { "team": "a", "text": text } });
    (shelf.push(repository, tag, &index).await, children)
}

#[tokio::test]
async fn texts_that_are_too_long_are_left_out_of_lists() {
    for shelf in shelves().await {
        let text = "x".repeat(100 * 1024);
        push_annotated_index(&shelf, "team/app", "v1", &text).await;
        look(&shelf, "team/app", "v1").await;
        let artifacts = listed(&shelf, "team/app", &Listing::default()).await;
        let annotations: Value = serde_json::from_str(&artifacts[0].annotations).unwrap();
        assert_eq!(annotations, json!({ "team": "a" }));
        let inventory = &shelf.inventory;
        let references = inventory.references_of(&artifacts).await.unwrap();
        let [first, second] = references[&artifacts[0].id].as_slice() else {
            panic!("{references:?}");
        };
        assert_eq!(first.annotations, None);
        assert!(first.platform.is_some() && second.platform.is_some());
        assert!(second.annotations.is_some());
        let some = inventory.first_references_of(&artifacts, 1).await.unwrap();
        assert_eq!(some[&artifacts[0].id].len(), 1);
    }
}

#[tokio::test]
async fn an_index_hides_its_untagged_parts() {
    for shelf in shelves().await {
        let (index, children) = push_index(&shelf, "team/app", "v1").await;
        look(&shelf, "team/app", "v1").await;
        let artifacts = listed(&shelf, "team/app", &Listing::default()).await;
        assert_eq!(artifacts.len(), 1);
        assert!(artifacts[0].size_bytes > 200);
        let annotations: Value = serde_json::from_str(&artifacts[0].annotations).unwrap();
        assert_eq!(annotations, json!({ "team": "a", "text": "" }));
        let references = shelf.inventory.references_of(&artifacts).await.unwrap();
        let references = &references[&artifacts[0].id];
        let found: Vec<&str> = references.iter().map(|r| r.child_digest.as_str()).collect();
        assert_eq!(found, [children[0].as_str(), children[1].as_str()]);
        let platform: Value =
            serde_json::from_str(references[1].platform.as_deref().unwrap()).unwrap();
        assert_eq!(platform["architecture"], "arm64");
        assert!(references[1].child_id.is_some());
        let child = Reference::Digest(children[0].clone());
        let child = shelf
            .inventory
            .artifact(&name("team/app"), &child)
            .await
            .unwrap();
        let parents = shelf.inventory.parents_of(&child).await.unwrap();
        assert_eq!(parents, [index.to_string()]);
        // Without its index a part shows.
        shelf
            .registry
            .delete_manifest(&name("team/app"), &Reference::Digest(index.clone()))
            .await
            .unwrap();
        look(&shelf, "team/app", index.as_str()).await;
        assert_eq!(
            listed(&shelf, "team/app", &Listing::default()).await.len(),
            2
        );
    }
}

/// PostgreSQL refuses a NUL, which a registry may take.
#[tokio::test]
async fn an_artifact_is_shown_whatever_its_types() {
    for shelf in shelves().await {
        let empty = shelf.push_blob("team/app", "{}").await;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "artifactType": "application/vnd.a.b\0c.config",
            "config": { "mediaType": media_type::OCI_EMPTY, "digest": empty.0, "size": 2 },
            "layers": [],
        });
        shelf.push("team/app", "v1", &manifest).await;
        look(&shelf, "team/app", "v1").await;
        assert_eq!(shown(&shelf, "team/app").await, ["v1"]);
    }
}

#[tokio::test]
async fn what_is_attached_shows_with_its_subject_only() {
    for shelf in shelves().await {
        let subject = shelf.push_image("team/app", "v1", "x").await;
        let empty = shelf.push_blob("team/app", "{}").await;
        let signature = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "artifactType": "application/vnd.cncf.notary.signature",
            "config": { "mediaType": media_type::OCI_EMPTY, "digest": empty.0, "size": 2 },
            "layers": [],
            "subject": { "mediaType": media_type::OCI_MANIFEST, "digest": subject, "size": 1 },
        });
        let notation = shelf.push("team/app", "", &signature).await;
        let cosign = format!("sha256-{}.sig", subject.hex());
        shelf.push_image("team/app", &cosign, "signed").await;
        walk_all(&shelf).await;
        let artifacts = listed(&shelf, "team/app", &Listing::default()).await;
        assert_eq!(artifacts.len(), 1);
        let attached = shelf.inventory.accessories_of(&artifacts).await.unwrap();
        let attached = attached.into_values().next().unwrap();
        let mut kinds: Vec<_> = attached
            .iter()
            .map(|accessory| accessory.accessory_type.as_deref().unwrap())
            .collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["signature.cosign", "signature.notation"]);
        let page = shelf
            .inventory
            .accessories(&artifacts[0], &by("digest", notation.as_str()))
            .await
            .unwrap();
        assert_eq!(page.items.len(), 1);
    }
}

fn by(field: &str, value: &str) -> Listing {
    Listing {
        filters: vec![Filter {
            field: field.to_owned(),
            test: Test::Equals(value.to_owned()),
        }],
        ..Listing::default()
    }
}

#[tokio::test]
async fn artifacts_are_found_by_their_tags() {
    for shelf in shelves().await {
        let untagged = shelf.push_image("team/app", "v1", "a").await;
        for (tag, text) in [("v1", "b"), ("v2", "b"), ("w", "c")] {
            look(&shelf, "team/app", "v1").await;
            shelf.push_image("team/app", tag, text).await;
            look(&shelf, "team/app", tag).await;
        }
        let contains = Listing {
            filters: vec![Filter {
                field: "tags".to_owned(),
                test: Test::Contains("V".to_owned()),
            }],
            ..Listing::default()
        };
        for (listing, expected) in [
            (by("tags", "v2"), 1),
            (by("tags", "v3"), 0),
            (by("tags", "*"), 2),
            (by("tags", "nil"), 1),
            (contains, 1),
        ] {
            let found = listed(&shelf, "team/app", &listing).await;
            assert_eq!(found.len(), expected, "{listing:?}");
        }
        let nil = listed(&shelf, "team/app", &by("tags", "nil")).await;
        assert_eq!(nil[0].digest, untagged.to_string());
        let repository = shelf.inventory.repository(&name("team/app")).await.unwrap();
        let scope = Scope::LatestOf(repository.project_id);
        let latest = shelf.inventory.artifacts(scope, &Listing::default()).await;
        assert_eq!(latest.unwrap().items.len(), 1);
    }
}

#[tokio::test]
async fn pulls_are_counted_once_for_an_image() {
    for shelf in shelves().await {
        let (index, children) = push_index(&shelf, "team/app", "v1").await;
        look(&shelf, "team/app", "v1").await;
        let pull = |reference: &str, digest: &Digest| Pulled {
            repository: name("team/app"),
            reference: reference.parse().unwrap(),
            digest: digest.clone(),
            at: Timestamp::from_millis(1_000),
            is_counted: true,
            is_dated: true,
        };
        shelf.inventory.pulled(pull("v1", &index));
        shelf
            .inventory
            .pulled(pull(children[0].as_str(), &children[0]));
        shelf.inventory.pulled(pull("v1", &index));
        shelf.inventory.write_pulls_now().await;
        let repository = shelf.inventory.repository(&name("team/app")).await.unwrap();
        assert_eq!(repository.pull_count, 2);
        let artifacts = listed(&shelf, "team/app", &Listing::default()).await;
        assert_eq!(artifacts[0].pulled_ms, Some(1_000));
        let tags = shelf.inventory.tags_of(&artifacts).await.unwrap();
        assert_eq!(tags[&artifacts[0].id][0].pulled_ms, Some(1_000));
    }
}

#[tokio::test]
async fn a_config_is_read_once_and_its_history_when_asked_for() {
    for shelf in shelves().await {
        shelf.push_image("team/app", "v1", "me").await;
        look(&shelf, "team/app", "v1").await;
        let mut artifacts = listed(&shelf, "team/app", &Listing::default()).await;
        assert_eq!(artifacts[0].extra_attrs, None);
        shelf.inventory.fill_attributes(&mut artifacts).await;
        let again = listed(&shelf, "team/app", &Listing::default()).await;
        assert_eq!(again[0].extra_attrs, artifacts[0].extra_attrs);
        let extra: Value = serde_json::from_str(again[0].extra_attrs.as_deref().unwrap()).unwrap();
        assert_eq!(
            (&extra["os"], &extra["author"]),
            (&json!("linux"), &json!("me"))
        );
        let history = shelf
            .inventory
            .addition(&again[0], AdditionKind::BuildHistory)
            .await
            .unwrap();
        assert_eq!(history.content, r#"[{"created_by":"me"}]"#);
        let readme = shelf
            .inventory
            .addition(&again[0], AdditionKind::Readme)
            .await;
        assert!(matches!(readme, Err(Error::NoAddition(_))));
    }
}

async fn walk_all(shelf: &Shelf) -> super::Found {
    let walk = Walk::default();
    shelf.inventory.walk(&walk, |_| {}).await.unwrap()
}

#[tokio::test]
async fn a_walk_makes_a_full_registry_visible_and_forgets_what_is_gone() {
    for shelf in shelves().await {
        for (repository, tag) in [
            ("team/a", "v1"),
            ("team/b", "v1"),
            ("team/b", "v2"),
            ("other/c", "v1"),
            ("nobody/d", "v1"),
        ] {
            shelf
                .push_image(repository, tag, &format!("{repository}{tag}"))
                .await;
        }
        assert!(!shelf.inventory.is_complete().await.unwrap());
        let found = walk_all(&shelf).await;
        assert_eq!(
            (found.repositories, found.tags, found.without_project),
            (3, 4, 1)
        );
        assert!(shelf.inventory.is_complete().await.unwrap());
        assert_eq!(shown(&shelf, "team/b").await, ["v1", "v2"]);
        for reference in ["v1", "v2"] {
            shelf
                .registry
                .delete_manifest(&name("team/b"), &reference.parse().unwrap())
                .await
                .unwrap();
        }
        let digest = listed(&shelf, "team/a", &Listing::default()).await[0]
            .digest
            .clone();
        shelf
            .registry
            .delete_manifest(&name("team/a"), &digest.parse().unwrap())
            .await
            .unwrap();
        walk_all(&shelf).await;
        assert_eq!(listed(&shelf, "team/a", &Listing::default()).await.len(), 0);
        // Its manifests are still there, without tags.
        assert_eq!(listed(&shelf, "team/b", &Listing::default()).await.len(), 2);
    }
}

#[tokio::test]
async fn a_walk_that_was_cut_goes_on_where_it_was() {
    for shelf in shelves().await {
        for repository in ["team/a", "team/b", "team/c"] {
            shelf.push_image(repository, "v1", repository).await;
        }
        let walk = Walk::default();
        // Cut in the middle: the future is dropped at its second repository.
        let (told, cut) = (std::sync::Mutex::new(0), tokio::sync::Notify::new());
        let tell = |_| {
            *told.lock().unwrap() += 1;
            if *told.lock().unwrap() == 2 {
                cut.notify_one();
            }
        };
        tokio::select! {
            biased;
            () = cut.notified() => {}
            found = shelf.inventory.walk(&walk, tell) => { found.unwrap(); }
        }
        let found = shelf.inventory.walk(&walk, |_| {}).await.unwrap();
        assert!((1..=2).contains(&found.repositories), "{found}");
        for repository in ["team/a", "team/b", "team/c"] {
            assert_eq!(shown(&shelf, repository).await, ["v1"]);
        }
        let one = |project: &str| Walk {
            project: Some(project.to_owned()),
        };
        let found = shelf.inventory.walk(&one("other"), |_| {}).await.unwrap();
        assert_eq!(found.repositories, 0);
        let nothing = shelf.inventory.walk(&one("nobody"), |_| {}).await;
        assert_eq!(nothing.unwrap_err().kind(), Kind::NotFound);
        assert_eq!(shown(&shelf, "team/a").await, ["v1"]);
    }
}
