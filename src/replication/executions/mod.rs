//! Executions and tasks as people see them. Their states are not stored: they are those of
//! their jobs, joined when somebody asks.

mod administration;
pub(crate) mod queries;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, jobs::JobId};

use super::{ExecutionId, PolicyId, TaskId};

/// One run of a policy: a manual start, a firing of its schedule, or an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    pub id: ExecutionId,
    pub policy_id: PolicyId,
    /// `manual`, `scheduled`, `event_based` or `audit`.
    pub trigger: String,
    pub status: Status,
    /// Why it was skipped or failed as a whole; else empty.
    pub status_text: String,
    pub started: Timestamp,
    /// Once nothing of it is in progress.
    pub ended: Option<Timestamp>,
    pub counts: Counts,
}

/// The tasks of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub total: u64,
    pub failed: u64,
    pub succeed: u64,
    pub in_progress: u64,
    pub stopped: u64,
}

/// One artifact of an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    pub id: TaskId,
    pub execution_id: ExecutionId,
    pub job_id: JobId,
    pub operation: Operation,
    /// `repository:tag` or `repository@digest` at the source.
    pub source: String,
    /// The same at the destination.
    pub destination: String,
    pub status: Status,
    /// Why it failed, or what was left undone although it ended well; else empty.
    pub status_text: String,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
}

/// Harbor's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Of tasks only: no worker has taken it yet.
    Pending,
    /// A worker has it, or it waits for another attempt.
    InProgress,
    Succeed,
    Failed,
    Stopped,
}

impl Status {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InProgress => "InProgress",
            Self::Succeed => "Succeed",
            Self::Failed => "Failed",
            Self::Stopped => "Stopped",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        ALL_STATUSES
            .into_iter()
            .find(|status| status.name() == name)
    }
}

/// What a task was made for. What it does depends on the source when it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Copy,
    Deletion,
}

impl Operation {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Deletion => "deletion",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::Copy, Self::Deletion]
            .into_iter()
            .find(|operation| operation.name() == name)
    }
}

/// `repository:tag` or `repository@digest`.
pub(in crate::replication) fn artifact_name(repository: &str, reference: &str) -> String {
    let separator = if reference.contains(':') { '@' } else { ':' };
    format!("{repository}{separator}{reference}")
}

const ALL_STATUSES: [Status; 5] = [
    Status::Pending,
    Status::InProgress,
    Status::Succeed,
    Status::Failed,
    Status::Stopped,
];
