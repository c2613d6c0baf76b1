//! Tag `schedule`: what the clock starts.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Shared,
    caller::Caller,
    error::Error,
    openapi::Routes,
    paging::{ListQuery, Listed},
    path::PathParameters,
};
use crate::{
    auth::{Resource, Verb},
    clock::Timestamp,
    jobs::{SCHEDULER, Schedule},
};

pub(super) fn routes() -> Routes {
    Routes::new("schedule")
        .get("/schedules", "List schedules", list)
        .needs(Resource::JobServiceMonitor, Verb::List)
        .get(
            "/schedules/{job_type}/paused",
            "Whether schedules are paused",
            paused,
        )
        .signed_in()
}

/// What the clock starts.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ScheduleTask")]
struct ScheduleShape {
    id: i64,
    vendor_type: String,
    vendor_id: i64,
    cron: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_time: Option<Timestamp>,
}

impl From<Schedule> for ScheduleShape {
    fn from(schedule: Schedule) -> Self {
        // The key ends with the number of what the schedule belongs to: `policy/5`.
        let number = schedule
            .key
            .rsplit('/')
            .next()
            .and_then(|text| text.parse().ok());
        let owner = number.unwrap_or(0);
        Self {
            id: owner,
            vendor_type: schedule.kind,
            vendor_id: owner,
            cron: schedule.cron,
            update_time: schedule.last,
        }
    }
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    query: ListQuery,
) -> Result<Listed<ScheduleShape>, Error> {
    api.system(&caller, Resource::JobServiceMonitor, Verb::List)?;
    let page = api.jobs.schedules(query.listing()).await?;
    Ok(query.answer(page, ScheduleShape::from))
}

/// Whether schedules are kept from firing.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SchedulerStatus")]
struct StatusShape {
    paused: bool,
}

/// Whether schedules are kept from firing; asked for `all` only, as in Harbor.
async fn paused(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<StatusShape>, Error> {
    caller.signed_in()?;
    if !path.text("job_type").eq_ignore_ascii_case("all") {
        return Err(Error::BadRequest("job_type can only be `all`".to_owned()));
    }
    let paused = api.jobs.is_paused(SCHEDULER).await?;
    Ok(axum::Json(StatusShape { paused }))
}
