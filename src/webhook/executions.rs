//! Executions and tasks as people see them. Their states are not stored: they are those of their
//! jobs, joined when somebody asks.

use super::{
    Error, ExecutionId, NotifyType, PolicyId, TaskId, Webhooks,
    queries::{self, ExecutionRow, TaskRow},
};
use crate::{
    clock::Timestamp,
    jobs::JobId,
    store::{Filter, Listing, Page, Test},
};

/// An event that a policy wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    pub id: ExecutionId,
    pub policy: PolicyId,
    pub event_type: String,
    /// Of its first target.
    pub notify_type: NotifyType,
    /// What its first target is sent.
    pub body: String,
    /// Harbor's word.
    pub status: String,
    /// Why it failed; else empty.
    pub message: String,
    pub created: Timestamp,
    /// Once nothing of it is in progress.
    pub ended: Option<Timestamp>,
    pub total: i64,
    pub succeed: i64,
    pub failed: i64,
    pub in_progress: i64,
    pub stopped: i64,
}

/// The delivery to one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    pub id: TaskId,
    pub execution: ExecutionId,
    pub job: JobId,
    pub event_type: String,
    pub notify_type: NotifyType,
    pub address: String,
    pub body: String,
    /// Harbor's word.
    pub status: String,
    /// What the last try that failed said; else empty.
    pub message: String,
    pub run_count: i64,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
}

impl From<ExecutionRow> for Execution {
    fn from(row: ExecutionRow) -> Self {
        let ended = row.in_progress == 0;
        Self {
            id: ExecutionId(row.id),
            policy: PolicyId(row.policy_id),
            event_type: row.event_type,
            notify_type: notify_type(row.notify_type.as_deref()),
            body: row.body.unwrap_or_default(),
            status: row.status,
            message: row.message.unwrap_or_default(),
            created: Timestamp::from_millis(row.created_ms),
            ended: ended.then(|| Timestamp::from_millis(row.finished_ms)),
            total: row.total,
            succeed: row.succeed,
            failed: row.failed,
            in_progress: row.in_progress,
            stopped: row.stopped,
        }
    }
}

impl From<TaskRow> for Task {
    fn from(row: TaskRow) -> Self {
        Self {
            id: TaskId(row.id),
            execution: ExecutionId(row.execution_id),
            job: JobId(row.job_id),
            event_type: row.event_type,
            notify_type: notify_type(Some(&row.notify_type)),
            address: row.address,
            body: row.body,
            status: row.status,
            message: row.message.unwrap_or_default(),
            run_count: row.run_count,
            created: Timestamp::from_millis(row.created_ms),
            updated: Timestamp::from_millis(row.updated_ms),
            started: row.started_ms.map(Timestamp::from_millis),
            ended: row.finished_ms.map(Timestamp::from_millis),
        }
    }
}

fn notify_type(name: Option<&str>) -> NotifyType {
    name.and_then(NotifyType::parse).unwrap_or(NotifyType::Http)
}

impl Webhooks {
    /// The executions of a policy, newest first; filtered and sorted by `id`, `event_type`,
    /// `status`, `start_time` and `end_time`.
    pub async fn executions(
        &self,
        policy: PolicyId,
        listing: &Listing,
    ) -> Result<Page<Execution>, Error> {
        let page = queries::executions(&self.shared.db, policy, listing).await?;
        Ok(Page {
            items: page.items.into_iter().map(Execution::from).collect(),
            total: page.total,
        })
    }

    /// The tasks of an execution of a policy, filtered and sorted by `id`, `status` and times.
    pub async fn tasks(
        &self,
        policy: PolicyId,
        execution: ExecutionId,
        listing: &Listing,
    ) -> Result<Page<Task>, Error> {
        let found = self.executions(policy, &only(execution.0)).await?;
        if found.items.is_empty() {
            return Err(Error::NoExecution(execution));
        }
        let page = queries::tasks(&self.shared.db, execution.0, listing).await?;
        Ok(Page {
            items: page.items.into_iter().map(Task::from).collect(),
            total: page.total,
        })
    }

    /// What the tries of a task have written, a line each.
    pub async fn task_log(
        &self,
        policy: PolicyId,
        execution: ExecutionId,
        task: TaskId,
    ) -> Result<String, Error> {
        let found = self.tasks(policy, execution, &only(task.0)).await?.items;
        let found = found.into_iter().next().ok_or(Error::NoTask(task))?;
        Ok(self.shared.jobs.log(found.job).await?)
    }
}

/// The row with this id.
fn only(id: i64) -> Listing {
    Listing {
        filters: vec![Filter {
            field: "id".to_owned(),
            test: Test::Equals(id.to_string()),
        }],
        ..Listing::default()
    }
}
