use serde_json::json;

use super::{
    Error, ExecutionId, PolicyId, Retention, TaskId, queries,
    queries::{NewExecution, by_id},
    run,
};
use crate::{
    jobs::{self, NewJob},
    secret::random_bytes,
    store::{Listing, Page, row},
};

row! {
    /// One run of a policy. Times are milliseconds since the epoch; the status is Harbor's:
    /// `Running`, `Success`, `Error` or `Stopped`.
    pub Execution {
        id: ExecutionId,
        policy_id: PolicyId,
        /// `Manual` or `Schedule`.
        trigger_kind: String,
        dry_run: bool,
        started_ms: i64,
        ended_ms: Option<i64>,
        status: String,
    }
}

row! {
    /// One repository of a run.
    pub Task {
        id: TaskId,
        execution_id: ExecutionId,
        job_id: i64,
        /// Within the project.
        repository: String,
        status: String,
        started_ms: i64,
        ended_ms: Option<i64>,
        /// Tags, and artifacts without any.
        total: i64,
        retained: i64,
    }
}

impl Retention {
    /// Runs a policy now; refused while it runs. A dry run deletes nothing.
    pub async fn run_policy(&self, id: PolicyId, mode: Mode) -> Result<ExecutionId, Error> {
        let shared = &self.shared;
        let mut tx = shared.db.begin().await?;
        if !queries::lock(&mut tx, id).await? {
            return Err(Error::NoPolicy(id));
        }
        if let Some(live) = queries::live_in(&mut tx, id).await? {
            return Err(Error::InProgress(live));
        }
        let dry_run = mode == Mode::Dry;
        let key = format!("retention/{id}/{}", hex::encode(random_bytes::<8>()));
        let params = json!({"policy": id, "trigger": run::MANUAL, "dry_run": dry_run});
        let job = NewJob::new(run::KIND, key, params);
        let new = NewExecution {
            policy: id,
            job: shared.jobs.enqueue(&mut tx, job).await?.id,
            trigger: run::MANUAL,
            dry_run,
            now: shared.clock.now(),
        };
        let execution = queries::insert_execution(&mut tx, &new).await?;
        tx.commit().await?;
        shared.jobs.wake();
        Ok(execution)
    }

    /// Runs of a policy, newest first, by fields `id`, `status`, `trigger`, `dry_run`,
    /// `start_time`.
    pub async fn executions(
        &self,
        policy: PolicyId,
        listing: &Listing,
    ) -> Result<Page<Execution>, Error> {
        self.policy(policy).await?;
        Ok(queries::executions(&self.shared.db, policy, listing).await?)
    }

    pub async fn execution(&self, policy: PolicyId, id: ExecutionId) -> Result<Execution, Error> {
        let page = self.executions(policy, &by_id(id.0)).await?;
        page.items.into_iter().next().ok_or(Error::NoExecution(id))
    }

    /// Stops a run: at once while it waits, within a second while it deletes.
    pub async fn stop_execution(&self, policy: PolicyId, id: ExecutionId) -> Result<(), Error> {
        if self.execution(policy, id).await?.ended_ms.is_some() {
            return Ok(());
        }
        let Some(job) = queries::job_of(&self.shared.db, id).await? else {
            return Ok(());
        };
        match self.shared.jobs.stop(job).await {
            Ok(_) | Err(jobs::Error::NotFound(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The repositories of a run, by fields `id`, `repository`, `status`, `total`, `retained`,
    /// `start_time`.
    pub async fn tasks(
        &self,
        policy: PolicyId,
        execution: ExecutionId,
        listing: &Listing,
    ) -> Result<Page<Task>, Error> {
        self.execution(policy, execution).await?;
        Ok(queries::tasks(&self.shared.db, execution, listing).await?)
    }

    /// What became of each tag of a repository, as a table.
    pub async fn task_log(
        &self,
        policy: PolicyId,
        execution: ExecutionId,
        task: TaskId,
    ) -> Result<String, Error> {
        self.execution(policy, execution).await?;
        let log = queries::task_log(&self.shared.db, execution, task).await?;
        log.ok_or(Error::NoTask(task))
    }
}

/// Whether a run deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Real,
    Dry,
}
