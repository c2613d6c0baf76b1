use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    api::{Shared, caller::Caller, error::Error},
    auth::{Resource, Verb},
    clock::Timestamp,
    jobs::{Backlog, ParkedTarget},
    replication::{PolicyLag, TargetLag},
};

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Lag")]
pub(super) struct LagShape {
    policies: Vec<PolicyShape>,
    targets: Vec<TargetShape>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PolicyLag")]
struct PolicyShape {
    policy_id: i64,
    policy: String,
    enabled: bool,
    registry_id: i64,
    #[serde(flatten)]
    backlog: BacklogShape,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TargetLag")]
struct TargetShape {
    registry_id: i64,
    registry: String,
    #[serde(flatten)]
    backlog: BacklogShape,
    /// Why nothing is sent there for the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    parked: Option<ParkedShape>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Backlog")]
struct BacklogShape {
    waiting: u64,
    running: u64,
    retrying: u64,
    failed_last_day: u64,
    /// When the oldest change that is missing there was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<Timestamp>,
    lag_seconds: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Parked")]
struct ParkedShape {
    reason: String,
    until: Timestamp,
}

impl BacklogShape {
    fn new(backlog: &Backlog, now: Timestamp) -> Self {
        Self {
            waiting: backlog.waiting,
            running: backlog.running,
            retrying: backlog.retrying,
            failed_last_day: backlog.failed,
            oldest: backlog.oldest,
            lag_seconds: backlog.lag(now).as_secs(),
        }
    }
}

impl PolicyShape {
    fn new(policy: PolicyLag, now: Timestamp) -> Self {
        Self {
            policy_id: policy.id.0,
            policy: policy.name,
            enabled: policy.enabled,
            registry_id: policy.registry.0,
            backlog: BacklogShape::new(&policy.backlog, now),
        }
    }
}

impl TargetShape {
    fn new(target: TargetLag, now: Timestamp) -> Self {
        let parked = |parked: ParkedTarget| ParkedShape {
            reason: parked.reason,
            until: parked.until,
        };
        Self {
            registry_id: target.registry.0,
            registry: target.name,
            backlog: BacklogShape::new(&target.backlog, now),
            parked: target.parked.map(parked),
        }
    }
}

/// `GET /api/v1/replication/lag`: how far policies and targets are behind.
pub(super) async fn lag(
    State(api): State<Shared>,
    caller: Caller,
) -> Result<axum::Json<LagShape>, Error> {
    api.system(&caller, Resource::ReplicationPolicy, Verb::Read)?;
    let lag = api.replication.lag().await?;
    let now = api.clock.now();
    let policies = lag.policies.into_iter();
    let targets = lag.targets.into_iter();
    Ok(axum::Json(LagShape {
        policies: policies
            .map(|policy| PolicyShape::new(policy, now))
            .collect(),
        targets: targets
            .map(|target| TargetShape::new(target, now))
            .collect(),
    }))
}
