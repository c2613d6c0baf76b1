//! The job that runs a policy by hand or by schedule: it lists the source and makes one task,
//! with its job, for every artifact that the filters accept.

mod gone;
mod plan;
mod survey;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use serde::Deserialize;

use super::{
    Error, ExecutionId, Operation, Policy, PolicyId, Shared, Trigger,
    executions::queries::{self, NewExecution, NewTask},
    intents::Wish,
    places::Place,
    transfer::{from_inner, policy_of},
};
use crate::{
    failpoint,
    jobs::{ByHand, Enqueued, Failure, Handler, NewJob, Running},
    oci::{Reference, RepositoryName, Tag},
    store::Tx,
};
use gone::Gone;
use survey::Survey;

pub use plan::{Deed, Plan, Step};

/// The kind of these jobs.
pub(in crate::replication) const KIND: &str = "replication.execute";

/// Harbor's text for an execution that `single_active_replication` skips.
pub(in crate::replication) const SKIPPED: &str =
    "Execution skipped: active replication still in progress.";

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

/// An execution in the making.
struct Making<'a> {
    shared: &'a Shared,
    policy: &'a Policy,
    execution: ExecutionId,
    /// Made by an earlier attempt of the same job.
    made: HashSet<(String, String)>,
    count: usize,
}

impl Executor {
    pub(in crate::replication) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    async fn execute(&self, job: &Running) -> Result<(), Failure> {
        let parameters = Parameters::deserialize(&job.params)
            .map_err(|error| Failure::permanent(format!("the job's parameters: {error}")))?;
        let policy = policy_of(&self.shared, parameters.policy).await?;
        let begun = self.begin(job, &policy, &parameters.trigger).await;
        let Some(execution) = begun.map_err(|error| from_inner(&error))? else {
            job.log.line(SKIPPED);
            return Ok(());
        };
        failpoint::hit("replication.execution_begun");
        let made = queries::artifacts(&self.shared.db, execution)
            .await
            .map_err(|error| from_inner(&error.into()))?;
        let mut making = Making {
            shared: &self.shared,
            policy: &policy,
            execution,
            made: made
                .into_iter()
                .map(|row| (row.repository, row.reference))
                .collect(),
            count: 0,
        };
        tokio::select! {
            done = making.all(job) => done,
            () = job.stop.cancelled() => Err(Failure::Stopped),
        }
    }

    /// The job's execution; a scheduled one is made here. `None` when it is skipped.
    async fn begin(
        &self,
        job: &Running,
        policy: &Policy,
        trigger: &str,
    ) -> Result<Option<ExecutionId>, Error> {
        let mut tx = self.shared.db.begin().await?;
        if let Some(execution) = queries::of_job(&mut tx, job.id).await? {
            return Ok(Some(execution));
        }
        let live = queries::live_one(&mut tx, policy.id, None).await?;
        let is_skipped = policy.spec.single_active && live.is_some();
        let new = NewExecution {
            policy: policy.id,
            trigger,
            job: (!is_skipped).then_some(job.id),
            skipped: is_skipped.then_some(SKIPPED),
            now: self.shared.clock.now(),
        };
        let execution = queries::insert(&mut tx, new).await?;
        failpoint::hit("replication.scheduled_run_before_commit");
        tx.commit().await?;
        failpoint::hit("replication.scheduled_run_committed");
        let execution = execution.ok_or(Error::NoPolicy(policy.id))?;
        Ok((!is_skipped).then_some(execution))
    }
}

impl Making<'_> {
    async fn all(&mut self, job: &Running) -> Result<(), Failure> {
        let spec = &self.policy.spec;
        let survey = Survey::open(self.shared, spec).await?;
        let mut gone = Gone::default();
        let mut repositories = survey.repositories();
        while let Some(page) = repositories.next().await? {
            for repository in page {
                let tags = survey.tags(&repository).await?;
                job.log
                    .line(format!("{repository}: {} tags to replicate", tags.len()));
                for some in tags.chunks(BATCH) {
                    self.tasks(&repository, some, Operation::Copy).await?;
                }
                if spec.runs_delete {
                    gone.compare(&survey, spec, &repository, &tags).await?;
                }
            }
        }
        self.deletions(&gone).await?;
        if self.count == 0 && self.made.is_empty() {
            job.log.line("no artifact matches the policy's filters");
        }
        job.log.line(format!("finished: {} tasks made", self.count));
        Ok(())
    }

    async fn deletions(&mut self, gone: &Gone) -> Result<(), Failure> {
        let limit = self.policy.spec.deletion_limit;
        if let Some(objection) = limit.objection(gone.count(), gone.held) {
            return Err(Failure::permanent(objection));
        }
        for (repository, _, tags) in gone.deletable() {
            for some in tags.chunks(BATCH) {
                self.tasks(repository, some, Operation::Deletion).await?;
            }
        }
        Ok(())
    }

    /// Makes tasks and jobs for the tags that have none yet, in one transaction.
    async fn tasks(
        &mut self,
        repository: &RepositoryName,
        tags: &[Tag],
        operation: Operation,
    ) -> Result<(), Failure> {
        let wishes: Vec<Wish> = tags
            .iter()
            .filter(|tag| {
                let key = (repository.to_string(), tag.to_string());
                !self.made.contains(&key)
            })
            .map(|tag| {
                let reference = Reference::Tag(tag.clone());
                Wish::new(self.policy, repository, reference, operation)
            })
            .collect();
        self.write(&wishes)
            .await
            .map_err(|error| from_inner(&error))?;
        self.count += wishes.len();
        self.shared.jobs.wake();
        Ok(())
    }

    async fn write(&self, wishes: &[Wish]) -> Result<(), Error> {
        let shared = self.shared;
        let jobs: Vec<NewJob> = wishes.iter().map(Wish::job).collect();
        let mut tx = shared.db.begin().await?;
        let enqueued: Vec<Enqueued> = shared.jobs.enqueue_all(&mut tx, &jobs).await?;
        for (wish, enqueued) in wishes.iter().zip(enqueued) {
            let task = NewTask {
                execution: self.execution,
                job: enqueued.id,
                operation: wish.operation,
                repository: &wish.repository,
                reference: wish.reference.as_str(),
                destination: &wish.destination,
                now: shared.clock.now(),
            };
            queries::insert_task(&mut tx, task).await?;
            self.doubt(&mut tx, wish).await?;
        }
        failpoint::hit("replication.tasks_before_commit");
        tx.commit().await?;
        failpoint::hit("replication.tasks_committed");
        Ok(())
    }
}

impl Making<'_> {
    /// Who runs a policy by hand or by schedule wants to see what is really there.
    async fn doubt(&self, tx: &mut Tx, wish: &Wish) -> Result<(), Error> {
        // One that the policy cannot name is reported by the task.
        let Ok(repository) = wish.destination.parse() else {
            return Ok(());
        };
        let place = Place {
            registry: self.policy.spec.destination,
            repository: &repository,
        };
        let reference = wish.reference.as_str();
        Ok(self.shared.places.doubt(tx, place, reference).await?)
    }
}

impl Handler for Executor {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn by_hand(&self) -> Option<ByHand> {
        Some(|params| {
            LaunchParameters::deserialize(params)
                .map(drop)
                .map_err(|error| error.to_string())
        })
    }

    fn run<'a>(&'a self, job: &'a Running) -> BoxFuture<'a, Result<(), Failure>> {
        self.execute(job).boxed()
    }
}

/// Tasks made in one transaction.
const BATCH: usize = 100;
