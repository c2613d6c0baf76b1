//! Tag `auditlog`: who did what, as far as the caller may know it.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Api, Shared,
    caller::Caller,
    error::Error,
    openapi::Routes,
    paging::{ListQuery, Listed},
    path::PathParameters,
};
use crate::{
    audit::{EVENT_TYPES, Entry, View},
    auth::{Resource, Verb, projects::Scope},
    clock::Timestamp,
};

pub(super) fn routes() -> Routes {
    Routes::new("auditlog")
        .get("/audit-logs", "List what was done", list)
        .signed_in()
        .get(
            "/auditlog-exts",
            "List what was done, and how it ended",
            list_ext,
        )
        .signed_in()
        .get("/auditlog-exts/events", "List what can be recorded", events)
        .signed_in()
        .get(
            "/projects/{project_name}/logs",
            "List what was done in a project",
            list_project,
        )
        .needs_in_project(Resource::Log, Verb::List)
        .get(
            "/projects/{project_name}/auditlog-exts",
            "List what was done in a project, and how it ended",
            list_project_ext,
        )
        .needs_in_project(Resource::Log, Verb::List)
}

/// What was done, by whom.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditLog")]
struct EntryShape {
    id: i64,
    username: String,
    resource: String,
    resource_type: String,
    operation: String,
    op_time: Timestamp,
}

impl From<Entry> for EntryShape {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id,
            username: entry.user_name,
            resource: entry.resource,
            resource_type: entry.resource_type,
            operation: entry.operation,
            op_time: Timestamp::from_millis(entry.at_ms),
        }
    }
}

/// What was done, by whom, and how it ended.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditLogExt")]
struct EntryExtShape {
    #[serde(flatten)]
    entry: EntryShape,
    operation_description: String,
    operation_result: bool,
}

impl From<Entry> for EntryExtShape {
    fn from(mut entry: Entry) -> Self {
        Self {
            operation_description: std::mem::take(&mut entry.description),
            operation_result: entry.succeeded,
            entry: entry.into(),
        }
    }
}

/// What can be recorded.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditLogEventType")]
struct EventType {
    event_type: String,
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    query: ListQuery,
) -> Result<Listed<EntryShape>, Error> {
    let view = api.audit_view(&caller).await?;
    answer::<EntryShape>(&api, &view, &query).await
}

async fn list_ext(
    State(api): State<Shared>,
    caller: Caller,
    query: ListQuery,
) -> Result<Listed<EntryExtShape>, Error> {
    let view = api.audit_view(&caller).await?;
    answer::<EntryExtShape>(&api, &view, &query).await
}

async fn list_project(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    query: ListQuery,
) -> Result<Listed<EntryShape>, Error> {
    let may = (Resource::Log, Verb::List);
    let project = api.project_named(&caller, &path, may).await?;
    answer::<EntryShape>(&api, &View::Projects(vec![project.name]), &query).await
}

async fn list_project_ext(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    query: ListQuery,
) -> Result<Listed<EntryExtShape>, Error> {
    let may = (Resource::Log, Verb::List);
    let project = api.project_named(&caller, &path, may).await?;
    answer::<EntryExtShape>(&api, &View::Projects(vec![project.name]), &query).await
}

async fn answer<T: From<Entry>>(
    api: &Api,
    view: &View,
    query: &ListQuery,
) -> Result<Listed<T>, Error> {
    let page = api.audit_log.entries(view, query.listing()).await?;
    let last = page.items.last().map(|entry| entry.id);
    Ok(query.answer_from(last, page, T::from))
}

async fn events(caller: Caller) -> Result<axum::Json<Vec<EventType>>, Error> {
    caller.signed_in()?;
    let types = EVENT_TYPES.iter().map(|(operation, thing)| EventType {
        event_type: format!("{}_{thing}", operation.as_str()),
    });
    Ok(axum::Json(types.collect()))
}

impl Api {
    /// Everything for those who may read it, else what was done in the caller's own projects.
    async fn audit_view(&self, caller: &Caller) -> Result<View, Error> {
        let principal = caller.signed_in()?;
        let may_all = self
            .auth
            .permits_system(principal, Resource::AuditLog, Verb::List);
        if may_all {
            return Ok(View::Everything);
        }
        let may = (Resource::Log, Verb::List);
        let own = self.permitted_projects(caller, Scope::Joined, may).await?;
        let names = own.into_iter().map(|project| project.name).collect();
        Ok(View::Projects(names))
    }
}
