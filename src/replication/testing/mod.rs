//! For the tests of this room: two registries, one of them over HTTP, and replication between them.

mod remote;

use std::{future::Future, sync::Arc, time::Duration};

use serde_json::json;
use tempfile::TempDir;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Change, ChangeKind, Config, Execution, ExecutionId, NewRegistry, Origin, Parts, PolicyId,
    PolicySpec, Registry, RegistryId, Replication, Task, policy::tests::spec, registries,
};
use crate::{
    clock::{SharedClock, SystemClock},
    inventory::{self, Author, Inventory},
    jobs::{self, Handler, Jobs, Runner},
    oci::{Digest, Reference, RepositoryName, media_type},
    registry::{self, Client},
    secret::SealingKey,
    store::{Db, Filter, Listing, Test, testing::TestDb},
    wire::{Body, Exchange},
};
use remote::open;

pub(super) use remote::{Ask, RemoteRegistry, Reply, THERE};

/// A gateway's replication with a local and a remote registry.
pub(super) struct Rig {
    pub db: TestDb,
    pub jobs: Jobs,
    pub replication: Replication,
    pub local: Client,
    pub remote: RemoteRegistry,
    pub inventory: Inventory,
    local_exchange: Exchange,
    folder: TempDir,
    stop: CancellationToken,
}

impl Rig {
    pub(super) async fn new(db: TestDb) -> Self {
        Self::with(db, Config::default()).await
    }

    pub(super) async fn with(db: TestDb, config: Config) -> Self {
        Self::built(db, config, registry::Config::default(), MANY_ATTEMPTS).await
    }

    /// One that gives up after three attempts, and after a second of silence.
    pub(super) async fn impatient(db: TestDb) -> Self {
        let connections = registry::Config {
            idle_timeout_seconds: 1,
            commit_timeout_seconds: 1,
            ..registry::Config::default()
        };
        Self::built(db, Config::default(), connections, 3).await
    }

    async fn built(
        db: TestDb,
        config: Config,
        connections: registry::Config,
        max_attempts: u32,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let local_exchange = open(&folder.path().join("local"));
        let remote = RemoteRegistry::serve(&folder.path().join("remote"), stop.clone()).await;
        let jobs_config = jobs::Config {
            retry_base_ms: 1,
            poll_ms: 20,
            // No job is taken from a worker that a busy machine keeps waiting.
            lease_seconds: 120,
            max_attempts,
            ..jobs::Config::default()
        };
        let jobs = Jobs::new((*db).clone(), clock(), jobs_config);
        let tasks = TaskTracker::new();
        let index = inventory::Parts {
            db: (*db).clone(),
            clock: clock(),
            registry: local_exchange.clone(),
        };
        let inventory = Inventory::start(index, folder.path(), &tasks, stop.clone()).unwrap();
        let parts = Parts {
            config,
            db: (*db).clone(),
            jobs: jobs.clone(),
            clock: clock(),
            sealing: Arc::new(SealingKey::new(&[7; 32]).unwrap()),
            local: local_exchange.clone(),
            inventory: inventory.clone(),
            connections,
            data_dir: folder.path().to_owned(),
        };
        let replication = Replication::start(parts, &tasks, stop.clone())
            .await
            .unwrap();
        Self {
            local: Client::new(local_exchange.clone()),
            db,
            jobs,
            replication,
            remote,
            inventory,
            local_exchange,
            folder,
            stop,
        }
    }

    /// Another gateway process on the same database and data directory.
    pub(super) async fn another(&self, config: Config) -> Replication {
        self.another_on((*self.db).clone(), config).await
    }

    pub(super) async fn another_on(&self, db: Db, config: Config) -> Replication {
        let parts = Parts {
            config,
            jobs: Jobs::new(db.clone(), clock(), jobs::Config::default()),
            db,
            clock: clock(),
            sealing: Arc::new(SealingKey::new(&[7; 32]).unwrap()),
            local: self.local_exchange.clone(),
            inventory: self.inventory.clone(),
            connections: registry::Config::default(),
            data_dir: self.folder.path().to_owned(),
        };
        Replication::start(parts, &TaskTracker::new(), self.stop.clone())
            .await
            .unwrap()
    }

    /// Lets what replication asks the local registry pass through `wrap`.
    pub(super) async fn wrap_local(&mut self, wrap: impl FnOnce(Exchange) -> Exchange) {
        self.local_exchange = wrap(self.local_exchange.clone());
        self.replication = self.another(Config::default()).await;
    }

    /// Lets workers take jobs from now on.
    pub(super) fn work(&self) {
        let runner = Runner::new(self.jobs.clone(), self.handlers(&self.replication));
        tokio::spawn(runner.run(self.stop.clone()));
    }

    /// Those of a gateway that has no proxy before the local registry.
    pub(super) fn handlers(&self, replication: &Replication) -> Vec<Arc<dyn Handler>> {
        replication.handlers(Arc::new(Straight(self.local_exchange.clone())))
    }

    /// Lets all that the rig has started end, the remote registry, too.
    pub(super) fn shut_down(&self) {
        self.stop.cancel();
    }

    /// The remote registry as a row.
    pub(super) async fn register(&self) -> RegistryId {
        self.replication
            .create_registry(self.new_registry())
            .await
            .unwrap()
    }

    pub(super) fn new_registry(&self) -> NewRegistry {
        NewRegistry {
            name: "mirror".to_owned(),
            kind: "docker-registry".to_owned(),
            url: self.remote.url.clone(),
            ..NewRegistry::default()
        }
    }

    /// An event-based policy to the remote registry, changed by `change`.
    pub(super) async fn policy(&self, change: impl FnOnce(&mut PolicySpec)) -> PolicyId {
        let destination = self.register().await;
        let mut spec = PolicySpec {
            destination,
            ..spec()
        };
        change(&mut spec);
        self.replication.create_policy(&spec).await.unwrap()
    }

