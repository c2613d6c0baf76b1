use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Method, Request, Response};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::{ServiceExt, service_fn, util::BoxCloneSyncService};

use super::*;
use crate::{
    clock::{Clock, ManualClock, SystemClock, Timestamp},
    inventory::{
        Change, Ended, Pushed, Reach, Walk,
        testing::{Direct, Shelf, name},
    },
    jobs::{Config as JobsConfig, Handler, JobId, Jobs, Runner, State},
    oci::{Digest, Reference, media_type},
    registry::Client,
    settings,
    store::{Listing, testing::databases},
    wire::{Body, Exchange, ExchangeError, looking},
};

const IMAGES: i64 = 60;
const HOUR: Duration = Duration::from_hours(1);

/// Garbage collection over the project `team`; its clock runs ahead of the registry's.
struct World {
    shelf: Shelf,
    clock: Arc<ManualClock>,
    settings: settings::Reader,
    jobs: Jobs,
    gc: Gc,
    _stop: DropGuard,
}

/// Which registry stands behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Embedded,
    Remote,
}

#[expect(clippy::future_not_send, reason = "each test runs on one thread")]
async fn on_each_database(behind: Behind, test: impl AsyncFn(&World)) {
    for db in databases().await {
        test(&World::over(Shelf::over(db).await, behind)).await;
    }
}

impl World {
    fn over(shelf: Shelf, behind: Behind) -> Self {
        let exchange = shelf.embedded.exchange();
        let clock = ManualClock::at(SystemClock.now());
        Self::with((shelf, behind), exchange, clock)
    }

    /// One that deletes by this exchange.
    fn with((shelf, behind): (Shelf, Behind), exchange: Exchange, clock: Arc<ManualClock>) -> Self {
        let settings = settings::Reader::default();
        let config = JobsConfig {
            poll_ms: 10,
            heartbeat_ms: 10,
            ..JobsConfig::default()
        };
        let jobs = Jobs::new(shelf.db.clone(), Arc::new(SystemClock), config);
        let gc = Gc::new(Parts {
            config: Config {
                window_hours: 2,
                quarantine_hours: 0,
            },
            jobs: jobs.clone(),
            clock: clock.clone(),
            settings: settings.clone(),
            inventory: shelf.inventory.clone(),
            registry: Arc::new(Direct {
                inventory: shelf.inventory.clone(),
                exchange,
            }),
            embedded: (behind == Behind::Embedded).then(|| shelf.embedded.clone()),
        });
        let handler: Arc<dyn Handler> = Arc::new(gc.clone());
        let stop = CancellationToken::new();
        tokio::spawn(Runner::new(jobs.clone(), [handler]).run(stop.clone()));
        Self {
            shelf,
            clock,
            settings,
            jobs,
            gc,
            _stop: stop.drop_guard(),
        }
    }

    /// The time moves on for the collection, and for the files of the registry.
    fn later(&self, hours: u32) {
        self.clock.advance(HOUR * hours);
        for path in files(&self.shelf.directory.path().join("registry")) {
            let file = File::open(path).unwrap();
            let written = file.metadata().unwrap().modified().unwrap();
            file.set_modified(written - HOUR * hours).unwrap();
        }
    }

    async fn look(&self) {
        let walk = Walk::default();
        self.shelf.inventory.walk(&walk, |_| {}).await.unwrap();
    }

    async fn untag(&self, tag: &str) {
        let (app, tag) = (name("team/app"), Reference::Tag(tag.parse().unwrap()));
        let deleted = self.shelf.registry.delete_manifest(&app, &tag).await;
        deleted.unwrap();
    }

    /// Runs a collection that ends well; what it has to show, and its log.
    async fn run(&self, parameters: Value) -> (Value, String) {
        let (state, result, log) = self.try_run(parameters).await;
        assert_eq!(state, State::Done, "{log}");
        (result, log)
    }

