use serde_json::json;

use super::{
    Execution, Task,
    queries::{self, NewExecution},
};
use crate::{
    clock::Timestamp,
    failpoint,
    jobs::{self, NewJob},
    replication::{Error, ExecutionId, PolicyId, Replication, TaskId, Trigger, execute},
    secret::random_bytes,
    store::{Filter, Listing, Page, Test},
};

impl Replication {
    /// Runs a policy now. With an execution of it in progress and `single_active`, the new one
    /// is recorded as skipped.
    pub async fn run_policy(&self, id: PolicyId) -> Result<ExecutionId, Error> {
        let shared = &self.shared;
        let policy = shared.policy(id).await?.ok_or(Error::NoPolicy(id))?;
        if !policy.spec.enabled {
            let name = &policy.spec.name;
            return Err(Error::Precondition(format!(
                "the replication policy `{name}` is disabled"
            )));
        }
        let trigger = Trigger::Manual.name();
        let mut tx = shared.db.begin().await?;
        let live = queries::live_one(&mut tx, id, None).await?;
        let mut new = NewExecution {
            policy: id,
            trigger,
            job: None,
            skipped: None,
            now: shared.clock.now(),
        };
        if policy.spec.single_active && live.is_some() {
            new.skipped = Some(execute::SKIPPED);
        } else {
            let key = format!("policy/{id}/{}", hex::encode(random_bytes::<8>()));
            let job = NewJob::new(
                execute::KIND,
                key,
                json!({"policy": id, "trigger": trigger}),
            );
            new.job = Some(shared.jobs.enqueue(&mut tx, job).await?.id);
            failpoint::hit("replication.run_enqueued");
        }
        let execution = queries::insert(&mut tx, new).await?;
        failpoint::hit("replication.run_before_commit");
        tx.commit().await?;
        failpoint::hit("replication.run_committed");
        shared.jobs.wake();
        execution.ok_or(Error::NoPolicy(id))
    }

    /// Executions, newest first; filtered and sorted by `id`, `policy_id`, `status`, `trigger`,
    /// `start_time` and `end_time`.
    pub async fn executions(&self, listing: &Listing) -> Result<Page<Execution>, Error> {
        let page = queries::list(&self.shared.db, listing).await?;
        Ok(Page {
            items: page
                .items
                .into_iter()
                .map(Execution::try_from)
                .collect::<Result<_, _>>()?,
            total: page.total,
        })
    }

    pub async fn execution(&self, id: ExecutionId) -> Result<Execution, Error> {
        let row = queries::by_id(&self.shared.db, id).await?;
        row.ok_or(Error::NoExecution(id))?.try_into()
    }

    /// Executions that have ended, the last of their tasks in this span of time.
    pub async fn executions_ended(
        &self,
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Vec<Execution>, Error> {
        let touched = queries::touched(&self.shared.db, (from, to), MOST_ENDED).await?;
        let mut ended = Vec::new();
        for id in touched {
            let execution = match self.execution(id).await {
                Err(Error::NoExecution(_)) => continue,
                execution => execution?,
            };
            if execution.ended.is_some_and(|end| from <= end && end < to) {
                ended.push(execution);
            }
        }
        Ok(ended)
    }

    /// Stops what is left of an execution: its waiting jobs at once, its running ones within a
    /// second.
    pub async fn stop_execution(&self, id: ExecutionId) -> Result<(), Error> {
        self.execution(id).await?;
        // The listing job, which is the first, must not make tasks while they are stopped.
        for job in queries::live_jobs(&self.shared.db, id).await? {
            match self.shared.jobs.stop(job).await {
                Ok(_) | Err(jobs::Error::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
            failpoint::hit("replication.job_of_execution_stopped");
        }
        Ok(())
    }

    /// Tries again what failed of an execution, and no more; how many artifacts that is.
    pub async fn retry_execution(&self, id: ExecutionId) -> Result<u64, Error> {
        self.execution(id).await?;
        let failed = queries::failed_jobs(&self.shared.db, id).await?;
        Ok(self.shared.jobs.retry_failed(&failed).await?)
    }

    /// Stops all that a policy has under way, whichever execution it belongs to; how many jobs
    /// that is. Pushes that come later are copied as before.
    pub async fn stop_policy(&self, id: PolicyId) -> Result<u64, Error> {
        let shared = &self.shared;
        shared.policy(id).await?.ok_or(Error::NoPolicy(id))?;
        // Those that list the source, which come first, must not make tasks meanwhile.
        let live = queries::live_jobs_of(&shared.db, id).await?;
        Ok(shared.jobs.stop_these(&live).await?)
    }

    /// Tasks of an execution, oldest first; filtered and sorted by `id`, `status`, `operation`,
    /// `src_resource`, `dst_resource`, `job_id`, `start_time` and `end_time`.
    pub async fn tasks(&self, id: ExecutionId, listing: &Listing) -> Result<Page<Task>, Error> {
        if !queries::exists(&self.shared.db, id).await? {
            return Err(Error::NoExecution(id));
        }
        let page = queries::tasks(&self.shared.db, id, listing).await?;
        Ok(Page {
            items: page
                .items
                .into_iter()
                .map(Task::try_from)
                .collect::<Result<_, _>>()?,
            total: page.total,
        })
    }

    /// What the runs of a task's job have written, a line each.
    pub async fn task_log(&self, execution: ExecutionId, task: TaskId) -> Result<String, Error> {
        let one = Listing {
            filters: vec![Filter {
                field: "id".to_owned(),
                test: Test::Equals(task.to_string()),
            }],
            ..Listing::default()
        };
        let found = self.tasks(execution, &one).await?.items;
        let found = found.into_iter().next().ok_or(Error::NoTask(task))?;
        Ok(self.shared.jobs.log(found.job_id).await?)
    }
}

/// Executions that are looked at together.
const MOST_ENDED: i64 = 1000;
