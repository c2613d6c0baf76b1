use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{queries as walks, walk::Position};
use crate::{
    failpoint,
    jobs::{Enqueued, Failure, NewJob, Running},
    oci::{Reference, RepositoryName, Tag},
    replication::{
        Error, ExecutionId, Operation, Policy, Shared,
        executions::queries::{self, NewExecution, NewTask},
        intents::Wish,
        places::Place,
        transfer::from_inner,
    },
    store::Tx,
};

/// An execution in the making: the tasks of a run that goes through the source.
pub(super) struct Making<'a> {
    shared: &'a Shared,
    policy: &'a Policy,
    job: &'a Running,
    execution: ExecutionId,
}

/// How far a run has come, over all attempts and restarts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    /// When the policy was changed last: of another policy nothing is done yet.
    #[serde(default)]
    policy_ms: i64,
    pub position: Position,
    #[serde(default)]
    pub tally: Tally,
}

/// What a run has found and done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Tally {
    /// Tasks made.
    pub tasks: u64,
    /// The rest is of runs that compare.
    pub equal: u64,
    pub missing: u64,
    pub different: u64,
    /// Of repositories that the source has, tags at the destination that the source has not.
    pub extra: u64,
}

/// Harbor's text for an execution that `single_active_replication` skips.
pub(in crate::replication) const SKIPPED: &str =
    "Execution skipped: active replication still in progress.";

impl<'a> Making<'a> {
    /// The job's execution, made here unless a person or an earlier attempt has. `None` when it
    /// is skipped.
    pub(super) async fn begin(
        shared: &'a Shared,
        policy: &'a Policy,
        job: &'a Running,
        trigger: &str,
    ) -> Result<Option<Self>, Failure> {
        let begun = begin(shared, policy, job, trigger).await;
        let execution = begun.map_err(|error| from_inner(&error))?;
        failpoint::hit("replication.execution_begun");
        Ok(execution.map(|execution| Self {
            shared,
            policy,
            job,
            execution,
        }))
    }

    /// Where an earlier attempt has left the walk; the beginning if the policy is another now.
    pub(super) async fn progress(&self) -> Result<Progress, Failure> {
        let progress = walks::progress(&self.shared.db, self.job.id).await;
        let progress = progress.map_err(|error| from_inner(&error.into()))?;
        let policy_ms = self.policy.updated.millis();
        if progress.policy_ms == policy_ms {
            return Ok(progress);
        }
        Ok(Progress {
            policy_ms,
            ..Progress::default()
        })
    }

    /// The walk is over: another run of the job begins anew.
    pub(super) async fn finish(&self) -> Result<(), Failure> {
        walks::forget(&self.shared.db, self.job.id)
            .await
            .map_err(|error| from_inner(&error.into()))
    }

    /// The references of the repository that have tasks by an earlier attempt.
    pub(super) async fn made(
        &self,
        repository: &RepositoryName,
    ) -> Result<HashSet<String>, Failure> {
        let made = queries::references(&self.shared.db, self.execution, repository).await;
        let made = made.map_err(|error| from_inner(&error.into()))?;
        Ok(made.into_iter().collect())
    }

    /// Those of the tags that a change or a job of this policy concerns already.
    pub(super) async fn under_way(
        &self,
        repository: &RepositoryName,
        tags: &[Tag],
    ) -> Result<HashSet<Tag>, Failure> {
        let shared = self.shared;
        let wishes = self.wishes(repository, tags, Operation::Copy);
        // Before the jobs: an intent becomes a job in one transaction.
        let intended = walks::intended(&shared.db, self.policy.id, repository).await;
        let mut under_way = intended.map_err(|error| from_inner(&error.into()))?;
        let jobs: Vec<NewJob> = wishes.iter().map(Wish::job).collect();
        let live = shared.jobs.live(&jobs).await;
        let live = live.map_err(|error| from_inner(&error.into()))?;
        for (wish, job) in wishes.iter().zip(&jobs) {
            if live.iter().any(|live| live.key == job.key) {
                under_way.push(wish.reference.to_string());
            }
        }
        let is_under_way = |tag: &&Tag| under_way.iter().any(|name| name == tag.as_str());
        Ok(tags.iter().filter(is_under_way).cloned().collect())
    }

    fn wishes(&self, repository: &RepositoryName, tags: &[Tag], operation: Operation) -> Vec<Wish> {
        let wish = |tag: &Tag| {
            let reference = Reference::Tag(tag.clone());
            Wish::new(self.policy, repository, reference, operation)
        };
        tags.iter().map(wish).collect()
    }

    /// Makes tasks and jobs for the tags, and writes down how far the run has come, in one
    /// transaction.
    pub(super) async fn tasks(
        &self,
        (repository, tags): (&RepositoryName, &[Tag]),
        operation: Operation,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let wishes = self.wishes(repository, tags, operation);
        self.write(&wishes, progress)
            .await
            .map_err(|error| from_inner(&error))?;
        self.shared.jobs.wake();
        Ok(())
    }

    /// Writes down how far the run has come.
    pub(super) async fn save(&self, progress: &Progress) -> Result<(), Failure> {
        self.write(&[], progress)
            .await
            .map_err(|error| from_inner(&error))
    }

    async fn write(&self, wishes: &[Wish], progress: &Progress) -> Result<(), Error> {
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
        let text = serde_json::to_string(progress).unwrap_or_default();
        walks::save(&mut tx, self.job.id, &text).await?;
        failpoint::hit("replication.tasks_before_commit");
        tx.commit().await?;
        failpoint::hit("replication.tasks_committed");
        Ok(())
    }

    /// Who goes through the source wants to know what is really there.
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

async fn begin(
    shared: &Shared,
    policy: &Policy,
    job: &Running,
    trigger: &str,
) -> Result<Option<ExecutionId>, Error> {
    let mut tx = shared.db.begin().await?;
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
        now: shared.clock.now(),
    };
    let execution = queries::insert(&mut tx, new).await?;
    failpoint::hit("replication.scheduled_run_before_commit");
    tx.commit().await?;
    failpoint::hit("replication.scheduled_run_committed");
    let execution = execution.ok_or(Error::NoPolicy(policy.id))?;
    if is_skipped {
        job.log.line(SKIPPED);
    }
    Ok((!is_skipped).then_some(execution))
}
