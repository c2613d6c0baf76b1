//! The API over real databases, asked as HTTP clients ask it.

mod artifacts;
mod audit_logs;
mod behind;
mod configurations;
mod conventions;
mod executions;
mod garbage;
mod groups;
mod jobs;
mod jobservice;
mod labels;
mod members;
mod openapi;
mod policies;
mod projects;
mod quotas;
mod registries;
mod retentions;
mod robots;
mod system;
mod system_jobs;
mod target;
mod users;
mod walk;
mod webhooks;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, header};
use serde_json::{Value, json};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{Installation, Operation, Parts, Probe, Router};
use crate::{
    audit,
    auth::{self, Auth},
    clock::{SharedClock, SystemClock},
    embedded,
    gc::{self, Gc},
    inventory::{self, Inventory, testing::Direct},
    jobs::{Config as JobsConfig, Handler, Jobs, Runner},
    quota::{self, Quota},
    registry,
    replication::{self, Replication},
    retention::{self, Retention},
    secret::{SealingKey, Secret},
    settings::{self, Settings},
    store::{
        Listing,
        testing::{TestDb, databases},
    },
    webhook::{self, Webhooks},
    wire::{self, Body, Exchange, Peer, RequestId},
};

use behind::Behind;

/// User name and password; `None` is anonymous.
type Who = Option<(&'static str, &'static str)>;

const ADMIN: Who = Some(("admin", "Harbor12345"));
const ALICE: Who = Some(("alice", "Alice12345"));
const BOB: Who = Some(("bob", "Bob123456"));
const NOBODY: Who = None;

/// The API over one fresh database.
struct Api {
    router: Router,
    behind: Behind,
    probe: Arc<Switch>,
    /// The registry behind the gateway.
    local: Exchange,
    records: audit::Log,
    webhooks: Webhooks,
    _stop: DropGuard,
    _files: tempfile::TempDir,
    _db: TestDb,
}

/// The audit trail with its writer running.
fn recording(db: &TestDb, clock: &SharedClock, stop: &CancellationToken) -> audit::Recorder {
    let config = audit::Config::default();
    let (recorder, writer) = audit::Recorder::open((**db).clone(), clock.clone(), &config);
    tokio::spawn(writer.run(stop.clone()));
    recorder
}

/// Replication, retention and webhooks with their jobs, and `more` jobs, running; and quotas.
async fn working(
    parts: replication::Parts,
    (auth, inventory, settings): (&Auth, &Inventory, &Settings),
    more: [Arc<dyn Handler>; 2],
    stop: &CancellationToken,
) -> (Replication, Retention, Webhooks, Quota) {
    let queue = parts.jobs.clone();
    let registry = Arc::new(Direct {
        inventory: inventory.clone(),
        exchange: parts.local.clone(),
    });
    let tasks = TaskTracker::new();
    let webhooks = webhook::Parts {
        config: webhook::Config {
            allowed_networks: vec!["127.0.0.1".to_owned()].try_into().unwrap(),
            ..webhook::Config::default()
        },
        db: parts.db.clone(),
        jobs: parts.jobs.clone(),
        clock: parts.clock.clone(),
        settings: settings.reader(),
        sealing: parts.sealing.clone(),
        local: parts.local.clone(),
        data_dir: parts.data_dir.clone(),
        host: Some("registry.example.com".to_owned()),
        proxies: registry::Proxies::default(),
    };
    let webhooks = Webhooks::start(webhooks, &tasks, stop.clone())
        .await
        .unwrap();
    let quota = Quota::new(quota::Parts {
        config: quota::Config::default(),
        settings: settings.reader(),
        db: parts.db.clone(),
        clock: parts.clock.clone(),
        auth: auth.clone(),
        inventory: inventory.clone(),
        webhooks: webhooks.clone(),
    });
    let retention = Retention::new(retention::Parts {
        config: retention::Config::default(),
        db: parts.db.clone(),
        jobs: parts.jobs.clone(),
        clock: parts.clock.clone(),
        auth: auth.clone(),
        inventory: inventory.clone(),
        registry: registry.clone(),
        webhooks: webhooks.clone(),
    });
    let started = Replication::start(parts, &tasks, stop.clone());
    let replication = started.await.unwrap();
    let handlers = replication.handlers(registry).into_iter();
    let handlers = handlers
        .chain(jobs::handlers())
        .chain(webhooks.handlers())
        .chain([retention.handler()])
        .chain(more);
    let runner = Runner::new(queue, handlers);
    tokio::spawn(runner.run(stop.clone()));
    (replication, retention, webhooks, quota)
}

