//! Tag `jobservice`: worker pools, workers, queues of jobs, and jobs by their numbers.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Api, Shared, act::Act, answer::PlainText, caller::Caller, error::Error, json::Json,
    openapi::Routes, path::PathParameters,
};
use crate::{
    audit::Operation,
    auth::{Resource, Verb},
    clock::Timestamp,
    jobs::{self, Filter, Instance, SCHEDULER, Work},
};

pub(super) fn routes() -> Routes {
    Routes::new("jobservice")
        .get("/jobservice/pools", "The processes that run jobs", pools)
        .needs(Resource::JobServiceMonitor, Verb::List)
        .get(
            "/jobservice/pools/{pool_id}/workers",
            "Their workers",
            workers,
        )
        .needs(Resource::JobServiceMonitor, Verb::List)
        .put("/jobservice/jobs/{job_id}", "Stop a job", stop)
        .needs(Resource::JobServiceMonitor, Verb::Stop)
        .get("/jobservice/jobs/{job_id}/log", "What a job wrote", log)
        .needs(Resource::JobServiceMonitor, Verb::List)
        .get(
            "/jobservice/queues",
            "The queues of the kinds of jobs",
            queues,
        )
        .needs(Resource::JobServiceMonitor, Verb::List)
        .put(
            "/jobservice/queues/{job_type}",
            "Stop what waits, pause or resume",
            steer,
        )
        .needs(Resource::JobServiceMonitor, Verb::Stop)
}

/// A process that runs jobs.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WorkerPool")]
struct PoolShape {
    pid: i64,
    worker_pool_id: String,
    start_at: Timestamp,
    heartbeat_at: Timestamp,
    concurrency: u32,
    host: String,
}

impl From<Instance> for PoolShape {
    fn from(instance: Instance) -> Self {
        Self {
            pid: instance.pid,
            worker_pool_id: instance.id,
            start_at: instance.started,
            heartbeat_at: instance.heartbeat,
            concurrency: instance.workers,
            host: instance.host,
        }
    }
}

/// A worker; one without a job is idle.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Worker")]
struct WorkerShape {
    id: String,
    pool_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_at: Option<Timestamp>,
}

/// The jobs of one kind that wait; the latency in seconds.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "JobQueue")]
struct QueueShape {
    job_type: String,
    count: i64,
    latency: u64,
    paused: bool,
}

async fn pools(
    State(api): State<Shared>,
    caller: Caller,
) -> Result<axum::Json<Vec<PoolShape>>, Error> {
    api.system(&caller, Resource::JobServiceMonitor, Verb::List)?;
    let instances = api.jobs.instances().await?;
    Ok(axum::Json(
        instances.into_iter().map(PoolShape::from).collect(),
    ))
}

async fn workers(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<Vec<WorkerShape>>, Error> {
    api.system(&caller, Resource::JobServiceMonitor, Verb::List)?;
    let wanted = path.text("pool_id");
    let instances = api.jobs.instances().await?.into_iter();
    let pools: Vec<Instance> = instances
        .filter(|instance| wanted.eq_ignore_ascii_case(ALL) || instance.id == wanted)
        .collect();
    if pools.is_empty() && !wanted.eq_ignore_ascii_case(ALL) {
        return Err(Error::not_found("worker pool", wanted));
    }
    let work = api.jobs.work().await?;
    let workers = pools.iter().flat_map(|pool| workers_of(pool, &work));
    Ok(axum::Json(workers.collect()))
}

/// The workers of one pool: the busy ones, then the idle ones.
fn workers_of<'a>(pool: &'a Instance, work: &'a [Work]) -> impl Iterator<Item = WorkerShape> {
    let jobs = work
        .iter()
        .filter(|work| work.instance == pool.id)
        .map(Some);
    let seats = usize::try_from(pool.workers).unwrap_or(0);
    jobs.chain(std::iter::repeat(None))
        .take(seats)
        .enumerate()
        .map(|(seat, work)| WorkerShape {
            id: format!("{}-{}", pool.id, seat + 1),
            pool_id: pool.id.clone(),
            job_name: work.map(|work| work.kind.clone()),
            job_id: work.map(|work| work.job.to_string()),
            start_at: work.and_then(|work| work.started),
        })
}

async fn stop(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    api.system(&caller, Resource::JobServiceMonitor, Verb::Stop)?;
    let id = path.job()?;
    api.jobs.stop(id).await?;
    record(
        &api,
        &caller,
        &id.to_string(),
        format!("stopped the job {id}"),
    );
    Ok(())
}

async fn log(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<PlainText, Error> {
    api.system(&caller, Resource::JobServiceMonitor, Verb::List)?;
    let text = api.jobs.log(path.job()?).await?;
    Ok(PlainText::new(text))
}

async fn queues(
    State(api): State<Shared>,
    caller: Caller,
) -> Result<axum::Json<Vec<QueueShape>>, Error> {
    api.system(&caller, Resource::JobServiceMonitor, Verb::List)?;
    let queues = api.jobs.queues().await?.into_iter();
    let shapes = queues.map(|queue| QueueShape {
        job_type: queue.kind,
        count: queue.waiting,
        latency: queue.latency.as_secs(),
        paused: queue.paused,
    });
    Ok(axum::Json(shapes.collect()))
}

/// What is to be done with a queue.
#[derive(Debug, Deserialize, JsonSchema)]
struct ActionRequest {
    #[schemars(extend("enum" = ["resume", "pause", "stop"]))]
    action: String,
}

/// Stops what waits in a queue, pauses it or resumes it; `all` means every queue.
async fn steer(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(ActionRequest { action }): Json<ActionRequest>,
) -> Result<(), Error> {
    api.system(&caller, Resource::JobServiceMonitor, Verb::Stop)?;
    let wanted = path.text("job_type");
    let queues = api.jobs.queues().await?.into_iter().map(|queue| queue.kind);
    let kinds: Vec<String> = queues
        .filter(|kind| wanted.eq_ignore_ascii_case(ALL) || wanted.eq_ignore_ascii_case(kind))
        .collect();
    if kinds.is_empty() {
        return Err(Error::not_found("job queue", wanted));
    }
    for kind in kinds {
        let done = match action.to_ascii_lowercase().as_str() {
            "stop" if kind == SCHEDULER => continue,
            "stop" => stop_waiting(&api, &kind).await.map(|()| "stopped")?,
            "pause" => api.jobs.pause(&kind).await.map(|()| "paused")?,
            "resume" => api.jobs.resume(&kind).await.map(|()| "resumed")?,
            _ => {
                return Err(Error::BadRequest(format!(
                    "`{action}` is not an action; there are stop, pause and resume"
                )));
            }
        };
        record(&api, &caller, &kind, format!("{done} the job queue {kind}"));
    }
    Ok(())
}

/// Stops what waits; what runs already runs on.
async fn stop_waiting(api: &Api, kind: &str) -> Result<(), Error> {
    for state in [jobs::State::Ready, jobs::State::Retry] {
        let filter = Filter {
            kind: Some(kind.to_owned()),
            state: Some(state),
            ..Filter::default()
        };
        api.jobs.stop_where(&filter).await?;
    }
    Ok(())
}

fn record(api: &Api, caller: &Caller, resource: &str, description: String) {
    let act = Act {
        operation: Operation::Update,
        resource_type: "job",
        resource,
        project: None,
        description,
    };
    api.record(caller, &act);
}

/// Every pool, every queue.
const ALL: &str = "all";
