use std::time::Duration;

use serde_json::json;

use super::{
    operations::{Operation, Subject},
    report::Seen,
};
use crate::harness::{Database, Gateway, Http, Ledger, Options, PASSWORD, until};

/// A gateway that is killed again and again, and the registry it mirrors to.
pub struct World {
    pub gateway: Gateway,
    pub target: Gateway,
    pub ledger: Ledger,
    /// The registry `doomed` has no server: what goes there waits.
    pub doomed: i64,
    pub mirror: i64,
    /// Policies that run by hand and by schedule.
    pub manual: i64,
    pub scheduled: i64,
    cases: usize,
}

impl World {
    /// No blob goes ahead of its manifest, so that the jobs have something to copy.
    pub async fn new(database: Database) -> Self {
        Self::with(database, "tee = false").await
    }

    /// Blobs go ahead, however slow the machine is.
    pub async fn teeing(database: Database) -> Self {
        Self::with(database, "tee_idle_seconds = 600").await
    }

    /// `tee` is a line of the section `[replication]`.
    async fn with(database: Database, tee: &str) -> Self {
        let target = Gateway::start().await;
        let gateway = Gateway::with(Options {
            database: Some(database),
            extra: format!("{QUICK}[replication]\n{tee}\n{SETTLING}"),
            ..Options::default()
        })
        .await;
        gateway.create_project("team").await;
        for project in ["team", "manual", "scheduled"] {
            target.create_project(project).await;
        }
        let ledger = Ledger::of(&gateway);
        let mut world = Self {
            gateway,
            target,
            ledger,
            doomed: 0,
            mirror: 0,
            manual: 0,
            scheduled: 0,
            cases: 0,
        };
        world.set_up().await;
        world
    }

    async fn set_up(&mut self) {
        let mirror = self.add_registry("mirror").await;
        self.doomed = self.add_registry("doomed").await;
        self.ledger
            .run("update registries set url = 'http://127.0.0.1:1' where name = 'doomed'")
            .await;
        let event = json!({
            "name": "to-mirror", "dest_registry": { "id": mirror }, "enabled": true,
            "trigger": { "type": "event_based" }, "override": true, "deletion": true,
        });
        self.mirror = self.add_policy(&event).await;
        for name in ["manual", "scheduled"] {
            let policy = json!({
                "name": name, "dest_registry": { "id": mirror }, "enabled": true, "override": true,
                "trigger": {
                    "type": name,
                    "trigger_settings": { "cron": if name == "manual" { "" } else { YEARLY } },
                },
                "filters": [{ "type": "name", "value": format!("team/*-{name}") }],
                "dest_namespace": name, "dest_namespace_replace_count": 1,
            });
            let id = self.add_policy(&policy).await;
            if name == "manual" {
                self.manual = id;
            } else {
                self.scheduled = id;
            }
        }
    }

    async fn add_registry(&self, name: &str) -> i64 {
        let registry = json!({
            "name": name, "type": "docker-registry", "url": self.target.url(), "insecure": true,
            "credential": { "type": "basic", "access_key": "admin", "access_secret": PASSWORD },
        });
        let made = self.admin().post("/api/v2.0/registries", &registry).await;
        made.expect(201).id()
    }

    pub async fn add_policy(&self, policy: &serde_json::Value) -> i64 {
        let path = "/api/v2.0/replication/policies";
        self.admin().post(path, policy).await.expect(201).id()
    }

    pub fn admin(&self) -> Http {
        self.gateway.admin()
    }

    /// Runs the operation in a process that dies at `point`, restarts it, and shows that all is
    /// well. Where it is certain to get there it must die.
    pub async fn kill_at(&mut self, point: &str, operation: Operation, is_certain: bool) -> Seen {
        self.cases += 1;
        let subject = Subject::new(operation, self.cases);
        let case = format!("{point} during {operation:?} of {}", subject.repository);
        operation.prepare(self, &subject).await;
        self.gateway.kill();
        let mut performed = Err(());
        if self.gateway.start_to_die_at(point).await {
            performed = operation.perform_to_die(self, &subject).await;
        }
        let killed = self.until_dead(&case, &subject, performed.is_ok(), is_certain);
        let seen = killed.await;
        operation.clear_up(self).await;
        // Where it has not come by, the next case might.
        self.gateway.kill_and_restart().await;
        self.until_well(&case, &subject).await;
        seen
    }

