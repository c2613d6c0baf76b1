//! Webhooks over real databases, with their jobs running and a receiver on loopback.

mod receiver;

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpListener};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{
    Config, Event, EventType, Execution, NewTarget, Parts, PolicyId, PolicySpec, Resource, Task,
    Webhooks, outbox::Outbox,
};
use crate::{
    auth::{self, Auth, ProjectId, projects::NewProject},
    clock::{SharedClock, SystemClock},
    embedded,
    jobs::{self, Jobs, Runner},
    registry::{Client, Proxies},
    secret::{SealingKey, Secret},
    settings,
    store::{
        Listing,
        testing::{TestDb, databases},
    },
};

use receiver::{ANSWER, Receiver, odd};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Webhooks of the project `team`, not yet started.
struct World {
    db: TestDb,
    project: ProjectId,
    config: Config,
    settings: settings::Reader,
    registry: embedded::Registry,
    files: tempfile::TempDir,
}

/// One life of a process.
struct Life {
    webhooks: Webhooks,
    _stop: DropGuard,
}

/// Runs a test on every database at hand.
#[expect(clippy::future_not_send, reason = "each test runs on one thread")]
async fn on_each_database(test: impl AsyncFn(World)) {
    for db in databases().await {
        test(World::over(db).await).await;
    }
}

fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

impl World {
    async fn over(db: TestDb) -> Self {
        let config = auth::Config {
            admin_password: Some(Secret::new("Harbor12345")),
            ..auth::Config::default()
        };
        let auth = Auth::new((*db).clone(), clock(), config);
        auth.bootstrap().await.unwrap();
        let admin = Secret::new("Harbor12345");
        let admin = auth.login([127, 0, 0, 1].into(), "admin", &admin);
        let new = NewProject {
            name: "team".to_owned(),
            metadata: [("public".to_owned(), "true".to_owned())].into(),
            storage_limit: None,
        };
        let project = auth
            .create_project(&admin.await.unwrap(), new)
            .await
            .unwrap();
        let files = tempfile::tempdir().unwrap();
        Self {
            db,
            project,
            config: Config {
                allow_private_addresses: true,
                ..Config::default()
            },
            settings: settings::Reader::default(),
            registry: embedded::Registry::open(files.path(), clock()).unwrap(),
            files,
        }
    }

    async fn start(&self) -> Life {
        let db = (*self.db).clone();
        let jobs = jobs::Config {
            poll_ms: 10,
            heartbeat_ms: 10,
            retry_base_ms: 10,
            ..jobs::Config::default()
        };
        let jobs = Jobs::new(db.clone(), clock(), jobs);
        let parts = Parts {
            config: self.config.clone(),
            db,
            jobs: jobs.clone(),
            clock: clock(),
            settings: self.settings.clone(),
            sealing: Arc::new(SealingKey::new(&[7; SealingKey::LEN]).unwrap()),
            local: self.registry.exchange(),
            data_dir: self.files.path().to_owned(),
            host: Some("registry.example.com".to_owned()),
            proxies: Proxies::default(),
        };
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let started = Webhooks::start(parts, &tasks, stop.clone());
        let webhooks = started.await.unwrap();
        tokio::spawn(Runner::new(jobs, webhooks.handlers()).run(stop.clone()));
        Life {
            webhooks,
            _stop: stop.drop_guard(),
        }
    }

    /// What an earlier life of the process has left.
    fn outbox(&self) -> Outbox {
        let path = self.files.path().join("webhook-events.jsonl");
        Outbox::open(path, 100, clock().now()).unwrap()
    }
}

fn target(address: &str) -> NewTarget {
    NewTarget {
        notify_type: "http".to_owned(),
        address: address.to_owned(),
        format: String::new(),
        skip_cert_verify: false,
        auth_header: Some(Secret::new("Bearer t0ken")),
        secret: Some(Secret::new(SECRET)),
    }
}

