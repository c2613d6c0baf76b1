//! `POST /api/v1/jobs/stop`, `/retry` and `/recover`: many jobs in one call.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    api::{Api, Shared, act::Act, caller::Caller, error::Error, json::Json},
    audit::Operation,
    clock::Timestamp,
    jobs::{self, Filter},
};

/// Which jobs are meant; what is absent does not matter.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "JobsMeant")]
#[serde(deny_unknown_fields)]
pub(super) struct Meant {
    kind: Option<String>,
    key_prefix: Option<String>,
    target: Option<String>,
    /// Our word for a state.
    state: Option<String>,
    /// Those that changed last at or after this time, RFC 3339.
    since: Option<String>,
}

/// How many jobs were changed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobsChanged")]
pub(in crate::api) struct Changed {
    pub(in crate::api) count: u64,
}

pub(super) async fn stop(
    State(api): State<Shared>,
    caller: Caller,
    Json(meant): Json<Meant>,
) -> Result<axum::Json<Changed>, Error> {
    caller.administrator()?;
    let count = api.jobs.stop_where(&meant.filter()?).await?;
    Ok(changed(&api, &caller, "stopped", count))
}

pub(super) async fn retry(
    State(api): State<Shared>,
    caller: Caller,
    Json(meant): Json<Meant>,
) -> Result<axum::Json<Changed>, Error> {
    caller.administrator()?;
    let count = api.jobs.retry_where(&meant.filter()?).await?;
    Ok(changed(&api, &caller, "retried", count))
}

/// From when on failures are to be mended.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "JobsSince")]
#[serde(deny_unknown_fields)]
pub(super) struct Recovery {
    #[schemars(extend("format" = "date-time"))]
    since: String,
}

pub(super) async fn recover(
    State(api): State<Shared>,
    caller: Caller,
    Json(Recovery { since }): Json<Recovery>,
) -> Result<axum::Json<Changed>, Error> {
    caller.administrator()?;
    let count = api.jobs.recover(time(&since)?).await?;
    Ok(changed(&api, &caller, "retried", count))
}

impl Meant {
    fn filter(self) -> Result<Filter, Error> {
        let state = self.state.as_deref().map(|word| {
            let known = jobs::State::ALL.map(jobs::State::as_str).join(", ");
            let parsed = word.parse();
            parsed.map_err(|error: jobs::UnknownState| {
                Error::BadRequest(format!("{error}; there are {known}"))
            })
        });
        let is_meant = [
            &self.kind,
            &self.key_prefix,
            &self.target,
            &self.state,
            &self.since,
        ];
        if is_meant.iter().all(|field| field.is_none()) {
            let message = "say which jobs are meant: kind, key_prefix, target, state or since";
            return Err(Error::BadRequest(message.to_owned()));
        }
        Ok(Filter {
            state: state.transpose()?,
            since: self.since.as_deref().map(time).transpose()?,
            kind: self.kind,
            key_prefix: self.key_prefix,
            target: self.target,
        })
    }
}

fn time(text: &str) -> Result<Timestamp, Error> {
    let refused = || Error::BadRequest(format!("`{text}` is not a time as RFC 3339 writes it"));
    Timestamp::parse(text).ok_or_else(refused)
}

fn changed(api: &Api, caller: &Caller, verb: &str, count: u64) -> axum::Json<Changed> {
    let act = Act {
        operation: Operation::Update,
        resource_type: "job",
        resource: "",
        project: None,
        description: format!("{verb} {count} jobs at once"),
    };
    api.record(caller, &act);
    axum::Json(Changed { count })
}
