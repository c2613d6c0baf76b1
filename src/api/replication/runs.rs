use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    api::{
        Api, Shared, act::Act, caller::Caller, error::Error, jobs::Changed, path::PathParameters,
    },
    audit::Operation,
    auth::{Resource, Verb},
    clock::Timestamp,
    jobs::{Firing, Outcome},
    replication::{ExecutionId, PolicyId},
};

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Firing")]
pub(super) struct FiringShape {
    slot: Timestamp,
    fired: Timestamp,
    #[schemars(extend("enum" = ["fired", "joined", "missed"]))]
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<i64>,
}

impl From<Firing> for FiringShape {
    fn from(firing: Firing) -> Self {
        Self {
            slot: firing.slot,
            fired: firing.fired,
            outcome: match firing.outcome {
                Outcome::Fired => "fired",
                Outcome::Joined => "joined",
                Outcome::Missed => "missed",
            },
            job_id: firing.job.map(|job| job.0),
        }
    }
}

/// `POST /api/v1/replication/executions/{id}/retry`: tries again what failed of a run.
pub(super) async fn retry(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<Changed>, Error> {
    api.system(&caller, Resource::Replication, Verb::Create)?;
    let id = ExecutionId(path.id("id")?);
    let count = api.replication.retry_execution(id).await?;
    let description = format!("retried {count} failed tasks of the replication execution {id}");
    record(&api, &caller, ("replication", &id.to_string()), description);
    Ok(axum::Json(Changed { count }))
}

/// `POST /api/v1/replication/policies/{id}/stop`: stops all that a policy has under way.
pub(super) async fn stop(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<Changed>, Error> {
    api.system(&caller, Resource::Replication, Verb::Create)?;
    let policy = api.replication.policy(PolicyId(path.id("id")?)).await?;
    let count = api.replication.stop_policy(policy.id).await?;
    let name = &policy.spec.name;
    let description = format!("stopped {count} jobs of the replication policy {name}");
    record(&api, &caller, ("replication_policy", name), description);
    Ok(axum::Json(Changed { count }))
}

/// `GET /api/v1/replication/policies/{id}/firings`: the newest slots of a policy's schedule.
pub(super) async fn firings(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<Vec<FiringShape>>, Error> {
    api.system(&caller, Resource::Replication, Verb::List)?;
    let firings = api.replication.firings(PolicyId(path.id("id")?)).await?;
    Ok(axum::Json(
        firings.into_iter().map(FiringShape::from).collect(),
    ))
}

fn record(
    api: &Api,
    caller: &Caller,
    (resource_type, resource): (&'static str, &str),
    description: String,
) {
    let act = Act {
        operation: Operation::Update,
        resource_type,
        resource,
        project: None,
        description,
    };
    api.record(caller, &act);
}
