mod racing;
mod random;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::PathBuf,
    time::Duration,
};

use http::Request;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    Fixture,
    fixture::{files, image},
};
use crate::{
    clock::{Clock, SystemClock},
    embedded::{CollectError, Collected, Collection, Effect, Told},
    oci::Digest,
    wire::{Body, looking},
};

const HOUR: Duration = Duration::from_hours(1);

/// Removes everything at once.
pub(super) fn now() -> Collection {
    Collection {
        effect: Effect::Real,
        window: Duration::ZERO,
        quarantine: Duration::ZERO,
        workers: 3,
        without: BTreeSet::new(),
    }
}

/// What was collected and what was said, by the clock of the files.
pub(super) async fn collect(fixture: &Fixture, collection: Collection) -> (Collected, Vec<String>) {
    catch_up(fixture);
    let (collected, ended, said) = run(fixture, collection, CancellationToken::new()).await;
    ended.unwrap();
    (collected, said)
}

/// From now on nothing that was written is of this moment.
fn catch_up(fixture: &Fixture) {
    let lag = SystemClock.now().since(fixture.clock.now());
    fixture.clock.advance(lag + Duration::from_secs(1));
}

async fn run(
    fixture: &Fixture,
    collection: Collection,
    stop: CancellationToken,
) -> (Collected, Result<(), CollectError>, Vec<String>) {
    let (tell, mut told) = mpsc::channel(4);
    let listening = async {
        let mut said = Vec::new();
        while let Some(told) = told.recv().await {
            if let Told::Item(text) | Told::Doubt(text) = told {
                said.push(text);
            }
        }
        said
    };
    let collecting = fixture.registry().collect(collection, (tell, stop));
    let ((collected, ended), said) = tokio::join!(collecting, listening);
    (collected, ended, said)
}

fn data(fixture: &Fixture, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    let path = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
    fixture.root().join(path)
}

fn bytes_on_disk(fixture: &Fixture) -> u64 {
    let stored = files(&fixture.root().join("docker/registry/v2/blobs"));
    let aside = files(&fixture.root().join("quarantine"));
    let lengths = stored.iter().chain(&aside).map(fs::metadata);
    lengths.map(|found| found.unwrap().len()).sum()
}

/// As if everything had been written an hour before.
fn age(fixture: &Fixture) {
    for path in files(fixture.root()) {
        // Another thread may have removed it.
        let Ok(file) = File::open(&path) else {
            continue;
        };
        let written = file.metadata().unwrap().modified().unwrap();
        file.set_modified(written - HOUR).unwrap();
    }
}

async fn delete(fixture: &Fixture, name: &str, digest: &Digest) {
    let target = format!("DELETE /v2/{name}/manifests/{digest}");
    fixture.ask(&target).await.is(202);
}

async fn assert_blob(fixture: &Fixture, name: &str, content: &[u8], status: u16) {
    let target = format!("GET /v2/{name}/blobs/{}", Digest::sha256(content));
    let reply = fixture.ask(&target).await;
    reply.is(status);
    assert!(status != 200 || reply.body == content);
}

#[tokio::test]
async fn what_nothing_refers_to_goes_and_all_else_stays() {
    let fixture = Fixture::new();
    fixture.push_image("a/b", "v1", b"kept").await;
    let gone = fixture.push_image("a/b", "v2", b"gone").await;
    let shared = fixture.push_image("a/b", "v3", b"shared").await;
    fixture.push_image("a/c", "v3", b"shared").await;
    fixture.push_blob("a/c", b"never referred to").await;
    for digest in [&gone, &shared] {
        delete(&fixture, "a/b", digest).await;
    }
    let before = bytes_on_disk(&fixture);
    let (collected, said) = collect(&fixture, now()).await;
    let sizes = b"gone".len() + b"never referred to".len() + image(b"gone", "").len();
    let expected = Collected {
        links: 3,
        deleted_blobs: 3,
        freed_bytes: sizes as u64,
        ..Collected::default()
    };
    assert_eq!(collected, expected, "{said:#?}");
    assert_eq!(before - bytes_on_disk(&fixture), collected.freed_bytes);
    assert_eq!(said.len(), 6, "{said:#?}");
    assert_blob(&fixture, "a/b", b"kept", 200).await;
    assert_blob(&fixture, "a/c", b"shared", 200).await;
    for content in [&b"gone"[..], b"shared"] {
        assert_blob(&fixture, "a/b", content, 404).await;
    }
    assert_eq!(collect(&fixture, now()).await, Default::default());
}

