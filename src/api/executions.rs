//! Tag `replication`, executions: runs of policies, their tasks and logs.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Api, Shared,
    act::Act,
    answer::{Created, PlainText},
    caller::Caller,
    error::Error,
    json::Json,
    openapi::Routes,
    paging::{ListQuery, Listed},
    path::PathParameters,
};
use crate::{
    audit::Operation,
    auth::{Resource, Verb},
    clock::Timestamp,
    replication::{Execution, ExecutionId, PolicyId, Task, TaskId},
    store::Test,
};

pub(super) fn routes() -> Routes {
    let all = "/replication/executions";
    let one = "/replication/executions/{id}";
    Routes::new("replication")
        .get(all, "List runs of policies", list)
        .needs(Resource::Replication, Verb::List)
        .post(all, "Run a policy", start)
        .needs(Resource::Replication, Verb::Create)
        .get(one, "Read a run", read)
        .needs(Resource::Replication, Verb::Read)
        .put(one, "Stop a run", stop)
        .needs(Resource::Replication, Verb::Create)
        .get(&format!("{one}/tasks"), "List the tasks of a run", tasks)
        .needs(Resource::Replication, Verb::List)
        .get(
            &format!("{one}/tasks/{{task_id}}/log"),
            "What a task wrote",
            log,
        )
        .needs(Resource::Replication, Verb::Read)
}

/// A run of a policy, with its tasks counted.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReplicationExecution")]
struct ExecutionShape {
    id: i64,
    policy_id: i64,
    status: &'static str,
    status_text: String,
    trigger: String,
    start_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<Timestamp>,
    total: u64,
    failed: u64,
    succeed: u64,
    in_progress: u64,
    stopped: u64,
}

impl From<Execution> for ExecutionShape {
    fn from(execution: Execution) -> Self {
        let counts = execution.counts;
        Self {
            id: execution.id.0,
            policy_id: execution.policy_id.0,
            status: execution.status.name(),
            status_text: execution.status_text,
            trigger: execution.trigger,
            start_time: execution.started,
            end_time: execution.ended,
            total: counts.total,
            failed: counts.failed,
            succeed: counts.succeed,
            in_progress: counts.in_progress,
            stopped: counts.stopped,
        }
    }
}

/// What a run did with one reference.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReplicationTask")]
struct TaskShape {
    id: i64,
    execution_id: i64,
    status: &'static str,
    /// Ours: why it failed, or what was left undone.
    #[serde(skip_serializing_if = "String::is_empty")]
    status_text: String,
    job_id: String,
    operation: &'static str,
    resource_type: &'static str,
    src_resource: String,
    dst_resource: String,
    start_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<Timestamp>,
}

impl From<Task> for TaskShape {
    fn from(task: Task) -> Self {
        Self {
            id: task.id.0,
            execution_id: task.execution_id.0,
            status: task.status.name(),
            status_text: task.status_text,
            job_id: task.job_id.to_string(),
            operation: task.operation.name(),
            resource_type: TASK_RESOURCE,
            src_resource: task.source,
            dst_resource: task.destination,
            start_time: task.started,
            end_time: task.ended,
        }
    }
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    query: ListQuery,
) -> Result<Listed<ExecutionShape>, Error> {
    api.system(&caller, Resource::Replication, Verb::List)?;
    let query = query
        .and_parameter("policy_id", "policy_id", Test::Equals)
        .and_parameter("status", "status", Test::Equals)
        .and_parameter("trigger", "trigger", Test::Equals);
    let page = api.replication.executions(query.listing()).await?;
    Ok(query.answer(page, ExecutionShape::from))
}

/// Which policy is to run.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "StartReplicationExecution")]
struct Start {
    policy_id: i64,
}

async fn start(
    State(api): State<Shared>,
    caller: Caller,
    Json(start): Json<Start>,
) -> Result<Created, Error> {
    api.system(&caller, Resource::Replication, Verb::Create)?;
    let policy = api.replication.policy(PolicyId(start.policy_id)).await?;
    let id = api.replication.run_policy(policy.id).await?;
    let description = format!("ran the replication policy {}", policy.spec.name);
    record(&api, &caller, (Operation::Create, id), description);
    Ok(Created::at("/replication/executions", id))
}

async fn read(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<ExecutionShape>, Error> {
    api.system(&caller, Resource::Replication, Verb::Read)?;
    let id = ExecutionId(path.id("id")?);
    Ok(axum::Json(api.replication.execution(id).await?.into()))
}

async fn stop(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    api.system(&caller, Resource::Replication, Verb::Create)?;
    let id = ExecutionId(path.id("id")?);
    api.replication.stop_execution(id).await?;
    let description = format!("stopped the replication execution {id}");
    record(&api, &caller, (Operation::Update, id), description);
    Ok(())
}

async fn tasks(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    query: ListQuery,
) -> Result<Listed<TaskShape>, Error> {
    api.system(&caller, Resource::Replication, Verb::List)?;
    let wanted = query.parameter("resource_type");
    let none_match = wanted.is_some_and(|kind| kind != TASK_RESOURCE);
    let query = query.and_parameter("status", "status", Test::Equals);
    let query = if none_match {
        query.and("status", Test::AnyOf(Vec::new()))
    } else {
        query
    };
    let id = ExecutionId(path.id("id")?);
    let page = api.replication.tasks(id, query.listing()).await?;
    Ok(query.answer(page, TaskShape::from))
}

async fn log(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<PlainText, Error> {
    api.system(&caller, Resource::Replication, Verb::Read)?;
    let execution = ExecutionId(path.id("id")?);
    let task = TaskId(path.id("task_id")?);
    let text = api.replication.task_log(execution, task).await?;
    Ok(PlainText::new(text))
}

fn record(
    api: &Api,
    caller: &Caller,
    (operation, id): (Operation, ExecutionId),
    description: String,
) {
    let act = Act {
        operation,
        resource_type: "replication",
        resource: &id.to_string(),
        project: None,
        description,
    };
    api.record(caller, &act);
}

/// A task copies whatever the reference is when it runs: Harbor's word for that.
const TASK_RESOURCE: &str = "artifact";