    async fn until_dead(
        &mut self,
        case: &str,
        subject: &Subject,
        performed: bool,
        is_certain: bool,
    ) -> Seen {
        let begun = tokio::time::Instant::now();
        let mut is_last_look = false;
        loop {
            if self.gateway.process().exited().is_some() {
                return Seen::Killed;
            }
            if is_last_look {
                return Seen::NotReached;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{case}: it did not die there ({:?})\n{}",
                self.is_well(subject).await,
                self.gateway.process().output()
            );
            is_last_look = performed && !is_certain && self.is_well(subject).await.is_none();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// First what was done must come to rest, whatever that was; then the client tries again
    /// what was not done.
    pub async fn until_well(&mut self, case: &str, subject: &Subject) {
        let operation = subject.operation;
        if operation.rests_by_itself() {
            self.until_at_rest(case, subject).await;
        }
        if !operation.is_done(self, subject).await {
            let again = operation.perform(self, subject).await;
            assert_eq!(again, Ok(()), "{case}: the second time");
            operation.clear_up(self).await;
        }
        let what = format!("{case}: the operation is done");
        until(&what, async || {
            operation.is_done(self, subject).await.then_some(())
        })
        .await;
        until("every intent is settled", async || {
            self.ledger.age_intents().await;
            (self.ledger.count(INTENTS).await == 0).then_some(())
        })
        .await;
        self.until_at_rest(case, subject).await;
    }

    /// Nothing of what was prepared may be under way when the process is killed.
    pub async fn until_prepared(&mut self, subject: &Subject) {
        until("what was prepared is confirmed", async || {
            (self.ledger.count(INTENTS).await == 0).then_some(())
        })
        .await;
        self.until_at_rest("before the kill", subject).await;
    }

    pub async fn until_at_rest(&mut self, case: &str, subject: &Subject) {
        let begun = tokio::time::Instant::now();
        while let Some(problem) = self.is_well(subject).await {
            if let Some(status) = self.gateway.process().exited() {
                let output = self.gateway.process().output();
                panic!("{case}: the gateway ended with {status}: {output}");
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{case}: {problem}\n{}",
                self.gateway.process().output()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Why all is not well yet: work is left, or the mirror differs from the registry.
    async fn is_well(&self, subject: &Subject) -> Option<String> {
        let left = self.ledger.unfinished().await;
        if !left.is_empty() {
            return Some(left);
        }
        let kept = self
            .gateway
            .directory()
            .join("data/replication-changes.jsonl");
        if std::fs::metadata(kept).is_ok_and(|file| file.len() > 0) {
            return Some("changes are left in the file".to_owned());
        }
        for reference in &subject.references {
            let here = digest(&self.admin(), &subject.repository, reference).await;
            let there = digest(&self.target.admin(), &subject.repository, reference).await;
            if here != there {
                return Some(format!("{reference} is {here:?} here and {there:?} there"));
            }
        }
        None
    }
}

/// The digest of a reference, `None` when there is none or nobody answers.
pub async fn digest(registry: &Http, repository: &str, reference: &str) -> Option<String> {
    let accept = [("accept", tidegate::oci::MANIFEST_MEDIA_TYPES)];
    let path = format!("/v2/{repository}/manifests/{reference}");
    let answer = registry
        .try_send(http::Method::HEAD, &path, &accept, bytes::Bytes::new())
        .await
        .ok()?;
    (answer.status == 200).then(|| answer.header("docker-content-digest").to_owned())
}

/// What a killed gateway leaves is taken up within seconds.
const QUICK: &str =
    "[jobs]\nlease_seconds = 3\nretry_base_ms = 50\nretry_cap_seconds = 2\npoll_ms = 200\n";
const SETTLING: &str = "unknown_after_seconds = 1\ndead_after_seconds = 1\n";

const INTENTS: &str = "select count(*) from replication_intents";

/// Never while a test runs.
const YEARLY: &str = "0 0 0 1 1 *";

/// Enough for a machine that is busy with everything else.
const PATIENCE: Duration = Duration::from_mins(2);
