use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tower::{ServiceExt, util::BoxCloneSyncService};

use super::*;
use crate::{
    auth::{self, Auth, ProjectId, projects::NewProject},
    clock::{SharedClock, SystemClock},
    inventory::{
        Author, Change, Inventory, Registry,
        testing::{Shelf, name},
    },
    jobs::{self, Jobs, NewJob, Runner, Schedules},
    oci::{Reference, Route, media_type},
    registry,
    secret::SealingKey,
    store::{
        Listing,
        testing::{self, databases},
    },
    webhook::{self, Webhooks},
    wire::{Body, Exchange},
};

#[tokio::test]
async fn every_statement_is_valid_on_both_databases() {
    testing::prepare(queries::ALL).await;
}

/// Changes the registry and the index as the proxy and its observer do, with a rule that the tag
/// `gold` is immutable.
#[derive(Debug)]
struct Guarded {
    inventory: Inventory,
    exchange: Exchange,
}

impl Registry for Guarded {
    fn on_behalf_of(&self, _author: &Author) -> Exchange {
        let (inventory, exchange) = (self.inventory.clone(), self.exchange.clone());
        BoxCloneSyncService::new(tower::service_fn(move |request: Request<Body>| {
            let (inventory, exchange) = (inventory.clone(), exchange.clone());
            async move {
                let uri = request.uri().clone();
                let route = Route::parse(request.method(), uri.path(), uri.query()).unwrap();
                let Route::Manifest {
                    name, reference, ..
                } = route
                else {
                    panic!("{uri}");
                };
                let is_immutable = match inventory.artifact(&name, &reference).await {
                    Ok(artifact) => {
                        let tags = inventory.tags_of(&[artifact]).await.unwrap();
                        tags.into_values().flatten().any(|tag| tag.name == "gold")
                    }
                    Err(_) => false,
                };
                if is_immutable && request.method() == Method::DELETE {
                    let mut refusal = Response::new(Body::Empty);
                    *refusal.status_mut() = StatusCode::PRECONDITION_FAILED;
                    return Ok(refusal);
                }
                let answer = exchange.oneshot(request).await?;
                let change = Change {
                    repository: name,
                    reference,
                };
                inventory.look(&change).await.unwrap();
                Ok(answer)
            }
        }))
    }
}

/// Retention with its jobs running, over the projects `team` and `other`.
struct World {
    shelf: Shelf,
    retention: Retention,
    jobs: Jobs,
    auth: Auth,
    project: ProjectId,
    _stop: DropGuard,
}

#[expect(clippy::future_not_send, reason = "each test runs on one thread")]
async fn on_each_database(config: Config, test: impl AsyncFn(&World)) {
    for db in databases().await {
        let shelf = Shelf::over(db).await;
        test(&World::over(shelf, config.clone()).await).await;
    }
}

impl World {
    async fn over(shelf: Shelf, config: Config) -> Self {
        let clock: SharedClock = Arc::new(SystemClock);
        let stop = CancellationToken::new();
        let jobs = Jobs::new(shelf.db.clone(), clock.clone(), jobs::Config::default());
        let auth = Auth::new(shelf.db.clone(), clock.clone(), auth::Config::default());
        let exchange = shelf.embedded.exchange();
        let webhooks = webhook::Parts {
            config: webhook::Config::default(),
            db: shelf.db.clone(),
            jobs: jobs.clone(),
            clock: clock.clone(),
            settings: crate::settings::Reader::default(),
            sealing: Arc::new(SealingKey::new(&[7; SealingKey::LEN]).unwrap()),
            local: exchange.clone(),
            data_dir: shelf.directory.path().to_owned(),
            host: None,
            proxies: registry::Proxies::default(),
        };
        let tasks = TaskTracker::new();
        let webhooks = Webhooks::start(webhooks, &tasks, stop.clone());
        let retention = Retention::new(Parts {
            config,
            db: shelf.db.clone(),
            jobs: jobs.clone(),
            clock,
            auth: auth.clone(),
            inventory: shelf.inventory.clone(),
            registry: Arc::new(Guarded {
                inventory: shelf.inventory.clone(),
                exchange,
            }),
            webhooks: webhooks.await.unwrap(),
        });
        let runner = Runner::new(jobs.clone(), [retention.handler()]);
        tokio::spawn(runner.run(stop.clone()));
        let project = auth.project_named("team").await.unwrap().id;
        Self {
            shelf,
            retention,
            jobs,
            auth,
            project,
            _stop: stop.drop_guard(),
        }
    }

    /// Makes the policy of `team`: what is no longer among the `number` pushed last goes.
    async fn policy(&self, rules: &Value, cron: &str) -> PolicyId {
        let spec = PolicySpec {
            project: self.project,
            rules: serde_json::from_value(rules.clone()).unwrap(),
            cron: cron.to_owned(),
        };
        self.retention.create_policy(&spec).await.unwrap()
    }

    async fn look(&self) {
        let walk = crate::inventory::Walk::default();
        self.shelf.inventory.walk(&walk, |_| {}).await.unwrap();
    }