#[tokio::test]
async fn the_window_keeps_what_is_young_or_was_promised() {
    let fixture = Fixture::new();
    let [promised, pushed, mounted, _] =
        [&b"promised"[..], b"pushed", b"mounted", b"forgotten"].map(Digest::sha256);
    for content in [&b"promised"[..], b"pushed", b"mounted", b"forgotten"] {
        fixture.push_blob("a/b", content).await;
    }
    fixture.push_blob("a/c", b"mounted").await;
    let window = || Collection {
        window: HOUR / 2,
        ..now()
    };
    assert_eq!(collect(&fixture, window()).await, Default::default());
    age(&fixture);
    let head = format!("HEAD /v2/a/b/blobs/{promised}");
    fixture.ask(&head).await.is(200);
    fixture.push_blob("a/b", b"pushed").await;
    let mount = format!("POST /v2/a/b/blobs/uploads/?mount={mounted}&from=a/c");
    fixture.ask(&mount).await.is(201);
    let (collected, _) = collect(&fixture, window()).await;
    assert_eq!((collected.links, collected.deleted_blobs), (2, 1));
    for digest in [&promised, &pushed, &mounted] {
        let head = format!("HEAD /v2/a/b/blobs/{digest}");
        fixture.ask(&head).await.is(200);
    }
    assert_blob(&fixture, "a/b", b"forgotten", 404).await;
    assert_blob(&fixture, "a/c", b"mounted", 404).await;
}

#[tokio::test]
async fn content_in_quarantine_is_deleted_later_unless_something_refers_to_it() {
    let fixture = Fixture::new();
    let contents = [&b"deleted"[..], b"missed", b"pushed"];
    for content in contents {
        fixture.push_blob("a/b", content).await;
        fixture.push_blob("a/kept", content).await;
    }
    let link = |content: &[u8]| {
        let hex = Digest::sha256(content).hex().to_owned();
        let path = "docker/registry/v2/repositories/a/kept/_layers/sha256";
        fixture.root().join(path).join(hex).join("link")
    };
    let missed = fs::read(link(b"missed")).unwrap();
    let aside = || Collection {
        quarantine: HOUR,
        ..now()
    };
    let before = bytes_on_disk(&fixture);
    let (collected, _) = collect(&fixture, aside()).await;
    assert_eq!((collected.quarantined_blobs, collected.freed_bytes), (3, 0));
    assert_eq!(bytes_on_disk(&fixture), before);
    assert_eq!(collect(&fixture, aside()).await, Default::default());

    // What must not happen is mended all the same.
    let path = link(b"missed");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, &missed).unwrap();
    assert_blob(&fixture, "a/kept", b"missed", 200).await;
    assert!(data(&fixture, &Digest::sha256(b"missed")).exists());
    fixture.push_blob("a/b", b"pushed").await;
    let (collected, said) = collect(
        &fixture,
        Collection {
            window: HOUR / 2,
            ..aside()
        },
    )
    .await;
    // The copy of what was pushed again.
    assert_eq!((collected.deleted_blobs, collected.freed_bytes), (1, 6));
    assert_eq!(said.len(), 1, "{said:?}");

    fixture.clock.advance(HOUR + Duration::from_secs(2));
    let later = Collection {
        window: 10 * HOUR,
        ..aside()
    };
    let (collected, ended, _) = run(&fixture, later, CancellationToken::new()).await;
    ended.unwrap();
    assert_eq!((collected.deleted_blobs, collected.freed_bytes), (1, 7));
    assert!(files(&fixture.root().join("quarantine")).is_empty());
    assert_blob(&fixture, "a/b", b"pushed", 200).await;
}

