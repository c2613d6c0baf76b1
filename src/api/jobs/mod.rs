//! `/api/v1/jobs`: the job API in the shapes of Harbor's jobservice, for system administrators.
//!
//! `shape.rs` is a job as it is shown, `launch.rs` starts one, `bulk.rs` changes many, `log.rs`
//! shows what runs wrote, `refusal.rs` gives errors jobservice's form.

mod bulk;
mod launch;
mod log;
mod refusal;
mod shape;
mod stats;

use axum::{extract::State, middleware::map_response, response::NoContent};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Api, Shared,
    act::Act,
    caller::Caller,
    error::Error,
    json::Json,
    openapi::Routes,
    paging::{ListQuery, Listed},
    path::PathParameters,
};
use crate::{
    audit::Operation,
    jobs::{self, JobId, Selected},
    store::Test,
};
pub(super) use bulk::Changed;
pub(super) use refusal::Refusal;
use shape::JobShape;

/// The routes by their whole paths, for they do not lie below the contract's root.
pub(super) fn routes() -> Routes {
    let (all, one) = ("/api/v1/jobs", "/api/v1/jobs/{job_id}");
    Routes::new("jobs")
        .get(all, "List jobs, by kind, key, target, status, since", list)
        .administrator()
        .post(all, "Launch a job", launch::launch)
        .administrator()
        .get(one, "Read a job", read)
        .administrator()
        .post(one, "Stop or retry a job", act)
        .administrator()
        .get(
            "/api/v1/jobs/{job_id}/log",
            "What a job wrote; `follow=true` waits",
            log::log,
        )
        .administrator()
        .post(
            "/api/v1/jobs/stop",
            "Stop the jobs that are meant",
            bulk::stop,
        )
        .administrator()
        .post(
            "/api/v1/jobs/retry",
            "Retry the jobs that are meant",
            bulk::retry,
        )
        .administrator()
        .post(
            "/api/v1/jobs/recover",
            "Retry all that failed since a time",
            bulk::recover,
        )
        .administrator()
        .get("/api/v1/stats", "The processes that run jobs", stats::stats)
        .administrator()
        .wrap(|router| router.layer(map_response(refusal::as_jobservice)))
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    query: ListQuery,
) -> Result<Listed<JobShape>, Error> {
    caller.administrator()?;
    let selected = match query.parameter("status").or(query.parameter("state")) {
        Some(word) => Some(Selected::parse(word).ok_or_else(|| unknown_status(word))?),
        None => None,
    };
    let query = query
        .and_parameter("kind", "kind", Test::Equals)
        .and_parameter("key", "key", Test::Equals)
        .and_parameter("target", "target", Test::Equals)
        .and_parameter("since", "creation_time", |since| Test::Range {
            min: Some(since),
            max: None,
        });
    let page = api.jobs.page(selected, query.listing()).await?;
    let now = api.clock.now();
    let last = page.items.last().map(|job| job.id.0);
    Ok(query.answer_from(last, page, |job| JobShape::new(job, now)))
}

fn unknown_status(word: &str) -> Error {
    let known: Vec<&str> = Selected::words().collect();
    Error::BadRequest(format!(
        "`{word}` is not a status; there are {}",
        known.join(", ")
    ))
}

async fn read(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<JobShape>, Error> {
    caller.administrator()?;
    let job = api.jobs.job(path.job()?).await?;
    Ok(axum::Json(JobShape::new(job, api.clock.now())))
}

/// What is to be done with a job.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "JobAction")]
struct Action {
    #[schemars(extend("enum" = ["stop", "retry"]))]
    action: String,
}

/// Stops or retries; stopping what is over changes nothing.
async fn act(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(Action { action }): Json<Action>,
) -> Result<NoContent, Error> {
    caller.administrator()?;
    let id = path.job()?;
    let done = match action.as_str() {
        "stop" => api.jobs.stop(id).await.map(|_stopping| "stopped")?,
        "retry" => api.jobs.retry(id).await.map(|()| "retried")?,
        _ => {
            return Err(Error::BadRequest(format!(
                "`{action}` is not an action; there are stop and retry"
            )));
        }
    };
    record(
        &api,
        &caller,
        (Operation::Update, id),
        &format!("{done} the job {id}"),
    );
    Ok(NoContent)
}

impl PathParameters {
    /// The job that the path names; one that is no number names none.
    pub(super) fn job(&self) -> Result<JobId, Error> {
        let text = self.text("job_id");
        let id = text
            .parse()
            .map_err(|_no_number| Error::not_found("job", text))?;
        Ok(JobId(id))
    }
}

impl From<jobs::Error> for Error {
    fn from(error: jobs::Error) -> Self {
        let message = error.to_string();
        match error {
            jobs::Error::NotFound(id) => Self::not_found("job", id),
            jobs::Error::Refused { .. }
            | jobs::Error::Superseded(_)
            | jobs::Error::NotUnique(_)
            | jobs::Error::InProgress(_) => Self::Conflict(message),
            jobs::Error::Unlaunchable(_) => Self::BadRequest(message),
            jobs::Error::TooManyFollowers => Self::Unavailable(error.into()),
            jobs::Error::Store(error) => error.into(),
            error @ jobs::Error::Damaged { .. } => Self::internal(error),
        }
    }
}

/// Notes what was done to a job.
fn record(api: &Api, caller: &Caller, (operation, id): (Operation, JobId), what: &str) {
    let act = Act {
        operation,
        resource_type: "job",
        resource: &id.to_string(),
        project: None,
        description: what.to_owned(),
    };
    api.record(caller, &act);
}
