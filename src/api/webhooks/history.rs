//! What became of events: executions, their tasks and logs.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::{permitted, policy_id};
use crate::{
    api::{
        Shared,
        answer::PlainText,
        caller::Caller,
        error::Error,
        openapi::Routes,
        paging::{ListQuery, Listed},
        path::PathParameters,
    },
    auth::{Resource, Verb},
    clock::Timestamp,
    store::Test,
    webhook::{Execution, ExecutionId, LastTrigger, PolicyId, Task, TaskId},
};

pub(super) fn routes() -> Routes {
    let project = "/projects/{project_name_or_id}/webhook";
    let all = "/projects/{project_name_or_id}/webhook/policies/{webhook_policy_id}/executions";
    let jobs = Routes::new("webhookjob")
        .get(&format!("{project}/jobs"), "List deliveries", deliveries)
        .needs_in_project(Resource::NotificationPolicy, Verb::List);
    Routes::new("webhook")
        .get(
            &format!("{project}/lasttrigger"),
            "When each policy last had an event",
            last_triggers,
        )
        .needs_in_project(Resource::NotificationPolicy, Verb::Read)
        .get(all, "List the events of a webhook policy", executions)
        .needs_in_project(Resource::NotificationPolicy, Verb::Read)
        .get(
            &format!("{all}/{{execution_id}}/tasks"),
            "List the deliveries of an event",
            tasks,
        )
        .needs_in_project(Resource::NotificationPolicy, Verb::Read)
        .get(
            &format!("{all}/{{execution_id}}/tasks/{{task_id}}/log"),
            "What a delivery wrote",
            log,
        )
        .needs_in_project(Resource::NotificationPolicy, Verb::Read)
        .merge(jobs)
}

/// An event that a policy was for, and what became of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Execution")]
struct ExecutionShape {
    id: i64,
    vendor_type: &'static str,
    vendor_id: i64,
    status: String,
    status_message: String,
    metrics: Metrics,
    trigger: &'static str,
    #[schemars(with = "serde_json::Map<String, Value>")]
    extra_attrs: Value,
    start_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<Timestamp>,
}

/// Deliveries of an event.
#[derive(Debug, Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the contract's names")]
struct Metrics {
    task_count: i64,
    success_task_count: i64,
    error_task_count: i64,
    running_task_count: i64,
    stopped_task_count: i64,
}

impl From<Execution> for ExecutionShape {
    fn from(execution: Execution) -> Self {
        Self {
            id: execution.id.0,
            vendor_type: execution.notify_type.job_kind(),
            vendor_id: execution.policy.0,
            status: execution.status,
            status_message: execution.message,
            metrics: Metrics {
                task_count: execution.total,
                success_task_count: execution.succeed,
                error_task_count: execution.failed,
                running_task_count: execution.in_progress,
                stopped_task_count: execution.stopped,
            },
            trigger: "EVENT",
            extra_attrs: json!({
                "event_type": execution.event_type,
                "payload": execution.body,
            }),
            start_time: execution.created,
            end_time: execution.ended,
        }
    }
}

/// A delivery.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Task")]
struct TaskShape {
    id: i64,
    execution_id: i64,
    status: String,
    status_message: String,
    run_count: i64,
    #[schemars(with = "serde_json::Map<String, Value>")]
    extra_attrs: Value,
    creation_time: Timestamp,
    update_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<Timestamp>,
}

impl From<Task> for TaskShape {
    fn from(task: Task) -> Self {
        Self {
            id: task.id.0,
            execution_id: task.execution.0,
            status: task.status,
            status_message: task.message,
            run_count: task.run_count,
            extra_attrs: json!({
                "event_type": task.event_type,
                "notify_type": task.notify_type.name(),
                "address": task.address,
                "payload": task.body,
                // Ours: for the job API, which can retry it.
                "job_id": task.job.to_string(),
            }),
            creation_time: task.created,
            update_time: task.updated,
            start_time: task.started,
            end_time: task.ended,
        }
    }
}

/// When a policy last had an event of a type.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookLastTrigger")]
struct LastTriggerShape {
    policy_name: String,
    event_type: &'static str,
    enabled: bool,
    creation_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_trigger_time: Option<Timestamp>,
}

impl From<LastTrigger> for LastTriggerShape {
    fn from(trigger: LastTrigger) -> Self {
        Self {
            policy_name: trigger.policy_name,
            event_type: trigger.event_type.name(),
            enabled: trigger.enabled,
            creation_time: trigger.created,
            last_trigger_time: trigger.last,
        }
    }
}

/// An event, in an older form.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WebhookJob")]
struct DeliveryShape {
    id: i64,
    policy_id: i64,
    event_type: String,
    notify_type: &'static str,
    status: String,
    job_detail: String,
    creation_time: Timestamp,
    update_time: Timestamp,
}

impl From<Execution> for DeliveryShape {
    fn from(execution: Execution) -> Self {
        Self {
            id: execution.id.0,
            policy_id: execution.policy.0,
            event_type: execution.event_type,
            notify_type: execution.notify_type.name(),
            status: execution.status,
            job_detail: execution.body,
            creation_time: execution.created,
            update_time: execution.ended.unwrap_or(execution.created),
        }
    }
}

async fn last_triggers(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<Vec<LastTriggerShape>>, Error> {
    let project = permitted(&api, &caller, &path, Verb::Read).await?;
    let triggers = api.webhooks.last_triggers(project.id).await?;
    let shapes: Vec<LastTriggerShape> = triggers.into_iter().map(Into::into).collect();
    Ok(axum::Json(shapes))
}

async fn executions(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    query: ListQuery,
) -> Result<Listed<ExecutionShape>, Error> {
    let project = permitted(&api, &caller, &path, Verb::Read).await?;
    let policy = api.webhooks.policy(project.id, policy_id(&path)?).await?;
    let page = api.webhooks.executions(policy.id, query.listing()).await?;
    Ok(query.answer(page, ExecutionShape::from))
}

async fn tasks(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    query: ListQuery,
) -> Result<Listed<TaskShape>, Error> {
    let project = permitted(&api, &caller, &path, Verb::Read).await?;
    let policy = api.webhooks.policy(project.id, policy_id(&path)?).await?;
    let execution = ExecutionId(path.id("execution_id")?);
    let page = api
        .webhooks
        .tasks(policy.id, execution, query.listing())
        .await?;
    Ok(query.answer(page, TaskShape::from))
}

async fn log(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<PlainText, Error> {
    let project = permitted(&api, &caller, &path, Verb::Read).await?;
    let policy = api.webhooks.policy(project.id, policy_id(&path)?).await?;
    let execution = ExecutionId(path.id("execution_id")?);
    let task = TaskId(path.id("task_id")?);
    let text = api.webhooks.task_log(policy.id, execution, task).await?;
    Ok(PlainText::new(text))
}

/// As in Harbor, one row for each event.
async fn deliveries(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    query: ListQuery,
) -> Result<Listed<DeliveryShape>, Error> {
    let project = permitted(&api, &caller, &path, Verb::List).await?;
    let wanted = query.parameter("policy_id");
    let wanted = wanted.and_then(|text| text.parse().ok());
    let id = wanted.ok_or_else(|| {
        Error::Unprocessable("policy_id in query is required and must be an id".into())
    })?;
    let policy = api.webhooks.policy(project.id, PolicyId(id)).await?;
    let statuses = query.parameters("status");
    let query = if statuses.is_empty() {
        query
    } else {
        query.and("status", Test::AnyOf(statuses))
    };
    let page = api.webhooks.executions(policy.id, query.listing()).await?;
    Ok(query.answer(page, DeliveryShape::from))
}
