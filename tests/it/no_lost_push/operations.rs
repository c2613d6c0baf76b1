use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::driver::{World, digest};
use crate::harness::{Http, Parcel};

/// What is done while the process waits to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    PushByTag,
    PushByDigest,
    /// `?tag=` twice.
    PushWithTags,
    PushIndex,
    PushReferrer,
    DeleteTag,
    DeleteDigest,
    /// Of blobs that the mirror has in another repository.
    PushMounted,
    /// The registry says no.
    RefusedPush,
    /// A start after a death when the registry had answered.
    RecoverAnswered,
    /// A start after a death when the registry had nothing.
    RecoverRecorded,
    /// A start after a death in a job.
    RecoverRunning,
    /// A start with changes in the file.
    RecoverSpilled,
    /// A push while intents cannot be written.
    Spill,
    ManualRun,
    ScheduledRun,
    StopRun,
    MakePolicy,
    DisablePolicy,
}

/// What an operation is about; no two share anything.
#[derive(Debug)]
pub struct Subject {
    pub operation: Operation,
    pub repository: String,
    /// What the mirror must have as the registry has it. Not the digest of what is pushed by tag:
    /// a registry that dies may keep a manifest and not its tag.
    pub references: Vec<String>,
    name: String,
    image: Parcel,
}

type Performed = Result<(), ()>;

impl Subject {
    pub fn new(operation: Operation, number: usize) -> Self {
        let suffix = match operation {
            Operation::ManualRun => "-manual",
            Operation::ScheduledRun => "-scheduled",
            _ => "",
        };
        let name = format!("case{number}{suffix}");
        let image = match operation {
            Operation::PushIndex => Parcel::index(&children(&name)),
            Operation::PushReferrer => Parcel::referrer(&name, &Parcel::new(&name)),
            _ => Parcel::new(&name),
        };
        let by_digest = image.digest();
        let references: &[&str] = match operation {
            Operation::PushByDigest => &[&by_digest],
            Operation::PushWithTags => &["a", "b", &by_digest],
            Operation::PushReferrer => &["v1", &by_digest],
            Operation::DeleteTag | Operation::DeleteDigest => &["v1", "v2", &by_digest],
            _ => &["v1"],
        };
        Self {
            operation,
            repository: format!("team/{name}"),
            references: references.iter().map(|&text| text.to_owned()).collect(),
            name,
            image,
        }
    }

    fn put(&self, reference: &str) -> Put<'_> {
        Put {
            repository: &self.repository,
            reference: reference.to_owned(),
            image: &self.image,
        }
    }

    /// The policy of an operation that has one of its own.
    fn policy(&self, world: &World, is_enabled: bool) -> Value {
        json!({
            "name": format!("of-{}", self.name), "dest_registry": { "id": world.doomed },
            "trigger": { "type": "manual" }, "enabled": is_enabled, "override": true,
            "filters": [{ "type": "name", "value": self.repository }],
        })
    }
}

impl Operation {
    /// Those of the matrix.
    pub const PUSHES_AND_DELETES: [Self; 7] = [
        Self::PushByTag,
        Self::PushByDigest,
        Self::PushWithTags,
        Self::PushIndex,
        Self::PushReferrer,
        Self::DeleteTag,
        Self::DeleteDigest,
    ];

    /// Pushes what must be there before.
    pub async fn push_before(self, world: &World, subject: &Subject) -> Performed {
        let admin = world.admin();
        let tags: &[&str] = match self {
            Self::DeleteTag | Self::DeleteDigest | Self::DisablePolicy => &["v1", "v2"],
            Self::ManualRun | Self::ScheduledRun | Self::StopRun => &["v1"],
            _ => &[],
        };
        for tag in tags {
            subject.put(tag).send(&admin).await?;
        }
        match self {
            Self::PushReferrer => {
                let put = Put {
                    image: &Parcel::new(&subject.name),
                    ..subject.put("v1")
                };
                put.send(&admin).await
            }
            Self::PushMounted => {
                let put = Put {
                    repository: &format!("{}/elsewhere", subject.repository),
                    ..subject.put("v1")
                };
                put.send(&admin).await
            }
            _ => Ok(()),
        }
    }

    /// Makes what must be there before, in a process that does not die.
    pub async fn prepare(self, world: &mut World, subject: &Subject) {
        self.push_before(world, subject).await.unwrap();
        match self {
            Self::RecoverAnswered => die(world, subject, "proxy.upstream_answered").await,
            Self::RecoverRecorded => die(world, subject, "replication.record_after_commit").await,
            Self::RecoverRunning => die(world, subject, "jobs.claimed").await,
            Self::RecoverSpilled => {
                world.ledger.hide_intents().await;
                subject.put("v1").send(&world.admin()).await.unwrap();
                world.gateway.kill();
                world.ledger.show_intents().await;
            }
            _ => {}
        }
        if !self.is_recovery() {
            world.until_prepared(subject).await;
        }
        if matches!(self, Self::StopRun | Self::DisablePolicy) {
            let policy = world.add_policy(&subject.policy(world, true)).await;
            if self == Self::DisablePolicy {
                start(&world.admin(), policy).await.unwrap();
                until_waiting(world, 2).await;
            }
        }
    }

