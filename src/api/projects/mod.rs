//! Tag `project`: namespaces of repositories. `shape.rs` is what a project looks like,
//! `contents.rs` what depends on what it holds.

mod contents;
mod shape;

use axum::extract::State;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Api, Shared,
    act::Act,
    answer::Created,
    caller::Caller,
    error::Error,
    json::Json,
    metadata::MetadataChange,
    openapi::Routes,
    paging::{ListQuery, Listed},
    path::{PathParameters, ProjectReference},
};
use crate::{
    audit::Operation,
    auth::{
        Resource, Verb,
        projects::{Metadata, NewProject, Scope},
    },
    inventory,
    store::{Page, Test},
};

pub(super) use shape::{ProjectShape, plain};

pub(super) fn routes() -> Routes {
    let one = "/projects/{project_name_or_id}";
    Routes::new("project")
        .get("/projects", "List projects", list)
        .open()
        .head("/projects", "Whether a project exists", exists)
        .requires(&["project_name"])
        .signed_in()
        .post("/projects", "Create a project", create)
        .by_case(
            "users where the configuration lets them, and who may create projects in the system",
        )
        .get(one, "Read a project", read)
        .needs_in_project(Resource::Project, Verb::Read)
        .put(one, "Change a project", update)
        .needs_in_project(Resource::Project, Verb::Update)
        .delete(one, "Delete a project", contents::delete)
        .needs_in_project(Resource::Project, Verb::Delete)
        .get(
            &format!("{one}/_deletable"),
            "Whether a project can be deleted",
            contents::deletable,
        )
        .needs_in_project(Resource::Project, Verb::Delete)
        .get(
            &format!("{one}/summary"),
            "Count what is in a project",
            contents::summary,
        )
        .needs_in_project(Resource::Project, Verb::Read)
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    query: ListQuery,
) -> Result<Listed<ProjectShape>, Error> {
    let with_detail = query.flag("with_detail")?.unwrap_or(true);
    let public = query.flag("public")?;
    let query = query
        .and_parameter("name", "name", Test::Contains)
        .and_parameter("owner", "owner", Test::Equals);
    let query = match public {
        Some(public) => query.and("public", Test::Equals(public.to_string())),
        None => query,
    };
    let viewer = &caller.principal;
    let page = api
        .auth
        .projects(viewer, Scope::Visible, query.listing())
        .await?;
    let shapes = stream::iter(page.items).map(|project| {
        let api = &api;
        async move {
            if with_detail {
                shape::detailed(api, viewer, project).await
            } else {
                plain(api, project).await
            }
        }
    });
    let items = shapes.buffered(PROJECTS_AT_ONCE).try_collect().await?;
    let total = page.total;
    Ok(query.answer(Page { items, total }, |shape| shape))
}

async fn exists(State(api): State<Shared>, caller: Caller, query: ListQuery) -> Result<(), Error> {
    caller.signed_in()?;
    let name = query.parameter("project_name");
    let name = name.ok_or_else(|| Error::BadRequest("project_name in query is required".into()))?;
    let reference = ProjectReference::Name(name.to_owned());
    match api.find_project(&reference).await? {
        Some(_) => Ok(()),
        None => Err(Error::not_found("project", reference)),
    }
}

/// A project to be made, or what is to change of one.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ProjectReq")]
struct ProjectRequest {
    #[serde(default)]
    #[schemars(example = &"team")]
    project_name: Option<String>,
    /// Of Harbor 1.x; `metadata.public` is the one that counts when both are there.
    #[serde(default)]
    public: Option<bool>,
    #[serde(default)]
    metadata: Option<MetadataChange>,
    #[serde(default)]
    cve_allowlist: Option<CveAllowlist>,
    #[serde(default)]
    /// Bytes; -1 for no limit.
    #[schemars(example = -1)]
    storage_limit: Option<i64>,
    #[serde(default)]
    registry_id: Option<i64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "CVEAllowlist")]
struct CveAllowlist {
    #[serde(default)]
    #[schemars(with = "Option<Vec<serde_json::Value>>", extend("maxItems" = 0))]
    items: Option<Vec<serde::de::IgnoredAny>>,
}