/// Runs a test on every database at hand.
#[expect(clippy::future_not_send, reason = "each test runs on one thread")]
async fn on_each_database(test: impl AsyncFn(&Api)) {
    for db in databases().await {
        test(&Api::over(db).await).await;
    }
}

impl Api {
    async fn over(db: TestDb) -> Self {
        Self::configured(db, settings::Config::default()).await
    }

    /// With settings that the configuration fixes.
    #[expect(clippy::too_many_lines, reason = "every room is built here once")]
    async fn configured(db: TestDb, fixed: settings::Config) -> Self {
        let clock: SharedClock = Arc::new(SystemClock);
        let config = auth::Config {
            admin_password: Some(Secret::new("Harbor12345")),
            ..auth::Config::default()
        };
        let settings = Settings::open((*db).clone(), fixed).await.unwrap();
        let auth = Auth::with_settings((*db).clone(), clock.clone(), config, settings.reader());
        auth.bootstrap().await.unwrap();
        let stop = CancellationToken::new();
        let files = tempfile::tempdir().unwrap();
        let registry = embedded::Registry::open(files.path(), clock.clone()).unwrap();
        let local = registry.exchange();
        let jobs = Jobs::new((*db).clone(), clock.clone(), JobsConfig::default());
        let index = inventory::Parts {
            db: (*db).clone(),
            clock: clock.clone(),
            registry: local.clone(),
        };
        let tasks = TaskTracker::new();
        let inventory = Inventory::start(index, files.path(), &tasks, stop.clone()).unwrap();
        let parts = replication::Parts {
            config: replication::Config::default(),
            db: (*db).clone(),
            jobs: jobs.clone(),
            clock: clock.clone(),
            sealing: Arc::new(SealingKey::new(&[7; SealingKey::LEN]).unwrap()),
            local: local.clone(),
            inventory: inventory.clone(),
            connections: registry::Config::default(),
            data_dir: files.path().to_owned(),
        };
        let audit = recording(&db, &clock, &stop);
        let direct = Arc::new(Direct {
            inventory: inventory.clone(),
            exchange: local.clone(),
        });
        let probe = Arc::new(Switch::default());
        let certificate = files.path().join("ca.crt");
        std::fs::write(&certificate, "-----BEGIN CERTIFICATE-----").unwrap();
        let purge = audit::Purge::new((*db).clone(), jobs.clone(), clock.clone());
        let gc = Gc::new(gc::Parts {
            config: gc::Config::default(),
            jobs: jobs.clone(),
            clock: clock.clone(),
            settings: settings.reader(),
            inventory: inventory.clone(),
            registry: direct.clone(),
            embedded: Some(registry),
        });
        let more: [Arc<dyn Handler>; 2] = [Arc::new(purge.clone()), Arc::new(gc.clone())];
        let working = working(parts, (&auth, &inventory, &settings), more, &stop);
        let (replication, retention, webhooks, quota) = working.await;
        let router = Router::new(Parts {
            auth,
            settings,
            replication,
            retention,
            quota,
            gc,
            webhooks: webhooks.clone(),
            jobs,
            audit,
            audit_log: audit::Log::new((*db).clone()),
            audit_purge: purge,
            clock,
            inventory: inventory.clone(),
            registry: direct,
            probes: vec![probe.clone()],
            installation: Installation {
                external_url: None,
                ca_certificate: Some(certificate),
                storage: Some(files.path().to_owned()),
            },
            elsewhere: vec![Operation::new("GET", "/service/token", "token", "A token")],
        });
        Self {
            router,
            behind: Behind {
                inventory,
                exchange: local.clone(),
            },
            probe,
            local,
            records: audit::Log::new((*db).clone()),
            webhooks,
            _stop: stop.drop_guard(),
            _files: files,
            _db: db,
        }
    }

