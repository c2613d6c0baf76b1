use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{
    clock::Timestamp,
    jobs::{Job, Progress},
};

/// jobservice's `JobStats`; times in seconds, 0 for none. The fields from `key` on are our own.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Job")]
pub(super) struct JobShape {
    job: Stats,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobStats")]
struct Stats {
    id: String,
    status: &'static str,
    name: String,
    kind: &'static str,
    unique: bool,
    ref_link: String,
    enqueue_time: i64,
    update_time: i64,
    run_at: i64,
    die_at: i64,
    #[schemars(with = "serde_json::Map<String, Value>")]
    parameters: Value,
    /// Runs that the newest wish has had.
    revision: i64,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// Our word, finer than `status`.
    state: &'static str,
    /// A stop was asked for and the run has not ended yet.
    stopping: bool,
    attempts: u32,
    max_attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressShape>,
}

/// How far the run under way is. The parts of a copy are blobs.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobProgress")]
struct ProgressShape {
    #[serde(flatten)]
    progress: Progress,
    /// At the pace so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    rest_seconds: Option<u64>,
}

impl ProgressShape {
    fn new(progress: Progress, started: Option<Timestamp>, now: Timestamp) -> Self {
        let rest = started.and_then(|started| progress.rest(now.since(started)));
        Self {
            progress,
            rest_seconds: rest.map(|rest| rest.as_secs()),
        }
    }
}

impl JobShape {
    pub(super) fn new(job: Job, now: Timestamp) -> Self {
        let status = job.status(now);
        let is_failed = status == "Error";
        Self {
            job: Stats {
                id: job.id.to_string(),
                status,
                name: job.kind,
                kind: if status == "Scheduled" {
                    "Scheduled"
                } else {
                    "Generic"
                },
                unique: true,
                ref_link: format!("/api/v1/jobs/{}", job.id),
                enqueue_time: job.created.seconds(),
                update_time: job.updated.seconds(),
                run_at: job.run_at.seconds(),
                die_at: job
                    .finished
                    .filter(|_| is_failed)
                    .map_or(0, Timestamp::seconds),
                progress: job
                    .progress
                    .map(|progress| ProgressShape::new(progress, job.started, now)),
                parameters: job.params,
                revision: job.generation,
                key: job.key,
                target: job.target,
                state: job.state.as_str(),
                stopping: job.stopping,
                attempts: job.attempts,
                max_attempts: job.max_attempts,
                error: job.error,
                error_class: job.error_class,
                start_time: job.started,
                end_time: job.finished,
            },
        }
    }
}