    /// Does it in the process that is to die, which the recoveries need nobody to do anything for.
    pub async fn perform_to_die(self, world: &World, subject: &Subject) -> Performed {
        if self.is_recovery() {
            return Ok(());
        }
        self.perform(world, subject).await
    }

    /// Does it; `Err` when the gateway does not answer, or not well.
    pub async fn perform(self, world: &World, subject: &Subject) -> Performed {
        let admin = world.admin();
        match self {
            Self::PushByDigest | Self::PushReferrer => {
                subject.put(&subject.image.digest()).send(&admin).await
            }
            Self::PushWithTags => {
                let reference = format!("{}?tag=a&tag=b", subject.image.digest());
                subject.put(&reference).send(&admin).await
            }
            Self::PushIndex => {
                for child in children(&subject.name) {
                    let put = Put {
                        image: &child,
                        ..subject.put(&child.digest())
                    };
                    put.send(&admin).await?;
                }
                subject.put("v1").send(&admin).await
            }
            Self::DeleteTag => delete(&admin, &subject.repository, "v1").await,
            Self::DeleteDigest => {
                delete(&admin, &subject.repository, &subject.image.digest()).await
            }
            Self::RefusedPush => {
                let put = subject.put("v1").manifest(&admin).await?;
                (400..500).contains(&put).then_some(()).ok_or(())
            }
            Self::Spill => {
                world.ledger.hide_intents().await;
                subject.put("v1").send(&admin).await
            }
            Self::ManualRun => start(&admin, world.manual).await,
            Self::ScheduledRun => {
                let key = format!("policy/{}", world.scheduled);
                let due = format!("update schedules set next_ms = 1 where key = '{key}'");
                world.ledger.run(&due).await;
                Ok(())
            }
            Self::StopRun => stop(&admin, policy_of(&admin, subject).await?).await,
            Self::MakePolicy => {
                let path = "/api/v2.0/replication/policies";
                request(&admin, Method::POST, path, &subject.policy(world, true)).await
            }
            Self::DisablePolicy => {
                let policy = policy_of(&admin, subject).await?;
                let path = format!("/api/v2.0/replication/policies/{policy}");
                request(&admin, Method::PUT, &path, &subject.policy(world, false)).await
            }
            _ => subject.put("v1").send(&admin).await,
        }
    }

    /// Ends what the operation has changed beside the gateway.
    pub async fn clear_up(self, world: &World) {
        if self == Self::Spill {
            world.ledger.show_intents().await;
        }
    }

    /// Whether everything it means has happened.
    pub async fn is_done(self, world: &World, subject: &Subject) -> bool {
        let (here, there) = (world.admin(), world.target.admin());
        let wanted = Some(subject.image.digest());
        match self {
            Self::DeleteTag => {
                let kept = digest(&here, &subject.repository, "v2").await;
                digest(&here, &subject.repository, "v1").await.is_none() && kept == wanted
            }
            Self::DeleteDigest => {
                let reference = subject.image.digest();
                digest(&here, &subject.repository, &reference)
                    .await
                    .is_none()
            }
            Self::PushByDigest | Self::PushReferrer => {
                let reference = subject.image.digest();
                digest(&here, &subject.repository, &reference).await == wanted
            }
            Self::PushWithTags => digest(&here, &subject.repository, "b").await == wanted,
            Self::RefusedPush => true,
            Self::ManualRun | Self::ScheduledRun => {
                let project = match self {
                    Self::ManualRun => "manual",
                    _ => "scheduled",
                };
                let copy = format!("{project}/{}", subject.name);
                digest(&there, &copy, "v1").await == wanted
            }
            Self::StopRun => {
                let Ok(policy) = policy_of(&here, subject).await else {
                    return false;
                };
                let all = executions(&here, policy).await.unwrap_or_default();
                !all.is_empty() && all.iter().all(|one| one["status"] != "InProgress")
            }
            Self::MakePolicy => policy_of(&here, subject).await.is_ok(),
            Self::DisablePolicy => {
                const LIVE: &str = "select count(*) from jobs where finished_ms is null";
                world.ledger.count(LIVE).await == 0
            }
            _ => digest(&here, &subject.repository, "v1").await == wanted,
        }
    }

