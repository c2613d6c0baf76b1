//! The jobs that go through a policy's source. One runs the policy by hand or by schedule and
//! makes one task, with its job, for every artifact that the filters accept; the other one,
//! `audit.rs`, compares both sides first and does so for what differs.
//!
//! `walk.rs` is the way over the source, from which both go on after a restart; `making.rs`
//! writes tasks; `plan.rs` says what a run would do.

mod audit;
mod due;
mod gone;
mod making;
mod plan;
pub(crate) mod queries;
mod sight;
mod survey;
#[cfg(test)]
mod tests;
mod walk;

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use serde::Deserialize;

use super::{Operation, Policy, PolicyId, Shared, Trigger, transfer::policy_of};
use crate::{
    jobs::{ByHand, Failure, Handler, Running},
    oci::{RepositoryName, Tag},
};
use gone::Gone;
use making::{Making, Progress};
use survey::Survey;
use walk::{Stage, Walk};

pub(in crate::replication) use audit::Auditor;
pub(in crate::replication) use due::keep_auditing;
pub(in crate::replication) use making::SKIPPED;
pub use plan::{Deed, Plan, Step};

/// The kind of these jobs.
pub(in crate::replication) const KIND: &str = "replication.execute";

/// Runs the jobs that run policies.
#[derive(Debug)]
pub(in crate::replication) struct Executor {
    shared: Arc<Shared>,
}

#[derive(Debug, Deserialize)]
struct Parameters {
    policy: PolicyId,
    /// `manual` or `scheduled`.
    #[serde(default = "manual")]
    trigger: String,
}

/// What a person may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LaunchParameters {
    #[serde(rename = "policy")]
    _policy: PolicyId,
}

fn manual() -> String {
    Trigger::Manual.name().to_owned()
}

impl Executor {
    pub(in crate::replication) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn execute(&self, job: &Running) -> Result<(), Failure> {
        let parameters = Parameters::deserialize(&job.params)
            .map_err(|error| Failure::permanent(format!("the job's parameters: {error}")))?;
        let policy = policy_of(&self.shared, parameters.policy).await?;
        let making = Making::begin(&self.shared, &policy, job, &parameters.trigger).await?;
        let Some(making) = making else {
            return Ok(());
        };
        let run = Run {
            shared: &self.shared,
            policy: &policy,
            job,
            making,
        };
        tokio::select! {
            done = run.all() => done,
            () = job.stop.cancelled() => Err(Failure::Stopped),
        }
    }
}

/// A policy that is run.
struct Run<'a> {
    shared: &'a Shared,
    policy: &'a Policy,
    job: &'a Running,
    making: Making<'a>,
}

impl Run<'_> {
    async fn all(&self) -> Result<(), Failure> {
        let spec = &self.policy.spec;
        let survey = Survey::open(self.shared, spec).await?;
        let mut gone = Gone::default();
        let mut progress = self.begin().await?;
        let mut walk = Walk::new(&survey, progress.position.clone());
        while let Some(stage) = walk.next().await? {
            self.copies(&mut walk, &stage, &mut progress).await?;
            if spec.runs_delete {
                let (repository, tags) = (&stage.repository, &stage.tags);
                gone.compare(&survey, spec, repository, tags).await?;
            }
        }
        self.deletions(&gone, &mut progress).await?;
        if progress.tally.tasks == 0 {
            self.job
                .log
                .line("no artifact matches the policy's filters");
        }
        let tasks = progress.tally.tasks;
        self.job.log.line(format!("finished: {tasks} tasks made"));
        self.making.finish().await
    }

    /// Goes on where an earlier attempt has ended; but who deletes must have seen everything.
    async fn begin(&self) -> Result<Progress, Failure> {
        let mut progress = self.making.progress().await?;
        if self.policy.spec.runs_delete {
            progress.position = walk::Position::default();
        }
        Ok(progress)
    }

    async fn copies(
        &self,
        walk: &mut Walk<'_>,
        stage: &Stage,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let (repository, tags) = (&stage.repository, &stage.tags);
        let count = tags.len();
        self.job
            .log
            .line(format!("{repository}: {count} tags to replicate"));
        let made = self.making.made(repository).await?;
        for some in tags.chunks(BATCH) {
            let wanted: Vec<Tag> = some
                .iter()
                .filter(|tag| !made.contains(tag.as_str()))
                .cloned()
                .collect();
            if let Some(last) = some.last() {
                walk.reach(repository, last);
            }
            progress.position = walk.position();
            self.make(repository, &wanted, Operation::Copy, progress)
                .await?;
        }
        Ok(())
    }

    async fn deletions(&self, gone: &Gone, progress: &mut Progress) -> Result<(), Failure> {
        let limit = self.policy.spec.deletion_limit;
        if let Some(objection) = limit.objection(gone.count(), gone.held) {
            return Err(Failure::permanent(objection));
        }
        for (repository, _, tags) in gone.deletable() {
            let made = self.making.made(repository).await?;
            let wanted: Vec<Tag> = tags
                .iter()
                .filter(|tag| !made.contains(tag.as_str()))
                .cloned()
                .collect();
            for some in wanted.chunks(BATCH) {
                self.make(repository, some, Operation::Deletion, progress)
                    .await?;
            }
        }
        Ok(())
    }

    async fn make(
        &self,
        repository: &RepositoryName,
        tags: &[Tag],
        operation: Operation,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        progress.tally.tasks += tags.len() as u64;
        self.making
            .tasks((repository, tags), operation, progress)
            .await
    }
}

impl Handler for Executor {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn by_hand(&self) -> Option<ByHand> {
        Some(by_hand)
    }

    fn run<'a>(&'a self, job: &'a Running) -> BoxFuture<'a, Result<(), Failure>> {
        self.execute(job).boxed()
    }
}

fn by_hand(params: &serde_json::Value) -> Result<(), String> {
    LaunchParameters::deserialize(params)
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Tasks made in one transaction.
const BATCH: usize = 100;