impl ProjectRequest {
    /// The settings asked for, after refusing what this gateway does not do.
    fn settings(&mut self) -> Result<Metadata, Error> {
        if self.registry_id.is_some_and(|id| id > 0) {
            return Err(Error::BadRequest(
                "proxy cache projects are not supported; leave registry_id out".into(),
            ));
        }
        let listed = self
            .cve_allowlist
            .as_ref()
            .and_then(|list| list.items.as_ref());
        if listed.is_some_and(|items| !items.is_empty()) {
            return Err(Error::BadRequest(
                "CVE allowlists need a scanner, which this gateway has not; leave the items out"
                    .into(),
            ));
        }
        let mut settings = self.metadata.take().unwrap_or_default().given();
        if let Some(public) = self.public {
            settings
                .entry("public".to_owned())
                .or_insert_with(|| public.to_string());
        }
        Ok(settings)
    }
}

async fn create(
    State(api): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    Json(mut request): Json<ProjectRequest>,
) -> Result<Created, Error> {
    caller.signed_in()?;
    let settings = request.settings()?;
    let name = request.project_name.unwrap_or_default();
    // As in Harbor, limits asked for by others are not heard.
    let is_admin = caller.principal.is_system_admin();
    let new = NewProject {
        name: name.clone(),
        metadata: settings,
        storage_limit: request.storage_limit.filter(|_| is_admin),
    };
    if !is_admin && api.auth.may_create_projects(&caller.principal) {
        refuse_what_is_there(&api, &name).await?;
    }
    let id = api.auth.create_project(&caller.principal, new).await?;
    let description = format!("created project {name}");
    record(&api, &caller, Operation::Create, &name, description);
    let wants_name = headers.get("x-resource-name-in-location");
    Ok(match wants_name {
        Some(value) if value.as_bytes().eq_ignore_ascii_case(b"true") => {
            Created::at("/projects", name)
        }
        _ => Created::at("/projects", id),
    })
}

/// A registry may have content from before the gateway. Whoever creates a project may do
/// everything with what lies under its name, so that is not for everybody.
async fn refuse_what_is_there(api: &Api, name: &str) -> Result<(), Error> {
    let reason = match api.inventory.registry_has_below(name).await {
        Ok(false) => return Ok(()),
        Ok(true) => "the registry behind already has",
        Err(inventory::Error::Registry(error)) if !error.retryable() => {
            "the registry behind does not say whether it has"
        }
        Err(error) => return Err(error.into()),
    };
    Err(Error::Forbidden(format!(
        "{reason} repositories under {name}/; ask a system administrator to create the project"
    )))
}

async fn read(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<ProjectShape>, Error> {
    let may = (Resource::Project, Verb::Read);
    let project = api.project(&caller, &path, may).await?;
    let shape = shape::detailed(&api, &caller.principal, project).await?;
    Ok(axum::Json(shape))
}

async fn update(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(mut request): Json<ProjectRequest>,
) -> Result<(), Error> {
    let may = (Resource::Project, Verb::Update);
    let project = api.project(&caller, &path, may).await?;
    let settings = request.settings()?;
    if let Some(name) = &request.project_name
        && !name.is_empty()
        && *name != project.name
    {
        return Err(Error::BadRequest(format!(
            "project {} cannot be renamed to {name}",
            project.name
        )));
    }
    api.auth.set_project_metadata(project.id, settings).await?;
    if let Some(bytes) = request.storage_limit
        && caller.principal.is_system_admin()
    {
        api.auth.set_storage_limit(project.id, bytes).await?;
    }
    let description = format!("changed project {}", project.name);
    record(&api, &caller, Operation::Update, &project.name, description);
    Ok(())
}

fn record(api: &Api, caller: &Caller, operation: Operation, name: &str, description: String) {
    let act = Act {
        operation,
        resource_type: "project",
        resource: name,
        project: Some(name),
        description,
    };
    api.record(caller, &act);
}

/// Projects of a list whose details are fetched together.
const PROJECTS_AT_ONCE: usize = 4;