    async fn ended(&self, policy: PolicyId, id: ExecutionId) -> Execution {
        loop {
            let execution = self.retention.execution(policy, id).await.unwrap();
            if execution.ended_ms.is_some() {
                return execution;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The newest run of a policy, once there are so many.
    async fn newest_of(&self, policy: PolicyId, count: usize) -> Execution {
        let all = Listing::default();
        loop {
            let mut page = self.retention.executions(policy, &all).await.unwrap();
            if page.items.len() == count {
                return page.items.swap_remove(0);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the registry itself says that it has.
    async fn tags(&self, repository: &str) -> BTreeSet<String> {
        let tags = self.shelf.registry.all_tags(&name(repository), 1000).await;
        let tags = tags.unwrap().into_iter();
        tags.map(|tag| tag.to_string()).collect()
    }

    async fn run(&self, policy: PolicyId, mode: Mode) -> (Execution, Vec<Task>) {
        let id = self.retention.run_policy(policy, mode).await.unwrap();
        let execution = self.ended(policy, id).await;
        let all = Listing::default();
        let tasks = self.retention.tasks(policy, id, &all).await.unwrap();
        (execution, tasks.items)
    }
}

fn latest(number: usize) -> Value {
    json!([{"template": "latestPushedK", "params": {"latestPushedK": number}}])
}

fn only(pattern: &str) -> Value {
    json!([{"template": "always", "tag_selectors": [
        {"decoration": "matches", "pattern": pattern, "extras": "{\"untagged\":false}"},
    ]}])
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_run_deletes_what_no_rule_keeps_and_a_dry_run_nothing() {
    on_each_database(Config::default(), async |world| {
        for tag in ["v1", "v2", "gold", "tmp"] {
            world.shelf.push_image("team/app", tag, tag).await;
        }
        let digest = world.shelf.push_image("team/app", "v2-tmp", "v2").await;
        world.shelf.push_image("other/app", "tmp", "x").await;
        world.look().await;
        let policy = world.policy(&only("v?"), "").await;
        let before = world.tags("team/app").await;

        let (dry, tasks) = world.run(policy, Mode::Dry).await;
        assert_eq!((dry.status.as_str(), dry.dry_run), ("Success", true));
        assert_eq!((tasks[0].total, tasks[0].retained), (5, 2));
        assert_eq!(world.tags("team/app").await, before);

        let (real, tasks) = world.run(policy, Mode::Real).await;
        assert_eq!(real.status, "Success");
        assert_eq!((tasks.len(), tasks[0].repository.as_str()), (1, "app"));
        // The immutable tag is counted as kept.
        assert_eq!((tasks[0].total, tasks[0].retained), (5, 3));
        assert_eq!(world.tags("team/app").await, set(&["gold", "v1", "v2"]));
        assert_eq!(world.tags("other/app").await, set(&["tmp"]));
        // The artifact of which one tag went is there.
        let reference = digest.to_string().parse().unwrap();
        let app = name("team/app");
        let held = world.shelf.registry.manifest(&app, &reference).await;
        held.unwrap();
        let log = world.retention.task_log(policy, real.id, tasks[0].id);
        let log = log.await.unwrap();
        let line = |tag: &str| {
            let cell = format!("| {tag} |");
            log.lines().find(|line| line.contains(&cell)).unwrap()
        };
        for (tag, word) in [
            ("v1", "| RETAIN |"),
            ("v2-tmp", "| DEL |"),
            ("tmp", "| DEL |"),
            ("gold", "| IMMUTABLE |"),
        ] {
            assert!(line(tag).ends_with(word), "{log}");
        }
    })
    .await;
}

/// Its pusher was told that it is there.
#[tokio::test]
async fn what_was_pushed_again_by_its_digest_is_the_newest() {
    on_each_database(Config::default(), async |world| {
        let again = world.shelf.push_image("team/app", "", "again").await;
        let newer = world.shelf.push_image("team/app", "", "newer").await;
        for digest in [&again, &newer, &again] {
            world.shelf.tell_of_push("team/app", digest).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        world.look().await;
        let policy = world.policy(&latest(1), "").await;
        world.run(policy, Mode::Real).await;
        for (digest, is_there) in [(again, true), (newer, false)] {
            let reference = Reference::Digest(digest);
            let head = world
                .shelf
                .registry
                .head_manifest(&name("team/app"), &reference)
                .await;
            assert_eq!(head.unwrap().is_some(), is_there);
        }
    })
    .await;
}

#[tokio::test]
async fn an_index_keeps_its_parts_and_a_signature_goes_with_its_subject() {
    on_each_database(Config::default(), async |world| {
        let shelf = &world.shelf;
        let part = shelf.push_image("team/app", "v1-arm", "arm").await;
        let descriptor = |digest: &str| {
            json!({
                "mediaType": media_type::OCI_MANIFEST, "digest": digest, "size": 1,
                "platform": {"os": "linux", "architecture": "arm64"},
            })
        };
        let index = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
            "manifests": [descriptor(part.as_str())],
        });
        shelf.push("team/app", "v1", &index).await;
        let old = shelf.push_image("team/app", "tmp", "old").await;
        let (config, size) = shelf.push_blob("team/app", "{}").await;
        let signature = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "artifactType": "application/vnd.cncf.notary.signature",
            "config": {"mediaType": media_type::OCI_EMPTY, "digest": config, "size": size},
            "layers": [], "subject": {
                "mediaType": media_type::OCI_MANIFEST, "digest": old, "size": 1,
            },
        });
        let signature = shelf.push("team/app", "", &signature).await;
        world.look().await;
        let policy = world.policy(&only("v1"), "").await;
        let (execution, tasks) = world.run(policy, Mode::Real).await;
        assert_eq!(execution.status, "Success");
        assert_eq!((tasks[0].total, tasks[0].retained), (3, 1));
        assert_eq!(world.tags("team/app").await, set(&["v1"]));
        for (digest, is_held) in [(part, true), (old, false), (signature, false)] {
            let reference = digest.to_string().parse().unwrap();
            let found = shelf.registry.manifest(&name("team/app"), &reference).await;
            assert_eq!(found.is_ok(), is_held, "{digest}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_run_is_stopped_between_two_deletions_and_another_waits_for_its_end() {
    let slow = Config {
        deletes_per_second: 1,
    };
    on_each_database(slow, async |world| {
        for number in 0..20 {
            let tag = format!("t{number}");
            world.shelf.push_image("team/app", &tag, &tag).await;
        }
        world.look().await;
        let policy = world.policy(&latest(0), "").await;
        let retention = &world.retention;
        let id = retention.run_policy(policy, Mode::Real).await.unwrap();
        let second = retention.run_policy(policy, Mode::Dry).await;
        assert!(matches!(second, Err(Error::InProgress(live)) if live == id));
        while world.tags("team/app").await.len() == 20 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        retention.stop_execution(policy, id).await.unwrap();
        let stopped = world.ended(policy, id).await;
        assert_eq!(stopped.status, "Stopped");
        assert!(!world.tags("team/app").await.is_empty());
        let tasks = retention.tasks(policy, id, &Listing::default()).await;
        assert_eq!(tasks.unwrap().items[0].status, "Stopped");
        retention.stop_execution(policy, id).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_schedule_runs_its_policy_and_goes_with_it() {
    on_each_database(Config::default(), async |world| {
        for tag in ["v1", "v2"] {
            world.shelf.push_image("team/app", tag, tag).await;
        }
        world.look().await;
        let policy = world.policy(&only("v2"), "0 0 3 * * *").await;
        let schedules = Schedules::new(world.jobs.clone());
        let key = format!("retention/{policy}");
        assert!(schedules.next(&key).await.unwrap().is_some());
        // What a firing enqueues, twice: each is a run of its own.
        for count in 1..=2 {
            let params = json!({"policy": policy, "trigger": run::SCHEDULED});
            let mut tx = world.shelf.db.begin().await.unwrap();
            let job = NewJob::new(run::KIND, key.clone(), params);
            world.jobs.enqueue(&mut tx, job).await.unwrap();
            tx.commit().await.unwrap();
            world.jobs.wake();
            let execution = world.newest_of(policy, count).await;
            let execution = world.ended(policy, execution.id).await;
            assert_eq!(execution.trigger_kind, "Schedule");
            assert_eq!(execution.status, "Success");
        }
        assert_eq!(world.tags("team/app").await, set(&["v2"]));
        let setting = async || {
            let all = world.auth.project_metadata(world.project).await.unwrap();
            all.get("retention_id").cloned()
        };
        assert_eq!(setting().await, Some(policy.to_string()));
        world.retention.forget_project(world.project).await.unwrap();
        assert_eq!(setting().await, None);
        assert!(schedules.next(&key).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_thousand_due_at_once_leave_the_database_to_others() {
    on_each_database(Config::default(), async |world| {
        world.look().await;
        let admin = world.auth.principal("admin").await.unwrap().unwrap();
        let mut jobs = Vec::new();
        for number in 0..1000 {
            let project = NewProject {
                name: format!("due-{number}"),
                ..NewProject::default()
            };
            let spec = PolicySpec {
                project: world.auth.create_project(&admin, project).await.unwrap(),
                rules: serde_json::from_value(latest(1)).unwrap(),
                cron: String::new(),
            };
            let policy = world.retention.create_policy(&spec).await.unwrap();
            let params = json!({"policy": policy, "trigger": run::SCHEDULED});
            jobs.push(NewJob::new(
                run::KIND,
                format!("retention/{policy}"),
                params,
            ));
        }
        let mut tx = world.shelf.db.begin().await.unwrap();
        world.jobs.enqueue_all(&mut tx, &jobs).await.unwrap();
        tx.commit().await.unwrap();
        world.jobs.wake();
        loop {
            let began = Instant::now();
            world.auth.project_named("team").await.unwrap();
            let waited = began.elapsed();
            assert!(waited < Duration::from_secs(2), "{waited:?}");
            if world.jobs.live(&jobs).await.unwrap().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let last = PolicyId(1000);
        assert_eq!(world.newest_of(last, 1).await.status, "Success");
    })
    .await;
}
