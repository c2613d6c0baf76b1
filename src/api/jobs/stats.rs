//! `GET /api/v1/stats`: the processes that run jobs.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::{Shared, caller::Caller, error::Error};

/// jobservice's `Stats`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WorkerStats")]
pub(super) struct Stats {
    worker_pools: Vec<Pool>,
}

/// jobservice's `StatsData`; times in seconds.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WorkerPoolStats")]
struct Pool {
    worker_pool_id: String,
    started_at: i64,
    heartbeat_at: i64,
    job_names: Vec<String>,
    concurrency: u32,
    #[schemars(extend("enum" = ["Healthy", "Dead"]))]
    status: &'static str,
}

pub(super) async fn stats(
    State(api): State<Shared>,
    caller: Caller,
) -> Result<axum::Json<Stats>, Error> {
    caller.administrator()?;
    let now = api.clock.now();
    let instances = api.jobs.instances().await?.into_iter();
    let worker_pools = instances.map(|instance| Pool {
        status: if instance.is_alive(now) {
            "Healthy"
        } else {
            "Dead"
        },
        worker_pool_id: instance.id,
        started_at: instance.started.seconds(),
        heartbeat_at: instance.heartbeat.seconds(),
        job_names: instance.kinds,
        concurrency: instance.workers,
    });
    Ok(axum::Json(Stats {
        worker_pools: worker_pools.collect(),
    }))
}
