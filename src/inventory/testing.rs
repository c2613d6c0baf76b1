//! An index over a real registry, for tests.

use std::sync::Arc;

use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{ServiceExt, util::BoxCloneSyncService};

use super::{Author, Change, Ended, Inventory, Parts, Pushed, Reach, Registry};
use crate::{
    clock::{SharedClock, SystemClock},
    embedded,
    oci::{Digest, Reference, RepositoryName, Route, media_type},
    registry::Client,
    store::{Db, testing::TestDb},
    wire::{Body, Exchange},
};

/// An embedded registry and the index of it.
pub(crate) struct Shelf {
    pub(crate) inventory: Inventory,
    pub(crate) registry: Client,
    pub(crate) db: TestDb,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) directory: TempDir,
    pub(crate) embedded: embedded::Registry,
}

impl Shelf {
    /// With the projects `team` and `other`.
    pub(crate) async fn over(db: TestDb) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(SystemClock);
        let root = directory.path().join("registry");
        let config = embedded::Config::default();
        let embedded = embedded::Registry::open_with(&root, &config, clock).unwrap();
        make_projects(&db).await;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let inventory = start(&db, &embedded, &directory, (&tasks, &stop));
        Self {
            inventory,
            registry: Client::new(embedded.exchange()),
            db,
            tasks,
            stop,
            directory,
            embedded,
        }
    }

    /// The index as the next process opens it, once the tasks of this one are gone.
    pub(crate) async fn restarted(self) -> Self {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let inventory = start(&self.db, &self.embedded, &self.directory, (&tasks, &stop));
        Self {
            inventory,
            tasks,
            stop,
            ..self
        }
    }

    /// Pushes an image, behind the back of the index.
    pub(crate) async fn push_image(&self, repository: &str, reference: &str, text: &str) -> Digest {
        let config = json!({ "architecture": "amd64", "os": "linux", "author": text,
            "history": [{ "created_by": text }] });
        let config = self.push_blob(repository, &config.to_string()).await;
        let layer = self.push_blob(repository, text).await;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": { "mediaType": media_type::OCI_CONFIG, "digest": config.0, "size": config.1 },
            "layers": [{ "mediaType": media_type::OCI_LAYER_GZIP, "digest": layer.0, "size": layer.1 }],
        });
        self.push(repository, reference, &manifest).await
    }

    pub(crate) async fn push_blob(&self, repository: &str, text: &str) -> (Digest, usize) {
        let digest = Digest::sha256(text.as_bytes());
        let name = name(repository);
        let bytes = bytes::Bytes::copy_from_slice(text.as_bytes());
        let pushed = self
            .registry
            .put_blob(&name, &digest, bytes.len() as u64, bytes.into());
        pushed.await.unwrap();
        (digest, text.len())
    }

    /// Pushes a manifest; an empty reference pushes it by its digest.
    pub(crate) async fn push(&self, repository: &str, reference: &str, manifest: &Value) -> Digest {
        let bytes = manifest.to_string();
        let digest = Digest::sha256(bytes.as_bytes());
        let reference = match reference {
            "" => Reference::Digest(digest.clone()),
            tag => tag.parse().unwrap(),
        };
        let media_type = manifest["mediaType"].as_str().unwrap();
        let name = name(repository);
        let registry = &self.registry;
        registry
            .put_manifest(&name, &reference, media_type, bytes.into())
            .await
            .unwrap();
        digest
    }

    /// Tells the index of a push by digest of what the registry has.
    pub(crate) async fn tell_of_push(&self, repository: &str, digest: &Digest) {
        let change = Change {
            repository: name(repository),
            reference: Reference::Digest(digest.clone()),
        };
        let pushed = Pushed {
            repository: change.repository.clone(),
            digest: digest.clone(),
            media_type: media_type::OCI_MANIFEST.to_owned(),
            size_bytes: 1,
            manifest: None,
            tags: Vec::new(),
        };
        self.inventory.begin(&change, Reach::Reference);
        let ended = Ended::Pushed(pushed);
        self.inventory
            .conclude(&change, Reach::Reference, ended)
            .await;
    }
}

/// Changes the registry and the index, as the proxy and its observer do.
#[derive(Debug)]
pub(crate) struct Direct {
    pub(crate) inventory: Inventory,
    pub(crate) exchange: Exchange,
}

impl Registry for Direct {
    fn on_behalf_of(&self, _author: &Author) -> Exchange {
        let (inventory, exchange) = (self.inventory.clone(), self.exchange.clone());
        BoxCloneSyncService::new(tower::service_fn(move |request: Request<Body>| {
            let (inventory, exchange) = (inventory.clone(), exchange.clone());
            async move {
                let (method, uri) = (request.method(), request.uri());
                let changed = Route::changed_manifest(method, uri.path(), uri.query());
                let answer = exchange.oneshot(request).await?;
                if let Some((repository, reference)) = changed {
                    let change = Change {
                        repository,
                        reference,
                    };
                    inventory.look(&change).await.unwrap();
                }
                Ok(answer)
            }
        }))
    }
}

pub(crate) fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn start(
    db: &Db,
    embedded: &embedded::Registry,
    directory: &TempDir,
    (tasks, stop): (&TaskTracker, &CancellationToken),
) -> Inventory {
    let parts = Parts {
        db: db.clone(),
        clock: Arc::new(SystemClock),
        registry: embedded.exchange(),
    };
    Inventory::start(parts, directory.path(), tasks, stop.clone()).unwrap()
}

/// The projects `team` and `other`.
pub(crate) async fn make_projects(db: &Db) {
    use crate::auth::{Auth, Config, projects::NewProject};
    let auth = Auth::new(db.clone(), Arc::new(SystemClock), Config::default());
    auth.bootstrap().await.unwrap();
    let admin = auth.principal("admin").await.unwrap().unwrap();
    for name in ["team", "other"] {
        let project = NewProject {
            name: name.to_owned(),
            ..NewProject::default()
        };
        auth.create_project(&admin, project).await.unwrap();
    }
}