#[tokio::test]
async fn linked_content_in_quarantine_is_taken_back() {
    let fixture = Fixture::new();
    fixture.push_image("a/b", "v1", b"layer").await;
    let layer = Digest::sha256(b"layer");
    let aside = fixture
        .root()
        .join("quarantine")
        .join(format!("sha256-{}", layer.hex()));
    fs::rename(data(&fixture, &layer), aside).unwrap();
    let (collected, said) = collect(&fixture, now()).await;
    assert_eq!(collected, Collected::default());
    assert!(said[0].contains(layer.as_str()), "{said:?}");
    assert!(data(&fixture, &layer).exists());
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_keeps_its_repository() {
    let fixture = Fixture::new();
    let broken = fixture.push_image("a/b", "v1", b"layer").await;
    let lost = fixture.push_image("a/c", "v1", b"other").await;
    for name in ["a/b", "a/c"] {
        fixture.push_blob(name, b"perhaps needed").await;
    }
    fs::write(data(&fixture, &broken), "{").unwrap();
    fs::remove_file(data(&fixture, &lost)).unwrap();
    let (collected, said) = collect(&fixture, now()).await;
    assert_eq!(collected, Collected::default());
    for (digest, name) in [(&broken, "a/b"), (&lost, "a/c")] {
        let is_named = |text: &String| text.contains(digest.as_str()) && text.contains(name);
        assert!(said.iter().any(is_named), "{said:?}");
        delete(&fixture, name, digest).await;
    }
    let (collected, _) = collect(&fixture, now()).await;
    assert_eq!((collected.links, collected.deleted_blobs), (6, 5));
}

#[tokio::test]
async fn what_another_registry_has_stored_is_understood_or_left_alone() {
    let fixture = Fixture::new();
    fixture.push_blob("a/b", b"layer").await;
    let layer = Digest::sha256(b"layer");
    // Docker's first schema, which is not taken here any more.
    let old = format!(r#"{{"schemaVersion":1,"fsLayers":[{{"blobSum":"{layer}"}}]}}"#);
    let digest = Digest::sha256(old.as_bytes());
    let put = |path: String, content: &str| {
        let path = fixture.root().join("docker/registry/v2").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    let hex = digest.hex();
    put(format!("blobs/sha256/{}/{hex}/data", &hex[..2]), &old);
    let revisions = "_manifests/revisions";
    let link = format!("repositories/a/b/{revisions}/sha256/{hex}/link");
    put(link, digest.as_str());
    // Neither the name nor the algorithm can be served here.
    let foreign = Digest::sha256(b"foreign");
    put("blobs/sha384/ab/abcd/data".to_owned(), "foreign");
    put(
        format!("repositories/a/c/{revisions}/sha384/abcd/link"),
        "x",
    );
    fixture.push_blob("a/c", b"named by foreign").await;
    fixture.push_blob("a/d", b"foreign").await;
    let link = format!("repositories/a/Upper/_layers/sha256/{}/link", foreign.hex());
    put(link, foreign.as_str());
    let (collected, said) = collect(&fixture, now()).await;
    assert_eq!(
        (collected.links, collected.deleted_blobs),
        (1, 0),
        "{said:?}"
    );
    assert_blob(&fixture, "a/b", b"layer", 200).await;
    assert_blob(&fixture, "a/c", b"named by foreign", 200).await;
    assert!(data(&fixture, &foreign).exists());
    assert!(said.iter().any(|text| text.contains("a/Upper")), "{said:?}");
    assert!(
        said.iter().any(|text| text.contains("sha384:abcd")),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_dry_run_tells_what_a_real_one_does_and_changes_nothing() {
    let fixture = Fixture::new();
    let gone = fixture.push_image("a/b", "v1", b"gone").await;
    fixture.push_image("a/b", "v2", b"kept").await;
    fixture.push_blob("a/c", b"loose").await;
    let before = files(fixture.root());
    let dry = Collection {
        effect: Effect::Dry,
        without: BTreeSet::from([("a/b".parse().unwrap(), gone.clone())]),
        ..now()
    };
    let (would, said) = collect(&fixture, dry).await;
    assert_eq!(files(fixture.root()), before);
    delete(&fixture, "a/b", &gone).await;
    let (did, done) = collect(&fixture, now()).await;
    assert_eq!((would, said.len()), (did, done.len()));
    assert!(
        said.iter().all(|text| text.starts_with("would ")),
        "{said:?}"
    );
}

#[tokio::test]
async fn an_emptied_repository_is_none_and_those_below_it_stay() {
    let fixture = Fixture::new();
    let digest = fixture.push_image("a/b", "v1", b"layer").await;
    let signed = format!(r#","subject":{{"digest":"{digest}","size":1}}"#);
    let json = fixture.image("a/b", b"signature", &signed).await;
    let signature = Digest::sha256(json.as_bytes());
    fixture
        .put_manifest("a/b", signature.as_str(), &json)
        .await
        .is(201);
    fixture.push_image("a/b/c", "v1", b"layer").await;
    delete(&fixture, "a/b", &signature).await;
    delete(&fixture, "a/b", &digest).await;
    collect(&fixture, now()).await;
    let catalog = fixture.ask("GET /v2/_catalog").await.json();
    assert_eq!(catalog["repositories"], serde_json::json!(["a/b/c"]));
    let own = fs::read_dir(fixture.root().join("docker/registry/v2/repositories/a/b"));
    assert_eq!(own.unwrap().count(), 1);
    fixture.ask("GET /v2/a/b/c/manifests/v1").await.is(200);
    fixture.push_image("a/b", "v1", b"again").await;
}

#[tokio::test]
async fn a_stopped_collection_removes_nothing_more_and_another_may_follow() {
    let fixture = Fixture::new();
    for number in 0..50 {
        fixture
            .push_blob("a/b", format!("{number}").as_bytes())
            .await;
    }
    let lag = SystemClock.now().since(fixture.clock.now());
    fixture.clock.advance(lag + Duration::from_secs(1));
    let stop = CancellationToken::new();
    let (tell, mut told) = mpsc::channel(1);
    let stopping = async {
        while let Some(told) = told.recv().await {
            if matches!(told, Told::Item(_)) {
                stop.cancel();
            }
        }
    };
    let collecting = fixture.registry().collect(now(), (tell, stop.clone()));
    let ((collected, ended), ()) = tokio::join!(collecting, stopping);
    assert!(matches!(ended, Err(CollectError::Stopped)), "{ended:?}");
    // One may be told, one on its way, one in hand.
    assert!((1..=4).contains(&collected.links), "{collected:?}");
    assert_eq!(collected.deleted_blobs, 0);
    let (rest, _) = collect(&fixture, now()).await;
    assert_eq!(rest.links + collected.links, 50);
    assert_eq!(rest.deleted_blobs, 50);
}

#[tokio::test]
async fn there_is_one_collection_at_a_time() {
    let fixture = Fixture::new();
    fixture.push_blob("a/b", b"x").await;
    let (tell, mut told) = mpsc::channel(1);
    let first = fixture
        .registry()
        .collect(now(), (tell, CancellationToken::new()));
    let second = async {
        let begun = told.recv().await;
        assert!(matches!(begun, Some(Told::Parts(_))), "{begun:?}");
        let (_, ended, _) = run(&fixture, now(), CancellationToken::new()).await;
        assert!(matches!(ended, Err(CollectError::Busy)), "{ended:?}");
        while told.recv().await.is_some() {}
    };
    let ((_, ended), ()) = tokio::join!(first, second);
    ended.unwrap();
}

#[tokio::test]
async fn what_is_condemned_and_used_again_cannot_be_deleted() {
    let fixture = Fixture::new();
    let digest = fixture.push_image("a/b", "v1", b"layer").await;
    let name = "a/b".parse().unwrap();
    fixture.ask("HEAD /v2/a/b/manifests/v1").await.is(200);
    catch_up(&fixture);
    let condemn = async || {
        let digests = BTreeSet::from([digest.clone()]);
        let registry = fixture.registry();
        let condemning = registry.condemn(&name, digests, Duration::ZERO);
        condemning.await.unwrap()
    };
    assert!(!condemn().await.is_unheld(&digest));
    fixture.ask("DELETE /v2/a/b/manifests/v1").await.is(202);
    let condemned = condemn().await;
    assert!(condemned.is_unheld(&digest));
    let path = format!("/v2/a/b/manifests/{digest}");
    let (delete, head) = (format!("DELETE {path}"), format!("HEAD {path}"));
    fixture.push_image("a/b", "v2", b"layer").await;
    fixture.ask(&delete).await.is(412);
    fixture.ask("GET /v2/a/b/manifests/v2").await.is(200);
    drop(condemned);
    fixture.ask("DELETE /v2/a/b/manifests/v2").await.is(202);
    let condemned = condemn().await;
    assert!(condemned.is_unheld(&digest));
    fixture.ask(&head).await.is(200);
    fixture.ask(&delete).await.is(412);
    drop(condemned);
    fixture.ask(&delete).await.is(202);
}

#[tokio::test]
async fn a_manifest_that_was_promised_is_young() {
    let fixture = Fixture::new();
    let digest = fixture.push_image("a/b", "v1", b"layer").await;
    fixture.ask("DELETE /v2/a/b/manifests/v1").await.is(202);
    catch_up(&fixture);
    let is_unheld = async || {
        let name = "a/b".parse().unwrap();
        let digests = BTreeSet::from([digest.clone()]);
        let condemned = fixture.registry().condemn(&name, digests, HOUR).await;
        condemned.unwrap().is_unheld(&digest)
    };
    assert!(!is_unheld().await, "it was pushed just now");
    age(&fixture);
    let path = format!("/v2/a/b/manifests/{digest}");
    fixture.ask(&format!("GET {path}")).await.is(200);
    let own = looking(fixture.registry().exchange());
    let look = Request::head(&path).body(Body::Empty).unwrap();
    assert_eq!(own.oneshot(look).await.unwrap().status(), 200);
    assert!(is_unheld().await);
    fixture.ask(&format!("HEAD {path}")).await.is(200);
    assert!(!is_unheld().await, "it was asked for just now");
}