    async fn try_run(&self, parameters: Value) -> (State, Value, String) {
        let job = self.gc.job();
        let parameters = GcParameters::check(&parameters).unwrap();
        let id = job.start(parameters).await.unwrap();
        let state = self.ends(id).await;
        let result = job.run(id).await.unwrap().result;
        (state, result.unwrap(), job.log(id).await.unwrap())
    }

    async fn ends(&self, id: JobId) -> State {
        loop {
            let state = self.jobs.job(id).await.unwrap().state;
            if state.is_final() {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn has(&self, digest: &Digest) -> bool {
        let reference = Reference::Digest(digest.clone());
        let app = name("team/app");
        let looking = Client::new(looking(self.shelf.embedded.exchange()));
        let found = looking.head_manifest(&app, &reference).await;
        let is_stored = found.unwrap().is_some();
        let known = self.shelf.inventory.artifact(&app, &reference).await;
        assert_eq!(known.is_ok(), is_stored, "{digest}");
        is_stored
    }

    /// Of all content.
    fn bytes_on_disk(&self) -> u64 {
        let blobs = self
            .shelf
            .directory
            .path()
            .join("registry/docker/registry/v2/blobs");
        let files = files(&blobs);
        let lengths = files.iter().map(|path| fs::metadata(path).unwrap().len());
        lengths.sum()
    }

    /// An index of one image, both without a tag, and a signature of the index.
    async fn push_index(&self) -> [Digest; 3] {
        let child = self.shelf.push_image("team/app", "", "child").await;
        let part = json!({"mediaType": media_type::OCI_MANIFEST, "digest": child, "size": 1});
        let index = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [part],
        });
        let index = self.shelf.push("team/app", "v1", &index).await;
        let signature = self.sign(&index).await;
        self.look().await;
        [child, index, signature]
    }

    async fn sign(&self, subject: &Digest) -> Digest {
        let config = self.shelf.push_blob("team/app", "{}").await;
        let signature = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "layers": [],
            "artifactType": "application/vnd.example.signature",
            "config": {"mediaType": media_type::OCI_EMPTY, "digest": config.0, "size": 2},
            "subject": {"mediaType": media_type::OCI_INDEX, "digest": subject, "size": 1},
        });
        self.shelf.push("team/app", "", &signature).await
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let below = entries.map(|entry| match entry.path() {
        path if path.is_dir() => files(&path),
        path => vec![path],
    });
    below.flatten().collect()
}

fn untagged() -> Value {
    json!({"delete_untagged": true, "workers": 3})
}

#[tokio::test]
async fn what_only_the_registry_knows_to_be_tagged_stays() {
    on_each_database(Behind::Embedded, async |world| {
        let image = world.shelf.push_image("team/app", "v1", "image").await;
        let gone = world.shelf.push_image("team/app", "old", "gone").await;
        world.look().await;
        world.untag("v1").await;
        world.untag("old").await;
        world.look().await;
        world.later(3);
        // The index has not heard of this one.
        world.shelf.push_image("team/app", "v2", "image").await;
        let (_, log) = world.run(untagged()).await;
        assert!(log.contains("the registry has it in use"), "{log}");
        assert!(world.has(&image).await);
        assert!(!world.has(&gone).await);
    })
    .await;
}

#[tokio::test]
async fn artifacts_that_nothing_holds_go_with_their_space() {
    on_each_database(Behind::Embedded, async |world| {
        let kept = world.shelf.push_image("team/app", "kept", "kept").await;
        let gone = world.push_index().await;
        world.untag("v1").await;
        world.look().await;
        world.later(3);
        let before = world.bytes_on_disk();

        let (result, _) = world.run(json!({})).await;
        assert_eq!(
            (&result["purged_manifests"], &result["purged_blobs"]),
            (&json!(0), &json!(0))
        );
        let mut dry = untagged();
        dry["dry_run"] = json!(true);
        let (would, log) = world.run(dry).await;
        assert_eq!(world.bytes_on_disk(), before);
        for digest in &gone {
            assert!(world.has(digest).await);
            assert!(
                log.contains(&format!("would delete team/app@{digest}")),
                "{log}"
            );
        }

        let (result, log) = world.run(untagged()).await;
        assert_eq!(result, would, "{log}");
        assert_eq!(result["purged_manifests"], 3, "{log}");
        // Three manifests, the child's layer and config, the signature's config.
        assert_eq!(result["purged_blobs"], 6, "{log}");
        assert_eq!(result["freed_space"], before - world.bytes_on_disk());
        for digest in &gone {
            assert!(!world.has(digest).await);
        }
        assert!(world.has(&kept).await);
        let freed = world.gc.metrics().freed_bytes.get();
        assert_eq!(result["freed_space"], freed);
        assert!(log.contains(&format!("bytes freed: {freed}")), "{log}");
    })
    .await;
}

