//! `POST /api/v1/jobs`: jobservice's request to launch a job.

use std::time::Duration;

use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{JobShape, record};
use crate::{
    api::{Shared, answer::Accepted, caller::Caller, error::Error, json::Json},
    audit::Operation,
    jobs,
};

/// jobservice's `Request`; a status hook is not called.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "JobRequest")]
pub(super) struct Launch {
    job: Wanted,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "JobToLaunch")]
struct Wanted {
    name: String,
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Map<String, Value>>")]
    parameters: Option<Value>,
    metadata: Metadata,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "JobMetadata")]
struct Metadata {
    #[schemars(extend("enum" = ["Generic", "Scheduled"]))]
    kind: String,
    /// Seconds.
    #[serde(default)]
    schedule_delay: u64,
    #[serde(default)]
    unique: bool,
}

pub(super) async fn launch(
    State(api): State<Shared>,
    caller: Caller,
    Json(Launch { job }): Json<Launch>,
) -> Result<Accepted<JobShape>, Error> {
    caller.administrator()?;
    let name = job.name.clone();
    let id = api.jobs.launch(job.launch()?).await?;
    let what = format!("launched the job {id} of the name {name}");
    record(&api, &caller, (Operation::Create, id), &what);
    let job = JobShape::new(api.jobs.job(id).await?, api.clock.now());
    Ok(Accepted(job))
}

impl Wanted {
    fn launch(self) -> Result<jobs::Launch, Error> {
        let refused = |why: String| Err(Error::BadRequest(why));
        let delay = self.metadata.schedule_delay;
        match self.metadata.kind.as_str() {
            "Generic" if delay == 0 => {}
            "Scheduled" if (1..=LONGEST_DELAY).contains(&delay) => {}
            "Generic" => return refused("schedule_delay goes with the kind Scheduled".into()),
            "Scheduled" => {
                return refused(format!(
                    "a Scheduled job needs a schedule_delay from 1 to {LONGEST_DELAY} seconds"
                ));
            }
            "Periodic" => {
                return refused("periodic jobs are made by the policies that own them".into());
            }
            kind => return refused(format!("`{kind}` is not Generic or Scheduled")),
        }
        let params = self.parameters.unwrap_or_else(|| json!({}));
        if !params.is_object() {
            return refused("the job's parameters must be a JSON object".into());
        }
        Ok(jobs::Launch {
            kind: self.name,
            params,
            delay: Duration::from_secs(delay),
            is_unique: self.metadata.unique,
        })
    }
}

/// Seconds of a year; who wants a job later wants a schedule.
const LONGEST_DELAY: u64 = 366 * 24 * 60 * 60;