    /// What the audit log says was done, oldest first, when it says at least so much.
    async fn acts(&self, count: usize) -> Vec<String> {
        loop {
            let all = &audit::View::Everything;
            let page = self
                .records
                .entries(all, &Listing::default())
                .await
                .unwrap();
            if page.items.len() >= count {
                let entries = page.items.into_iter().rev();
                return entries.map(|entry| entry.description).collect();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn get(&self, path: &str, who: Who) -> Answer {
        self.send(Method::GET, path, who, Value::Null).await
    }

    async fn post(&self, path: &str, who: Who, body: Value) -> Answer {
        self.send(Method::POST, path, who, body).await
    }

    async fn put(&self, path: &str, who: Who, body: Value) -> Answer {
        self.send(Method::PUT, path, who, body).await
    }

    async fn delete(&self, path: &str, who: Who) -> Answer {
        self.send(Method::DELETE, path, who, Value::Null).await
    }

    /// Asks below the API's root, or for a whole path; `null` sends no body.
    async fn send(&self, method: Method, path: &str, who: Who, body: Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(if path.starts_with("/api/") {
                path.to_owned()
            } else {
                format!("/api/v2.0{path}")
            });
        let request = match who {
            None => request,
            Some((name, password)) => {
                let credentials = STANDARD.encode(format!("{name}:{password}"));
                request.header(header::AUTHORIZATION, format!("Basic {credentials}"))
            }
        };
        let request = match body {
            Value::Null => request.body(Body::Empty),
            body => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
        };
        self.ask(request.unwrap()).await
    }

    /// Asks as the listener would.
    async fn ask(&self, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(Peer {
            address: [127, 0, 0, 1].into(),
            scheme: "https",
            host: "registry.example.com:8443".to_owned(),
        });
        let id = RequestId("test".into());
        request.extensions_mut().insert(id);
        let response = self.router.handle(request).await;
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: wire::collect(body, 1 << 20).await.unwrap(),
        }
    }

    /// Makes a user with that name and password and returns the id.
    async fn user(&self, who: Who) -> i64 {
        let (name, password) = who.unwrap();
        let body = json!({"username": name, "password": password, "realname": name});
        self.post("/users", ADMIN, body).await.created("/users/")
    }

    async fn project(&self, name: &str, public: &str) -> i64 {
        let body = json!({"project_name": name, "metadata": {"public": public}});
        self.post("/projects", ADMIN, body)
            .await
            .created("/projects/")
    }

    /// Gives a user a role (Harbor's number) in a project.
    async fn member(&self, project: &str, who: Who, role: i64) -> i64 {
        let body = json!({"role_id": role, "member_user": {"username": who.unwrap().0}});
        let path = format!("/projects/{project}/members");
        let answer = self.post(&path, ADMIN, body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.id()
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        assert_eq!(self.status / 100, 2, "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Where the next page is.
    fn next(&self) -> Option<String> {
        let mut links = self.header("link").split(", ");
        let next = links.find(|link| link.ends_with("rel=\"next\""))?;
        let (path, _) = next.strip_prefix('<')?.split_once('>')?;
        Some(path.to_owned())
    }

    /// One field of each row of a list.
    fn column(&self, field: &str) -> Vec<Value> {
        let rows = self.json();
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row[field].clone()).collect()
    }

    /// The id at the end of `Location`.
    fn id(&self) -> i64 {
        let (_, id) = self.header("location").rsplit_once('/').unwrap();
        id.parse().unwrap()
    }

    /// The id of what was created below `path`.
    fn created(&self, path: &str) -> i64 {
        assert_eq!(self.status, 201, "{self:?}");
        let location = self.header("location");
        assert_eq!(location, format!("/api/v2.0{path}{}", self.id()));
        self.id()
    }

    /// Asserts that this is an error in Harbor's form and returns its message.
    fn refused(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(body["errors"][0]["code"], code, "{body}");
        body["errors"][0]["message"].as_str().unwrap().to_owned()
    }
}

/// Asserts that an object has exactly these fields.
fn assert_fields(object: &Value, fields: &[&str]) {
    let mut found: Vec<_> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut wanted = fields.to_vec();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

/// A component that is ill while its text is set.
#[derive(Debug, Default)]
struct Switch(Mutex<Option<String>>);

impl Probe for Switch {
    fn component(&self) -> &'static str {
        "registry"
    }

    fn check(&self) -> BoxFuture<'_, Result<(), String>> {
        let state = self.0.lock().unwrap().clone();
        Box::pin(async move { state.map_or(Ok(()), Err) })
    }
}