#[tokio::test]
async fn what_is_young_or_held_stays() {
    on_each_database(Behind::Embedded, async |world| {
        let held = world.push_index().await;
        let loose = world.shelf.push_image("team/app", "v2", "loose").await;
        world.look().await;
        world.untag("v2").await;
        world.look().await;
        world.later(1);
        let (result, _) = world.run(untagged()).await;
        assert_eq!(result["purged_manifests"], 0);
        assert!(world.has(&loose).await);

        world.later(2);
        let (result, log) = world.run(untagged()).await;
        assert_eq!(result["purged_manifests"], 1, "{log}");
        assert!(!world.has(&loose).await);
        for digest in &held {
            assert!(world.has(digest).await);
        }
    })
    .await;
}

#[tokio::test]
async fn a_part_that_another_index_lists_stays_and_an_orphan_goes() {
    on_each_database(Behind::Embedded, async |world| {
        let [child, index, signature] = world.push_index().await;
        let part = json!({"mediaType": media_type::OCI_MANIFEST, "digest": child, "size": 1});
        let other = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [part, part],
        });
        let other = world.shelf.push("team/app", "other", &other).await;
        let orphan = world.sign(&Digest::sha256(b"never pushed")).await;
        world.untag("v1").await;
        world.look().await;
        let look = Change {
            repository: name("team/app"),
            reference: Reference::Digest(orphan.clone()),
        };
        world.shelf.inventory.look(&look).await.unwrap();
        world.later(3);
        let (result, log) = world.run(untagged()).await;
        assert_eq!(result["purged_manifests"], 3, "{log}");
        for digest in [&index, &signature, &orphan] {
            assert!(!world.has(digest).await);
        }
        for digest in [&child, &other] {
            assert!(world.has(digest).await);
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_pushed_again_is_young() {
    on_each_database(Behind::Embedded, async |world| {
        let loose = world.shelf.push_image("team/app", "v1", "text").await;
        world.look().await;
        world.untag("v1").await;
        world.look().await;
        let inventory = &world.shelf.inventory;
        let app = name("team/app");
        let reference = Reference::Digest(loose.clone());
        let artifact = inventory.artifact(&app, &reference).await.unwrap();
        let limit = Timestamp::from_millis(artifact.pushed_ms + 1);
        let all = Listing::default();
        let listed = || inventory.loose(artifact.repository_id, limit, &all);
        assert_eq!(listed().await.unwrap().items.len(), 1);
        while SystemClock.now() < limit {
            tokio::task::yield_now().await;
        }
        world.shelf.tell_of_push("team/app", &loose).await;
        assert_eq!(listed().await.unwrap().items.len(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_remote_registry_is_told_of_as_keeping_the_space() {
    on_each_database(Behind::Remote, async |world| {
        world.shelf.push_image("team/app", "kept", "shared").await;
        let layer = world.shelf.push_blob("team/app", "a layer of its own").await;
        let shared = world.shelf.push_blob("team/app", "shared").await;
        let descriptor = |(digest, size): &(Digest, usize)| {
            json!({"mediaType": media_type::OCI_LAYER_GZIP, "digest": digest, "size": size})
        };
        let image = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": descriptor(&layer), "layers": [descriptor(&shared)],
        });
        let gone = world.shelf.push("team/app", "v1", &image).await;
        world.look().await;
        world.untag("v1").await;
        world.look().await;
        world.later(3);
        // Somebody tags another one past the gateway.
        let again = world.shelf.push_image("team/app", "v2", "again").await;
        world.look().await;
        world.untag("v2").await;
        world.look().await;
        world.shelf.push_image("team/app", "v3", "again").await;

        let (result, log) = world.run(untagged()).await;
        let expected = json!({
            "freed_space": 0, "purged_blobs": 0, "purged_manifests": 1, "time_window": 2,
            "unreclaimed_space": layer.1, "note": result["note"],
        });
        assert_eq!(result, expected, "{log}");
        assert!(log.contains("registry garbage-collect"), "{log}");
        assert!(!world.has(&gone).await);
        assert!(world.has(&again).await);
    })
    .await;
}

/// A registry where somebody tags the second of two images when the first one is deleted.
#[derive(Clone)]
struct Meddled {
    registry: Exchange,
    clock: Arc<ManualClock>,
    images: [Digest; 2],
    deleted: Arc<Mutex<Vec<Digest>>>,
}

impl Meddled {
    fn exchange(&self) -> Exchange {
        let meddled = self.clone();
        BoxCloneSyncService::new(service_fn(move |request| {
            let meddled = meddled.clone();
            async move { meddled.answer(request).await }
        }))
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, ExchangeError> {
        let path = request.uri().path().to_owned();
        let is_named = |digest: &&Digest| path.ends_with(digest.as_str());
        if let (&Method::DELETE, Some(named)) =
            (request.method(), self.images.iter().find(is_named))
        {
            let other = self.images.iter().find(|digest| *digest != named);
            if self.note(named) == 1 {
                self.tag(other.unwrap()).await;
                self.clock.advance(Duration::from_secs(1));
            }
        }
        self.registry.clone().oneshot(request).await
    }

    /// How many have been deleted.
    fn note(&self, digest: &Digest) -> usize {
        let mut deleted = self.deleted.lock().unwrap();
        deleted.push(digest.clone());
        deleted.len()
    }

    async fn tag(&self, digest: &Digest) {
        let client = Client::new(self.registry.clone());
        let (app, reference) = (name("team/app"), Reference::Digest(digest.clone()));
        let found = client.manifest(&app, &reference).await.unwrap();
        let tag = Reference::Tag("back".parse().unwrap());
        let put = client.put_manifest(&app, &tag, &found.media_type, found.bytes);
        put.await.unwrap();
    }
}

#[tokio::test]
async fn what_is_tagged_past_the_gateway_during_a_run_stays() {
    for db in databases().await {
        let shelf = Shelf::over(db).await;
        let meddled = Meddled {
            registry: shelf.embedded.exchange(),
            clock: ManualClock::at(SystemClock.now()),
            images: [
                shelf.push_image("team/app", "v1", "one").await,
                shelf.push_image("team/app", "v2", "two").await,
            ],
            deleted: Arc::default(),
        };
        let over = (shelf, Behind::Remote);
        let world = World::with(over, meddled.exchange(), meddled.clock.clone());
        world.look().await;
        for tag in ["v1", "v2"] {
            world.untag(tag).await;
        }
        world.look().await;
        world.later(3);
        let (result, log) = world.run(untagged()).await;
        assert_eq!(result["purged_manifests"], 1, "{log}");
        assert!(log.contains("in use again"), "{log}");
        let gone = meddled.deleted.lock().unwrap().clone();
        assert_eq!(gone.len(), 1);
        for digest in &meddled.images {
            assert_eq!(world.has(digest).await, !gone.contains(digest));
        }
    }
}

#[tokio::test]
async fn nothing_untagged_goes_while_a_manifest_cannot_be_read() {
    on_each_database(Behind::Remote, async |world| {
        let [child, index, _] = world.push_index().await;
        let change = Change {
            repository: name("team/app"),
            reference: Reference::Digest(index.clone()),
        };
        // As if it were of a kind that nobody here knows.
        let pushed = Pushed {
            repository: name("team/app"),
            digest: index.clone(),
            media_type: media_type::OCI_INDEX.to_owned(),
            size_bytes: 1,
            manifest: None,
            tags: vec!["v1".parse().unwrap()],
        };
        let inventory = &world.shelf.inventory;
        for ended in [Ended::Deleted, Ended::Pushed(pushed)] {
            inventory.begin(&change, Reach::Reference);
            inventory.conclude(&change, Reach::Reference, ended).await;
        }
        world.later(3);
        let (result, log) = world.run(untagged()).await;
        assert_eq!(result["purged_manifests"], 0, "{log}");
        assert!(
            log.contains(&format!("the manifest {index} of team/app cannot be read")),
            "{log}"
        );
        assert!(world.has(&child).await);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_done_in_read_only_mode() {
    on_each_database(Behind::Embedded, async |world| {
        let loose = world.shelf.push_image("team/app", "v1", "image").await;
        world.look().await;
        world.untag("v1").await;
        world.look().await;
        world.later(3);
        world.settings.set(settings::Values {
            read_only: true,
            ..settings::Values::default()
        });
        let mut dry = untagged();
        dry["dry_run"] = json!(true);
        assert_eq!(world.run(dry).await.0["purged_manifests"], 1);
        let (state, result, log) = world.try_run(untagged()).await;
        assert_eq!(
            (state, &result["purged_manifests"]),
            (State::Failed, &json!(0))
        );
        assert!(log.contains("the gateway is in read-only mode"), "{log}");
        assert!(world.has(&loose).await);
        world.settings.set(settings::Values::default());
        assert_eq!(world.run(untagged()).await.0["purged_manifests"], 1);
    })
    .await;
}

#[tokio::test]
async fn what_a_pushing_client_was_told_is_there_stays() {
    on_each_database(Behind::Embedded, async |world| {
        let asked = world.shelf.push_image("team/app", "v1", "asked for").await;
        let other = world.shelf.push_image("team/app", "v2", "other").await;
        world.look().await;
        for tag in ["v1", "v2"] {
            world.untag(tag).await;
        }
        world.look().await;
        world.later(3);
        let (app, reference) = (name("team/app"), Reference::Digest(asked.clone()));
        let head = world.shelf.registry.head_manifest(&app, &reference).await;
        assert!(head.unwrap().is_some());
        let (result, log) = world.run(untagged()).await;
        assert_eq!(result["purged_manifests"], 1, "{log}");
        assert!(world.has(&asked).await);
        assert!(!world.has(&other).await);
    })
    .await;
}

#[tokio::test]
async fn a_run_shows_its_progress_and_stops_when_told() {
    on_each_database(Behind::Embedded, async |world| {
        for number in 0..IMAGES {
            let tag = format!("v{number}");
            world.shelf.push_image("team/app", &tag, &tag).await;
        }
        world.look().await;
        for number in 0..IMAGES {
            world.untag(&format!("v{number}")).await;
        }
        world.look().await;
        world.later(3);
        let job = world.gc.job();
        let parameters = GcParameters::check(&untagged()).unwrap();
        let id = job.start(parameters).await.unwrap();
        let repository = name("team/app");
        let left = || world.shelf.inventory.repository(&repository);
        while left().await.unwrap().artifact_count == IMAGES {
            tokio::task::yield_now().await;
        }
        let began = tokio::time::Instant::now();
        job.stop(id).await.unwrap();
        assert_eq!(world.ends(id).await, State::Stopped);
        assert!(began.elapsed() < Duration::from_secs(1));
        let result = job.run(id).await.unwrap().result.unwrap();
        let deleted = result["purged_manifests"].as_u64().unwrap();
        assert!(deleted < 60, "{result}");

        let (result, log) = world.run(untagged()).await;
        let rest = result["purged_manifests"].as_u64().unwrap();
        // One may have been on its way when the run was stopped.
        assert!((59..=60).contains(&(deleted + rest)), "{log}");
    })
    .await;
}
