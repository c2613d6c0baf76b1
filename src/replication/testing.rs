//! For the tests of this room: two registries, one of them over HTTP, and replication between them.

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::Method;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use super::{
    Change, ChangeKind, Config, Execution, ExecutionId, NewRegistry, Origin, Parts, PolicyId,
    PolicySpec, RegistryId, Replication, Task, policy::tests::spec,
};
use crate::{
    clock::{SharedClock, SystemClock},
    embedded,
    jobs::{self, Jobs, Runner},
    oci::{Digest, ErrorCode, Reference, RepositoryName, media_type},
    registry::{self, Client},
    secret::SealingKey,
    store::{Db, Filter, Listing, Test, testing::TestDb},
    wire::{Body, Exchange, ExchangeError, INSTALLATION_HEADER},
};

/// A gateway's replication with a local and a remote registry.
pub(super) struct Rig {
    pub db: TestDb,
    pub jobs: Jobs,
    pub replication: Replication,
    pub local: Client,
    pub remote: RemoteRegistry,
    local_exchange: Exchange,
    folder: TempDir,
    stop: CancellationToken,
}

/// A registry that is served over plain HTTP on loopback.
pub(super) struct RemoteRegistry {
    pub url: String,
    pub client: Client,
    pub folder: PathBuf,
    /// `METHOD /path` of each request that came over HTTP.
    seen: Arc<Mutex<Vec<String>>>,
    /// Whether blobs' bytes are left unread.
    pub stalls: Arc<AtomicBool>,
    /// Whether manifests are refused as overtaken by a deletion.
    pub has_deleted: Arc<AtomicBool>,
    /// Whether it says that it is [`THERE`].
    pub is_gateway: Arc<AtomicBool>,
}

impl Rig {
    pub(super) async fn new(db: TestDb) -> Self {
        Self::with(db, Config::default()).await
    }

    pub(super) async fn with(db: TestDb, config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let local_exchange = open(&folder.path().join("local"));
        let remote = RemoteRegistry::serve(&folder.path().join("remote"), stop.clone()).await;
        let jobs_config = jobs::Config {
            retry_base_ms: 1,
            poll_ms: 20,
            // No job is taken from a worker that a busy machine keeps waiting.
            lease_seconds: 120,
            ..jobs::Config::default()
        };
        let jobs = Jobs::new((*db).clone(), clock(), jobs_config);
        let parts = Parts {
            config,
            db: (*db).clone(),
            jobs: jobs.clone(),
            clock: clock(),
            sealing: Arc::new(SealingKey::new(&[7; 32]).unwrap()),
            local: local_exchange.clone(),
            connections: registry::Config::default(),
            data_dir: folder.path().to_owned(),
        };
        let replication = Replication::start(parts, &TaskTracker::new(), stop.clone())
            .await
            .unwrap();
        Self {
            local: Client::new(local_exchange.clone()),
            db,
            jobs,
            replication,
            remote,
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
        let runner = Runner::new(self.jobs.clone(), self.replication.handlers());
        tokio::spawn(runner.run(self.stop.clone()));
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

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl RemoteRegistry {
    pub(super) async fn serve(root: &Path, stop: CancellationToken) -> Self {
        let exchange = open(root);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let remote = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            client: Client::new(exchange.clone()),
            folder: root.to_owned(),
            seen: Arc::default(),
            stalls: Arc::default(),
            has_deleted: Arc::default(),
            is_gateway: Arc::new(AtomicBool::new(true)),
        };
        let (seen, stalls) = (Arc::clone(&remote.seen), Arc::clone(&remote.stalls));
        let has_deleted = Arc::clone(&remote.has_deleted);
        let is_gateway = Arc::clone(&remote.is_gateway);
        let service =
            hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let line = format!("{} {}", request.method(), request.uri().path());
                let carries_data = matches!(*request.method(), Method::PUT | Method::PATCH);
                let is_upload = carries_data && line.contains("/uploads/");
                let is_refused = request.method() == Method::PUT
                    && line.contains("/manifests/")
                    && has_deleted.load(Ordering::SeqCst);
                seen.lock().unwrap().push(line);
                let (exchange, stalls) = (exchange.clone(), Arc::clone(&stalls));
                let is_gateway = is_gateway.load(Ordering::SeqCst);
                async move {
                    if is_upload && stalls.load(Ordering::SeqCst) {
                        std::future::pending::<()>().await;
                    }
                    if is_refused {
                        let code = ErrorCode::Superseded;
                        let mut refusal = http::Response::new(Body::from(code.body("deleted")));
                        *refusal.status_mut() = code.status();
                        return Ok(refusal);
                    }
                    let mut answer = exchange.oneshot(request.map(Body::from)).await?;
                    if is_gateway {
                        let there = http::HeaderValue::from_static(THERE);
                        answer.headers_mut().insert(INSTALLATION_HEADER, there);
                    }
                    Ok::<_, ExchangeError>(answer)
                }
            });
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        }));
        remote
    }

    /// Requests since the last call whose line contains `part`.
    pub(super) fn requests(&self, part: &str) -> Vec<String> {
        let mut seen = self.seen.lock().unwrap();
        let lines = std::mem::take(&mut *seen);
        lines
            .into_iter()
            .filter(|line| line.contains(part))
            .collect()
    }

    pub(super) async fn digest(&self, repository: &str, reference: &str) -> Option<Digest> {
        digest_at(&self.client, repository, reference).await
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

/// The installation of the remote registry.
pub(super) const THERE: &str = "fedcba9876543210";

/// A push of `reference`, as a client's.
pub(super) fn push(repository: &str, reference: &str) -> Change {
    Change {
        repository: name(repository),
        kind: ChangeKind::Push {
            reference: reference.parse().unwrap(),
            tags: Vec::new(),
            digest: Digest::sha256(b"whatever"),
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

fn open(root: &Path) -> Exchange {
    let config = embedded::Config {
        durability: embedded::Durability::Cached,
        ..embedded::Config::default()
    };
    std::fs::create_dir_all(root).unwrap();
    embedded::Registry::open_with(root, &config, clock())
        .unwrap()
        .exchange()
}
