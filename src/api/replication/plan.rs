use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    api::{Shared, caller::Caller, error::Error, json::Json, policies::PolicyRequest},
    auth::{Resource, Verb},
    replication::{Plan, PolicyId, PolicySpec, Step},
};

/// Which policy is meant: one that is kept, or one as it would be made.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct PlanRequest {
    #[serde(default)]
    policy_id: Option<i64>,
    #[serde(default)]
    policy: Option<PolicyRequest>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Plan")]
pub(super) struct PlanShape {
    copy: u64,
    delete: u64,
    keep: u64,
    /// Whether not all was looked at, or not all is listed.
    truncated: bool,
    /// Why a run would delete nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    objection: Option<String>,
    steps: Vec<StepShape>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PlanStep")]
struct StepShape {
    /// `copy`, `delete` or `keep`.
    #[schemars(extend("enum" = ["copy", "delete", "keep"]))]
    action: &'static str,
    src_resource: String,
    dst_resource: String,
    reason: &'static str,
}

impl From<Plan> for PlanShape {
    fn from(plan: Plan) -> Self {
        let step = |step: Step| StepShape {
            action: step.deed.name(),
            src_resource: step.source,
            dst_resource: step.destination,
            reason: step.reason,
        };
        Self {
            copy: plan.copied,
            delete: plan.deleted,
            keep: plan.kept,
            truncated: !plan.is_whole,
            objection: plan.objection,
            steps: plan.steps.into_iter().map(step).collect(),
        }
    }
}

/// `POST /api/v1/replication/plan`: what running a policy would do now.
pub(super) async fn plan(
    State(api): State<Shared>,
    caller: Caller,
    Json(request): Json<PlanRequest>,
) -> Result<axum::Json<PlanShape>, Error> {
    api.system(&caller, Resource::ReplicationPolicy, Verb::Read)?;
    let spec = match (request.policy_id, request.policy) {
        (Some(id), None) => api.replication.policy(PolicyId(id)).await?.spec,
        (None, Some(policy)) => PolicySpec::try_from(policy)?,
        _ => {
            return Err(Error::BadRequest(
                "give either policy_id or policy, the body of one".into(),
            ));
        }
    };
    Ok(axum::Json(api.replication.plan(&spec).await?.into()))
}