    /// Whether everything comes to rest without the client's doing it again.
    pub fn rests_by_itself(self) -> bool {
        !matches!(self, Self::StopRun | Self::DisablePolicy)
    }

    /// Whether it is the start of a process that is to die.
    fn is_recovery(self) -> bool {
        matches!(
            self,
            Self::RecoverAnswered
                | Self::RecoverRecorded
                | Self::RecoverRunning
                | Self::RecoverSpilled
        )
    }
}

/// Pushes in a process that dies at `point`.
async fn die(world: &mut World, subject: &Subject, point: &str) {
    world.gateway.kill();
    assert!(world.gateway.start_to_die_at(point).await, "{point}");
    // The client may or may not hear of it.
    let _whatever_it_heard = subject.put("v1").send(&world.admin()).await;
    world.gateway.process().wait().await;
}

/// A manifest PUT to come, with the blobs before it.
struct Put<'a> {
    repository: &'a str,
    reference: String,
    image: &'a Parcel,
}

impl Put<'_> {
    async fn send(&self, registry: &Http) -> Performed {
        for blob in &self.image.blobs {
            self.blob(registry, blob).await?;
        }
        (self.manifest(registry).await? == 201)
            .then_some(())
            .ok_or(())
    }

    async fn blob(&self, registry: &Http, content: &str) -> Performed {
        let put = Parcel::put_blob(registry, self.repository, content).await;
        (put.map_err(drop)?.status == 201).then_some(()).ok_or(())
    }

    /// The status of the manifest's PUT.
    async fn manifest(&self, registry: &Http) -> Result<u16, ()> {
        let put = self
            .image
            .put_manifest(registry, self.repository, &self.reference);
        Ok(put.await.map_err(drop)?.status.as_u16())
    }
}

fn children(name: &str) -> [Parcel; 2] {
    ["one", "two"].map(|child| Parcel::new(&format!("{child} of {name}")))
}

async fn delete(registry: &Http, repository: &str, reference: &str) -> Performed {
    let path = format!("/v2/{repository}/manifests/{reference}");
    let deleted = registry.try_send(Method::DELETE, &path, &[], Bytes::new());
    (deleted.await.map_err(drop)?.status == 202)
        .then_some(())
        .ok_or(())
}

async fn request(admin: &Http, method: Method, path: &str, body: &Value) -> Performed {
    let headers = [("content-type", "application/json")];
    let answer = admin.try_send(method, path, &headers, body.to_string().into());
    answer
        .await
        .map_err(drop)?
        .status
        .is_success()
        .then_some(())
        .ok_or(())
}

async fn read(admin: &Http, path: &str) -> Result<Vec<Value>, ()> {
    let answer = admin.try_send(Method::GET, path, &[], Bytes::new());
    let answer = answer.await.map_err(drop)?;
    let list = (answer.status == 200).then(|| answer.json());
    list.and_then(|list| list.as_array().cloned()).ok_or(())
}

async fn policy_of(admin: &Http, subject: &Subject) -> Result<i64, ()> {
    let path = format!("/api/v2.0/replication/policies?name=of-{}", subject.name);
    let found = read(admin, &path).await?;
    let named = |policy: &&Value| policy["name"] == format!("of-{}", subject.name);
    let policy = found.iter().find(named);
    policy.and_then(|policy| policy["id"].as_i64()).ok_or(())
}

async fn executions(admin: &Http, policy: i64) -> Result<Vec<Value>, ()> {
    let path = format!("/api/v2.0/replication/executions?policy_id={policy}");
    read(admin, &path).await
}

async fn start(admin: &Http, policy: i64) -> Performed {
    let body = json!({ "policy_id": policy });
    request(
        admin,
        Method::POST,
        "/api/v2.0/replication/executions",
        &body,
    )
    .await
}

/// Starts a run unless there is one, waits for its task, and stops what is in progress.
async fn stop(admin: &Http, policy: i64) -> Performed {
    if executions(admin, policy).await?.is_empty() {
        start(admin, policy).await?;
    }
    while executions(admin, policy).await?[0]["total"] == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for execution in executions(admin, policy).await? {
        if execution["status"] == "InProgress" {
            let path = format!("/api/v2.0/replication/executions/{}", execution["id"]);
            request(admin, Method::PUT, &path, &json!({})).await?;
        }
    }
    Ok(())
}

/// Waits until so many jobs wait for the registry that has no server.
async fn until_waiting(world: &World, jobs: i64) {
    const WAITING: &str = "select count(*) from jobs where state = 'retry' and target is not null";
    crate::harness::until("the copies wait for their registry", async || {
        (world.ledger.count(WAITING).await == jobs).then_some(())
    })
    .await;
}