    /// Another registry, with a policy of its own like the first one's.
    pub(super) async fn another_mirror(&self) -> RemoteRegistry {
        let folder = self.folder.path().join("other");
        let other = RemoteRegistry::serve(&folder, self.stop.clone()).await;
        let new = NewRegistry {
            name: "other".to_owned(),
            url: other.url.clone(),
            ..self.new_registry()
        };
        let policy = PolicySpec {
            name: "other".to_owned(),
            destination: self.replication.create_registry(new).await.unwrap(),
            ..spec()
        };
        self.replication.create_policy(&policy).await.unwrap();
        other
    }

    /// Changes a registry's row without asking the registry whether it answers.
    pub(super) async fn change_registry(&self, id: RegistryId, change: impl FnOnce(&mut Registry)) {
        let mut registry = self.replication.registry(id).await.unwrap();
        change(&mut registry);
        registry.updated = registry.updated.plus(Duration::from_millis(1));
        let mut tx = self.db.begin().await.unwrap();
        registries::queries::update(&mut tx, &registry)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// A change that goes through with all its tags: intended and confirmed.
    pub(super) async fn happen(&self, change: &Change) {
        let ticket = self.replication.intend(change).await.unwrap();
        let tags = change.optional_tags();
        self.replication.confirm(ticket, &tags).await.unwrap();
    }

    pub(super) async fn all_executions(&self) -> Vec<Execution> {
        let page = self.replication.executions(&Listing::default()).await;
        page.unwrap().items
    }

    /// Waits until nothing is in progress; all executions, newest first.
    pub(super) async fn settled(&self) -> Vec<Execution> {
        eventually(async || {
            let executions = self.all_executions().await;
            executions
                .iter()
                .all(|execution| execution.ended.is_some())
                .then_some(executions)
        })
        .await
    }

    pub(super) async fn finished(&self, id: ExecutionId) -> Execution {
        eventually(async || {
            let execution = self.replication.execution(id).await.unwrap();
            execution.ended.is_some().then_some(execution)
        })
        .await
    }

    pub(super) async fn tasks(&self, id: ExecutionId) -> Vec<Task> {
        let page = self.replication.tasks(id, &Listing::default()).await;
        page.unwrap().items
    }

    /// The logs of all tasks of an execution.
    pub(super) async fn logs(&self, id: ExecutionId) -> String {
        let mut logs = String::new();
        for task in self.tasks(id).await {
            logs += &self.replication.task_log(id, task.id).await.unwrap();
        }
        logs
    }
}

/// A registry whose changes nobody guards.
#[derive(Debug)]
pub(super) struct Straight(pub Exchange);

impl inventory::Registry for Straight {
    fn on_behalf_of(&self, _author: &Author) -> Exchange {
        self.0.clone()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What `reference` points to.
pub(super) async fn digest_at(
    client: &Client,
    repository: &str,
    reference: &str,
) -> Option<Digest> {
    let head = client
        .head_manifest(&name(repository), &reference.parse().unwrap())
        .await;
    head.unwrap().map(|head| head.digest)
}

/// Pushes an image with these layers.
pub(super) async fn push_image(
    client: &Client,
    repository: &str,
    reference: &str,
    layers: &[&str],
) -> Digest {
    let config = json!({"layers": layers}).to_string();
    let mut blobs = Vec::new();
    for content in std::iter::once(&*config).chain(layers.iter().copied()) {
        let digest = Digest::sha256(content.as_bytes());
        let body = Body::from(content.to_owned());
        client
            .put_blob(&name(repository), &digest, content.len() as u64, body)
            .await
            .unwrap();
        blobs.push(json!({
            "mediaType": media_type::OCI_LAYER_GZIP, "digest": digest, "size": content.len(),
        }));
    }
    let mut config = blobs.remove(0);
    config["mediaType"] = media_type::OCI_CONFIG.into();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": config, "layers": blobs,
    });
    push_manifest(
        client,
        repository,
        reference,
        media_type::OCI_MANIFEST,
        &manifest,
    )
    .await
}

/// Pushes a manifest; `by digest` stands for its own digest.
pub(super) async fn push_manifest(
    client: &Client,
    repository: &str,
    reference: &str,
    media_type: &str,
    manifest: &serde_json::Value,
) -> Digest {
    let bytes = manifest.to_string();
    let digest = Digest::sha256(bytes.as_bytes());
    let reference = match reference {
        "by digest" => Reference::Digest(digest.clone()),
        tag => tag.parse().unwrap(),
    };
    client
        .put_manifest(&name(repository), &reference, media_type, bytes.into())
        .await
        .unwrap();
    digest
}

/// A push of `reference`, as a client's.
pub(super) fn push(repository: &str, reference: &str) -> Change {
    Change {
        repository: name(repository),
        kind: ChangeKind::Push {
            reference: reference.parse().unwrap(),
            tags: Vec::new(),
            digest: Digest::sha256(b"whatever"),
            blob_bytes: None,
        },
        actor: "alice".to_owned(),
        origin: Origin::default(),
    }
}

pub(super) fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

pub(super) fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

/// A listing of what has `value` in `field`.
pub(super) fn where_is(field: &str, value: &str) -> Listing {
    Listing {
        filters: vec![Filter {
            field: field.to_owned(),
            test: Test::Equals(value.to_owned()),
        }],
        ..Listing::default()
    }
}

/// Asks until there is an answer.
pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(mut ask: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking)
        .await
        .expect("it happens within 20 s")
}

/// As many as the default.
const MANY_ATTEMPTS: u32 = 20;
