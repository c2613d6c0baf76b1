//! Tag `repository`: what projects hold.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Api, Shared,
    act::Act,
    caller::Caller,
    error::Error,
    json::Json,
    openapi::Routes,
    paging::{ListQuery, Listed},
    path::PathParameters,
};
use crate::{
    audit::Operation,
    auth::{ProjectId, Resource, Verb, projects::Project, projects::Scope},
    clock::Timestamp,
    inventory::{self, Author, Editor, Repository},
    oci::RepositoryName,
    registry,
    wire::RequestId,
};

pub(super) fn routes() -> Routes {
    let all = "/projects/{project_name}/repositories";
    let one = "/projects/{project_name}/repositories/{repository_name}";
    Routes::new("repository")
        .get(
            "/repositories",
            "List repositories of all projects",
            list_all,
        )
        .open()
        .get(all, "List repositories", list)
        .needs_in_project(Resource::Repository, Verb::List)
        .get(one, "Read a repository", read)
        .needs_in_project(Resource::Repository, Verb::Read)
        .put(one, "Describe a repository", update)
        .needs_in_project(Resource::Repository, Verb::Update)
        .delete(one, "Delete a repository", delete)
        .needs_in_project(Resource::Repository, Verb::Delete)
}

/// A repository.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Repository")]
struct RepositoryShape {
    id: i64,
    project_id: i64,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    artifact_count: i64,
    pull_count: i64,
    creation_time: Timestamp,
    update_time: Timestamp,
}

impl From<Repository> for RepositoryShape {
    fn from(repository: Repository) -> Self {
        Self {
            id: repository.id.0,
            project_id: repository.project_id.0,
            name: repository.name,
            description: repository.description,
            artifact_count: repository.artifact_count,
            pull_count: repository.pull_count,
            creation_time: Timestamp::from_millis(repository.created_ms),
            update_time: Timestamp::from_millis(repository.updated_ms),
        }
    }
}

/// Those of all projects that the caller may list.
async fn list_all(
    State(api): State<Shared>,
    caller: Caller,
    query: ListQuery,
) -> Result<Listed<RepositoryShape>, Error> {
    let projects = api.listable_projects(&caller).await?;
    let page = api
        .inventory
        .repositories(projects.as_deref(), query.listing())
        .await?;
    Ok(query.answer(page, RepositoryShape::from))
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    query: ListQuery,
) -> Result<Listed<RepositoryShape>, Error> {
    let may = (Resource::Repository, Verb::List);
    let project = api.project_named(&caller, &path, may).await?;
    let page = api
        .inventory
        .repositories(Some(&[project.id]), query.listing())
        .await?;
    Ok(query.answer(page, RepositoryShape::from))
}

async fn read(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<RepositoryShape>, Error> {
    let may = (Resource::Repository, Verb::Read);
    let (_, name) = api.repository(&caller, &path, may).await?;
    Ok(axum::Json(api.inventory.repository(&name).await?.into()))
}

/// What can be changed of a repository.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Repository")]
struct Description {
    #[serde(default)]
    #[schemars(length(max = DESCRIPTION_CHARS))]
    description: Option<String>,
}

async fn update(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(change): Json<Description>,
) -> Result<(), Error> {
    let may = (Resource::Repository, Verb::Update);
    let (project, name) = api.repository(&caller, &path, may).await?;
    let repository = api.inventory.repository(&name).await?;
    let Some(description) = change.description else {
        return Ok(());
    };
    if description.chars().count() > DESCRIPTION_CHARS {
        return Err(Error::BadRequest(format!(
            "a description has at most {DESCRIPTION_CHARS} characters"
        )));
    }
    api.inventory.describe(repository.id, &description).await?;
    record(
        &api,
        &caller,
        Operation::Update,
        (&project, &name),
        "described",
    );
    Ok(())
}

async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    let may = (Resource::Repository, Verb::Delete);
    let (project, name) = api.repository(&caller, &path, may).await?;
    api.editor(&caller).delete_repository(&name).await?;
    record(
        &api,
        &caller,
        Operation::Delete,
        (&project, &name),
        "deleted",
    );
    Ok(())
}

fn record(
    api: &Api,
    caller: &Caller,
    operation: Operation,
    (project, name): (&Project, &RepositoryName),
    did: &str,
) {
    let act = Act {
        operation,
        resource_type: "repository",
        resource: name.as_str(),
        project: Some(&project.name),
        description: format!("{did} the repository {name}"),
    };
    api.record(caller, &act);
}

impl Api {
    /// The project and the repository in the path, if the caller may do this there. Whether the
    /// repository exists is not asked.
    pub(super) async fn repository(
        &self,
        caller: &Caller,
        path: &PathParameters,
        may: (Resource, Verb),
    ) -> Result<(Project, RepositoryName), Error> {
        let project = self.project_named(caller, path, may).await?;
        let within = path.text("repository_name");
        // Clients encode the slashes twice, so that proxies on the way leave them alone.
        let within = percent_encoding::percent_decode_str(within).decode_utf8_lossy();
        let name = format!("{}/{within}", project.name);
        let unknown = |_invalid| Error::not_found("repository", &name);
        let name = name.parse().map_err(unknown)?;
        Ok((project, name))
    }

    /// Changes the registry as the caller, whose rights are checked.
    pub(super) fn editor(&self, caller: &Caller) -> Editor {
        let author = Author {
            name: caller.principal.name().to_owned(),
            address: Some(caller.peer.address),
            request_id: caller.request_id.clone().map(RequestId),
        };
        self.inventory.editor(self.registry.on_behalf_of(&author))
    }

    /// The projects whose repositories the caller may list; `None`: all.
    pub(super) async fn listable_projects(
        &self,
        caller: &Caller,
    ) -> Result<Option<Vec<ProjectId>>, Error> {
        if caller.principal.is_system_admin() {
            return Ok(None);
        }
        let may = (Resource::Repository, Verb::List);
        let listable = self.permitted_projects(caller, Scope::Visible, may).await?;
        Ok(Some(listable.iter().map(|project| project.id).collect()))
    }
}

impl From<inventory::Error> for Error {
    fn from(error: inventory::Error) -> Self {
        let message = error.to_string();
        match (error.kind(), error) {
            (inventory::Kind::NotFound, _) => Self::NotFound(message),
            (inventory::Kind::Conflict, _) => Self::Conflict(message),
            (_, inventory::Error::Store(error)) => error.into(),
            (_, inventory::Error::Registry(error)) => of_registry(error),
            (inventory::Kind::Unavailable, error) => Self::Unavailable(error.into()),
            (_, error) => Self::internal(error),
        }
    }
}

/// What the registry, or a rule that guards it, has against a change.
fn of_registry(error: registry::Error) -> Error {
    let message = match &error {
        registry::Error::Refused(refusal) => refusal.message.clone(),
        other => other.to_string(),
    };
    match error.kind() {
        registry::Kind::NotFound => Error::NotFound(message),
        registry::Kind::Denied => Error::Forbidden(message),
        registry::Kind::Unsupported => Error::Precondition(message),
        registry::Kind::Invalid if error.is_precondition() => Error::Precondition(message),
        _ if error.retryable() => Error::Unavailable(error.into()),
        _ => Error::internal(error),
    }
}

/// Harbor's limit is PostgreSQL's; people write paragraphs.
const DESCRIPTION_CHARS: usize = 65_536;