fn policy(targets: Vec<NewTarget>) -> PolicySpec {
    PolicySpec {
        name: "tell".to_owned(),
        description: String::new(),
        enabled: true,
        event_types: vec!["PUSH_ARTIFACT".to_owned(), "DELETE_ARTIFACT".to_owned()],
        targets,
    }
}

fn push(tag: &str, digest: &str) -> Event {
    let mut event = Event::new(EventType::PushArtifact, "team", "alice", clock().now());
    event.repository = Some("team/deep/app".parse().unwrap());
    event.resources.push(Resource {
        digest: Some(digest.to_owned()),
        tag: Some(tag.to_owned()),
    });
    event
}

impl Life {
    async fn policy(&self, world: &World, targets: Vec<NewTarget>) -> PolicyId {
        let spec = policy(targets);
        let made = self.webhooks.create_policy(world.project, "admin", &spec);
        made.await.unwrap()
    }

    async fn executions(&self, policy: PolicyId) -> i64 {
        let listing = Listing::default();
        let all = self.webhooks.executions(policy, &listing);
        all.await.unwrap().total
    }

    /// The newest execution once it has this status, with its tasks.
    async fn until(&self, policy: PolicyId, status: &str) -> (Execution, Vec<Task>) {
        for _ in 0..2000 {
            let listing = Listing::default();
            let all = self.webhooks.executions(policy, &listing);
            let newest = all.await.unwrap().items.into_iter().next();
            if let Some(execution) = newest.filter(|execution| execution.status == status) {
                let listing = Listing::default();
                let tasks = self.webhooks.tasks(policy, execution.id, &listing);
                return (execution, tasks.await.unwrap().items);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no execution became {status}");
    }

    /// The only task of the newest execution once its message has this text.
    async fn until_told(&self, policy: PolicyId, text: &str) -> Task {
        for _ in 0..2000 {
            let listing = Listing::default();
            let all = self.webhooks.executions(policy, &listing).await.unwrap();
            if let Some(execution) = all.items.first() {
                let tasks = self.webhooks.tasks(policy, execution.id, &listing);
                let task = tasks.await.unwrap().items.remove(0);
                if task.message.contains(text) {
                    return task;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no message became {text}");
    }
}

#[tokio::test]
async fn every_statement_is_valid_on_both_databases() {
    crate::store::testing::prepare(super::queries::ALL).await;
}

#[tokio::test]
async fn an_event_is_delivered_with_its_signature_and_authorization() {
    on_each_database(async |world| {
        let (receiver, life) = (Receiver::answering(&[]).await, world.start().await);
        let address = format!("{}/hook?key=1", receiver.address);
        let policy = life.policy(&world, vec![target(&address)]).await;
        let event = push("v1", "sha256:abc");
        life.webhooks.fire(event.clone());
        // Told twice under one id, and of no interest to the policy.
        life.webhooks.fire(event.clone());
        life.webhooks.fire(Event::new(
            EventType::PullArtifact,
            "team",
            "bob",
            clock().now(),
        ));
        life.webhooks.fire(Event::new(
            EventType::PushArtifact,
            "other",
            "bob",
            clock().now(),
        ));
        let heard = receiver.next().await;
        assert_eq!(heard.path, "/hook?key=1");
        assert!(heard.is_signed_with(SECRET), "{heard:?}");
        assert!(!heard.is_signed_with("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
        assert_eq!(heard.header("authorization"), "Bearer t0ken");
        assert_eq!(heard.header("webhook-id"), event.id);
        assert_eq!(heard.header("content-type"), "application/json");
        let body = heard.json();
        assert_eq!(body["event_data"]["repository"]["repo_type"], "public");
        assert_eq!(body["event_data"]["resources"][0]["tag"], "v1");
        let (execution, tasks) = life.until(policy, "Success").await;
        assert_eq!((execution.total, execution.succeed, tasks.len()), (1, 1, 1));
        let log = life.webhooks.task_log(policy, execution.id, tasks[0].id);
        let log = log.await.unwrap();
        assert!(
            log.contains("answered 200") && !log.contains("key=1"),
            "{log}"
        );
        assert_eq!(life.executions(policy).await, 1);
        assert!(!receiver.has_more().await);
    })
    .await;
}

#[tokio::test]
async fn a_refused_delivery_is_tried_again_with_the_same_bytes() {
    on_each_database(async |world| {
        let (receiver, life) = (Receiver::answering(&[500, 302]).await, world.start().await);
        let policy = life.policy(&world, vec![target(&receiver.address)]).await;
        life.webhooks.fire(push("v1", "sha256:abc"));
        let tries = [
            receiver.next().await,
            receiver.next().await,
            receiver.next().await,
        ];
        for heard in &tries {
            assert_eq!(heard.path, "/");
            assert_eq!(heard.body, tries[0].body);
            assert_eq!(heard.header("webhook-id"), tries[0].header("webhook-id"));
            assert!(heard.is_signed_with(SECRET));
        }
        let (execution, tasks) = life.until(policy, "Success").await;
        assert_eq!(tasks[0].run_count, 3);
        let log = life.webhooks.task_log(policy, execution.id, tasks[0].id);
        let log = log.await.unwrap();
        assert!(
            log.contains("answered 500") && log.contains("redirects are not followed"),
            "{log}"
        );
        assert!(!receiver.has_more().await);
    })
    .await;
}

/// A receiver may be an inner service: its status is shown, what it says is not.
#[tokio::test]
async fn what_a_receiver_says_is_shown_to_nobody() {
    on_each_database(async |mut world| {
        world.config.max_attempts = 1;
        let life = world.start().await;
        for (status, ended) in [(200, "Success"), (403, "Error")] {
            let receiver = Receiver::answering(&[status]).await;
            let mut spec = policy(vec![target(&receiver.address)]);
            spec.name = format!("tell-{status}");
            let made = life.webhooks.create_policy(world.project, "admin", &spec);
            let policy = made.await.unwrap();
            life.webhooks.fire(push("v1", "sha256:abc"));
            let (execution, tasks) = life.until(policy, ended).await;
            let log = life.webhooks.task_log(policy, execution.id, tasks[0].id);
            let shown = format!("{execution:?} {tasks:?} {}", log.await.unwrap());
            assert!(shown.contains(&format!("answered {status}")), "{shown}");
            assert!(!shown.contains(ANSWER), "{shown}");
            assert!(!shown.contains("elsewhere"), "{shown}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_is_silent_or_never_ends_is_given_up() {
    on_each_database(async |mut world| {
        world.config.timeout_seconds = 1;
        let life = world.start().await;
        let silent = odd(|stream| async move {
            let _open = stream;
            std::future::pending::<()>().await;
        })
        .await;
        let drop_by_drop = odd(|mut stream| async move {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
            stream.write_all(head).await.unwrap();
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        for (name, address) in [("silent", silent), ("slow", drop_by_drop)] {
            let mut spec = policy(vec![target(&address)]);
            spec.name = name.to_owned();
            let made = life.webhooks.create_policy(world.project, "admin", &spec);
            let policy = made.await.unwrap();
            life.webhooks.fire(push("v1", "sha256:abc"));
            life.until_told(policy, "has not answered within 1 s").await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_without_end_is_read_so_far_only() {
    on_each_database(async |world| {
        let life = world.start().await;
        let endless = odd(|mut stream| async move {
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head).await.unwrap();
            let chunk = [&b"1000\r\n"[..], &[b'x'; 0x1000], b"\r\n"].concat();
            while stream.write_all(&chunk).await.is_ok() {}
        })
        .await;
        let policy = life.policy(&world, vec![target(&endless)]).await;
        life.webhooks.fire(push("v1", "sha256:abc"));
        let (_, tasks) = life.until(policy, "Success").await;
        assert_eq!(tasks[0].run_count, 1);
    })
    .await;
}

#[tokio::test]
async fn what_the_death_of_the_process_left_is_delivered_by_the_next_start() {
    on_each_database(async |world| {
        let receiver = Receiver::answering(&[]).await;
        let life = world.start().await;
        let policy = life.policy(&world, vec![target(&receiver.address)]).await;
        drop(life);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [],
        });
        let media_type = "application/vnd.oci.image.index.v1+json";
        let name = "team/deep/app".parse().unwrap();
        let client = Client::new(world.registry.exchange());
        let bytes = manifest.to_string().into();
        let reference = "there".parse().unwrap();
        let put = client.put_manifest(&name, &reference, media_type, bytes);
        let digest = put.await.unwrap().digest.to_string();
        let outbox = world.outbox();
        assert!(outbox.add(push("answered", "sha256:abc")));
        outbox.begin(push("absent", &digest)).unwrap();
        outbox.begin(push("there", &digest)).unwrap();
        drop(outbox);

        let life = world.start().await;
        let tags = [receiver.next().await, receiver.next().await];
        let mut tags = tags.map(|heard| heard.json()["event_data"]["resources"][0]["tag"].clone());
        tags.sort_by_key(ToString::to_string);
        assert_eq!(tags, ["answered", "there"]);
        life.until(policy, "Success").await;
        assert_eq!(life.executions(policy).await, 2);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_sent_to_private_addresses_unless_they_are_allowed() {
    on_each_database(async |mut world| {
        world.config = Config::default();
        let (receiver, life) = (Receiver::answering(&[]).await, world.start().await);
        let spec = policy(vec![target(&receiver.address)]);
        let refused = life.webhooks.create_policy(world.project, "admin", &spec);
        let error = refused.await.unwrap_err();
        assert!(
            error.to_string().contains("127.0.0.1 is not a public"),
            "{error}"
        );
        // What a name means is known only when something is sent.
        let by_name = receiver.address.replace("127.0.0.1", "localhost");
        let policy = life.policy(&world, vec![target(&by_name)]).await;
        life.webhooks.fire(push("v1", "sha256:abc"));
        let (execution, tasks) = life.until(policy, "Error").await;
        assert!(
            tasks[0].message.contains("is not a public address"),
            "{tasks:?}"
        );
        assert_eq!((tasks[0].run_count, execution.failed), (1, 1));
        assert!(!receiver.has_more().await);
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_is_away_keeps_no_other_waiting() {
    on_each_database(async |world| {
        let (receiver, life) = (Receiver::answering(&[]).await, world.start().await);
        let away = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", away.local_addr().unwrap());
        drop(away);
        let slack = NewTarget {
            notify_type: "slack".to_owned(),
            ..target(&address)
        };
        let targets = vec![target(&address), target(&receiver.address), slack];
        let policy = life.policy(&world, targets).await;
        for tag in ["v1", "v2", "v3"] {
            life.webhooks.fire(push(tag, "sha256:abc"));
            let heard = receiver.next().await.json();
            assert_eq!(heard["event_data"]["resources"][0]["tag"], tag);
        }
        let (execution, tasks) = life.until(policy, "Running").await;
        assert_eq!(execution.body, tasks[0].body, "it shows its first target");
        assert_ne!(execution.body, tasks[2].body);
        life.webhooks
            .delete_policy(world.project, policy)
            .await
            .unwrap();
        let gone = life.webhooks.policy(world.project, policy).await;
        assert!(gone.is_err());
        let listing = Listing::default();
        let left = life.webhooks.shared.jobs.page(None, &listing);
        let left = left.await.unwrap().items;
        let waiting = left.iter().filter(|job| job.finished.is_none());
        assert_eq!(waiting.count(), 0, "{left:?}");
    })
    .await;
}

#[tokio::test]
async fn the_switch_in_the_settings_keeps_events_from_every_policy() {
    on_each_database(async |world| {
        let life = world.start().await;
        let kind = EventType::PushArtifact;
        life.policy(&world, vec![target("http://127.0.0.1:9/hook")])
            .await;
        assert!(life.webhooks.wants("team", kind));
        world.settings.set(settings::Values {
            notification_enable: false,
            ..settings::Values::default()
        });
        assert!(!life.webhooks.wants("team", kind) && !life.webhooks.is_wanted_anywhere(kind));
    })
    .await;
}
