//! What fits and what does not, over both databases.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{
    Config, Error, Kind, Parts, Pusher, Quota, Reservation, handle::FRESH, testing::Shelf,
};
use crate::{
    auth::{self, Auth, ProjectId, projects::NewProject},
    clock::{ManualClock, SharedClock, Timestamp},
    embedded,
    inventory::{Change, Ended, Pushed, Reach},
    oci::{Digest, Manifest, Reference, RepositoryName, media_type},
    settings,
    store::{
        Listing, Sort,
        testing::{TestDb, databases},
    },
};

/// The project `team`, which may hold 1000 bytes, and `free`, which may hold anything.
struct World {
    shelf: Shelf,
    auth: Auth,
    team: ProjectId,
    clock: Arc<ManualClock>,
    settings: settings::Reader,
    db: TestDb,
    _registry: tempfile::TempDir,
}

#[expect(clippy::future_not_send, reason = "each test runs on one thread")]
async fn on_each_database(test: impl AsyncFn(&World)) {
    for db in databases().await {
        test(&World::over(db).await).await;
    }
}

impl World {
    async fn over(db: TestDb) -> Self {
        let clock = ManualClock::at(Timestamp::from_seconds(1_800_000_000));
        let shared: SharedClock = clock.clone();
        let auth = Auth::new(db.clone(), shared.clone(), auth::Config::default());
        auth.bootstrap().await.unwrap();
        let admin = auth.principal("admin").await.unwrap().unwrap();
        for (name, limit) in [("team", 1000), ("free", -1)] {
            let project = NewProject {
                name: name.to_owned(),
                storage_limit: Some(limit),
                ..NewProject::default()
            };
            auth.create_project(&admin, project).await.unwrap();
        }
        let team = auth.project_named("team").await.unwrap().id;
        let directory = tempfile::tempdir().unwrap();
        let registry = embedded::Registry::open(directory.path(), shared.clone()).unwrap();
        let settings = settings::Reader::default();
        let over = (settings.clone(), registry.exchange());
        Self {
            shelf: Shelf::over(&db, &shared, &auth, over).await,
            auth,
            team,
            clock,
            settings,
            db,
            _registry: directory,
        }
    }

    async fn upload(
        &self,
        digest: Option<&Digest>,
        bytes: u64,
    ) -> Result<Option<Reservation>, Error> {
        let quota = &self.shelf.quota;
        quota.upload(pusher("team/app"), digest, bytes).await
    }

    async fn fits(&self, bytes: u64) -> bool {
        let reserved = self.upload(None, bytes).await;
        match &reserved {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), Kind::Exceeded, "{error}");
                false
            }
        }
    }

    /// Whether exactly so much fits now.
    async fn has_room(&self, bytes: u64) -> bool {
        self.fits(bytes).await && !self.fits(bytes + 1).await
    }

    /// Uploads a blob, which is in no manifest yet.
    async fn store(&self, digest: &Digest, bytes: u64) {
        let reserved = self.upload(Some(digest), bytes).await.unwrap().unwrap();
        reserved.stored(&[(digest.clone(), bytes)]);
    }

    /// Puts an image of this config into the index; how much it takes.
    async fn record(&self, repository: &str, config: &Digest, bytes: u64) -> (Digest, u64) {
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "layers": [],
            "config": { "mediaType": media_type::OCI_CONFIG, "digest": config, "size": bytes },
        });
        let text = manifest.to_string();
        let pushed = Pushed {
            repository: name(repository),
            digest: Digest::sha256(text.as_bytes()),
            media_type: media_type::OCI_MANIFEST.to_owned(),
            size_bytes: text.len() as u64,
            manifest: Some(Arc::new(
                Manifest::parse(media_type::OCI_MANIFEST, text.as_bytes()).unwrap(),
            )),
            tags: vec!["v1".parse().unwrap()],
        };
        let digest = pushed.digest.clone();
        self.conclude(repository, &digest, Ended::Pushed(pushed))
            .await;
        (digest, text.len() as u64 + bytes)
    }

    async fn forget(&self, repository: &str, digest: &Digest) {
        self.conclude(repository, digest, Ended::Deleted).await;
    }

    /// Past the proxy: it shows within a second.
    async fn conclude(&self, repository: &str, digest: &Digest, ended: Ended) {
        let change = Change {
            repository: name(repository),
            reference: Reference::Digest(digest.clone()),
        };
        let inventory = &self.shelf.inventory;
        inventory.begin(&change, Reach::Reference);
        inventory.conclude(&change, Reach::Reference, ended).await;
        self.clock.advance(FRESH);
    }
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn pusher(repository: &str) -> Pusher {
    Pusher {
        repository: name(repository),
        operator: "alice".to_owned(),
        request_id: "r1".to_owned(),
        artifact: None,
    }
}

fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

#[tokio::test]
async fn uploads_at_once_do_not_pass_the_limit_together() {
    on_each_database(async |world| {
        let all = join_all((0..100).map(|_| world.upload(None, 99))).await;
        let fitting = all.iter().filter(|reserved| reserved.is_ok()).count();
        assert_eq!(fitting, 10);
        let refused = all.iter().find_map(|reserved| reserved.as_ref().err());
        assert_eq!(
            refused.unwrap().to_string(),
            "adding 99 B of storage resource, which when updated to current usage of 990 B will \
             exceed the configured upper limit of 1000 B."
        );
        drop(all);
        assert!(world.has_room(1000).await, "what ended is free again");
        let free = world.shelf.quota.upload(pusher("free/app"), None, 1 << 50);
        assert!(free.await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_blob_counts_once_from_its_upload_to_its_deletion() {
    on_each_database(async |world| {
        let config = digest("config");
        world.store(&config, 400).await;
        assert!(world.has_room(600).await);
        // Again, in another repository.
        let again = world.upload(Some(&config), 400).await.unwrap();
        assert!(world.has_room(600).await);
        drop(again);
        let (manifest, bytes) = world.record("team/app", &config, 400).await;
        assert!(world.has_room(1000 - bytes).await);
        world.clock.advance(Duration::from_hours(24));
        assert!(world.has_room(1000 - bytes).await, "the index has it");
        let whole = world.upload(None, 1000 - bytes).await.unwrap();
        world.upload(Some(&config), 400).await.unwrap();
        let blobs = vec![(manifest.clone(), bytes - 400), (config.clone(), 400)];
        let quota = &world.shelf.quota;
        let same = quota.manifest(pusher("team/copy"), blobs).await;
        assert!(same.unwrap().is_some(), "a full project takes what it has");
        drop(whole);
        world.forget("team/app", &manifest).await;
        assert!(world.has_room(1000).await);
    })
    .await;
}

#[tokio::test]
async fn an_upload_in_the_name_of_a_blob_that_the_project_has_is_free_no_further_than_that() {
    on_each_database(async |world| {
        let config = digest("config");
        let (_, bytes) = world.record("team/app", &config, 300).await;
        let room = 1000 - bytes;
        let upload = async |bytes| {
            world.clock.advance(FRESH);
            world.upload(Some(&config), bytes).await
        };
        let too_long = upload(301 + room).await.unwrap_err();
        assert_eq!(too_long.kind(), Kind::Exceeded);
        let longer = upload(300 + room).await.unwrap();
        assert!(world.has_room(0).await);
        drop(longer);
        let first = upload(300).await.unwrap().unwrap();
        assert!(world.has_room(room).await);
        let second = upload(300).await.unwrap();
        assert!(world.has_room(room - 300).await, "both are on the disk");
        drop(second);
        first.rest();
        assert!(world.has_room(room - 300).await, "it came to nothing");
        world.clock.advance(FRESH);
        first.extend(Some(&config), 300).await.unwrap();
        assert!(world.has_room(room).await);
        first.stored(&[(config.clone(), 300)]);
        first.rest();
        assert!(world.has_room(room).await, "it came to what was there");
        let whole = world.upload(None, room).await.unwrap();
        let quota = &world.shelf.quota;
        for _ in 0..2 {
            let mounted = quota.mount(pusher("team/copy"), &config, 400).await;
            assert!(
                mounted.unwrap().is_some(),
                "a full project mounts what it has"
            );
        }
        drop(whole);
    })
    .await;
}

#[tokio::test]
async fn a_blob_without_a_manifest_counts_for_two_hours() {
    on_each_database(async |world| {
        world.store(&digest("layer"), 700).await;
        world.clock.advance(Duration::from_mins(119));
        assert!(world.has_room(300).await);
        world.clock.advance(Duration::from_mins(1));
        assert!(world.has_room(1000).await);
    })
    .await;
}

#[tokio::test]
async fn a_manifest_counts_what_the_project_does_not_have() {
    on_each_database(async |world| {
        world.store(&digest("layer"), 600).await;
        let blobs = |other: u64| {
            vec![
                (digest("manifest"), 100),
                (digest("layer"), 600),
                (digest("other"), other),
            ]
        };
        let quota = &world.shelf.quota;
        let refused = quota.manifest(pusher("team/app"), blobs(301)).await;
        assert_eq!(refused.unwrap_err().kind(), Kind::Exceeded);
        let taken = quota.manifest(pusher("team/app"), blobs(300)).await;
        let taken = taken.unwrap().unwrap();
        assert!(!world.fits(1).await);
        drop(taken);
        assert!(world.has_room(400).await, "it was refused by the registry");
        let taken = quota.manifest(pusher("team/app"), blobs(300)).await;
        taken.unwrap().unwrap().stored(&blobs(300));
        assert!(!world.fits(1).await);
    })
    .await;
}

#[tokio::test]
async fn an_upload_grows_as_far_as_there_is_room() {
    on_each_database(async |world| {
        let config = digest("config");
        let (manifest, bytes) = world.record("team/app", &config, 500).await;
        let upload = world.upload(None, 0).await.unwrap().unwrap();
        assert!(upload.try_extend(1000 - bytes));
        assert!(!upload.try_extend(1001 - bytes));
        let refused = upload.extend(None, 1001 - bytes).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Exceeded);
        world.forget("team/app", &manifest).await;
        upload.extend(None, 1001 - bytes).await.unwrap();
        assert_eq!(upload.bytes(), 1001 - bytes);
        // At its end it turns out to be a blob that the project has.
        world.record("team/app", &config, 100).await;
        upload.extend(Some(&config), 1001 - bytes).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn limits_follow_the_administrator() {
    on_each_database(async |world| {
        world.store(&digest("layer"), 700).await;
        let set = async |bytes| {
            let set = world.auth.set_storage_limit(world.team, bytes).await;
            set.unwrap();
        };
        set(500).await;
        assert!(!world.fits(1).await);
        assert!(world.fits(0).await);
        set(800).await;
        assert!(world.has_room(100).await);
        set(-1).await;
        assert!(world.fits(1 << 50).await);
        set(1).await;
        world.settings.set(settings::Values {
            quota_per_project_enable: false,
            ..settings::Values::default()
        });
        assert!(world.fits(1 << 50).await);
    })
    .await;
}

#[tokio::test]
async fn while_the_database_is_away_what_it_said_last_stands() {
    on_each_database(async |world| {
        world.store(&digest("layer"), 700).await;
        world.db.close().await;
        world.clock.advance(Duration::from_secs(2));
        assert!(world.has_room(300).await);
    })
    .await;
}

#[tokio::test]
async fn so_much_is_held_for_a_project_and_no_more() {
    on_each_database(async |world| {
        let quota = Quota::new(Parts {
            config: Config {
                max_held: 32,
                ..Config::default()
            },
            settings: world.settings.clone(),
            db: world.db.clone(),
            clock: world.clock.clone(),
            auth: world.auth.clone(),
            inventory: world.shelf.inventory.clone(),
            webhooks: world.shelf.webhooks.clone(),
        });
        let upload = async || quota.upload(pusher("team/app"), None, 1).await;
        let (first, second) = (upload().await.unwrap(), upload().await.unwrap());
        let full = upload().await.unwrap_err();
        assert_eq!(full.kind(), Kind::Unavailable, "{full}");
        let free = world.auth.project_named("free").await.unwrap().id;
        world.auth.set_storage_limit(free, 1000).await.unwrap();
        let other = quota.upload(pusher("free/app"), None, 1).await;
        assert!(other.unwrap().is_some(), "another project goes on");
        drop(first);
        let third = upload().await.unwrap().unwrap();
        world.clock.advance(Duration::from_hours(3));
        upload().await.unwrap_err();
        second.unwrap().rest();
        world.clock.advance(Duration::from_hours(2));
        upload().await.unwrap();
        drop(third);
    })
    .await;
}

#[tokio::test]
async fn quotas_are_listed_as_harbor_sorts_them() {
    on_each_database(async |world| {
        let (_, bytes) = world.record("team/app", &digest("config"), 300).await;
        let quota = &world.shelf.quota;
        let names = async |field: &str, descending: bool| {
            let listing = Listing {
                sort: vec![Sort {
                    field: field.to_owned(),
                    descending,
                }],
                ..Listing::default()
            };
            let page = quota.quotas(&listing).await.unwrap();
            let names = page.items.into_iter().map(|quota| quota.name);
            names.filter(|name| name != "library").collect::<Vec<_>>()
        };
        assert_eq!(names("hard.storage", false).await, ["team", "free"]);
        assert_eq!(names("used.storage", true).await, ["team", "free"]);
        assert_eq!(names("used.storage", false).await, ["free", "team"]);
        let team = quota.quota(world.team).await.unwrap();
        assert_eq!(
            (team.hard_bytes, team.used_bytes),
            (1000, bytes.cast_signed())
        );
        let absent = quota.quota(ProjectId(9999)).await.unwrap_err();
        assert_eq!(absent.kind(), Kind::NotFound);
    })
    .await;
}
