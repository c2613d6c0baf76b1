//! Tags `search` and `statistic`: what is there, as far as the caller may see it.

use std::collections::BTreeMap;

use axum::extract::State;
use http::Uri;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Api, Shared,
    caller::Caller,
    error::Error,
    openapi::Routes,
    paging,
    projects::{self, ProjectShape},
};
use crate::{
    auth::{
        ProjectId, Resource, Verb,
        projects::{Project, Scope},
    },
    store::{Filter, Listing, Test},
};

pub(super) fn routes() -> Routes {
    Routes::new("search")
        .get("/search", "Find projects and repositories", search)
        .requires(&["q"])
        .open()
        .get("/statistics", "Count projects and repositories", statistics)
        .signed_in()
}

/// Projects and repositories that were found by their names.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Search")]
struct Found {
    project: Vec<ProjectShape>,
    repository: Vec<FoundRepository>,
}

/// A repository that was found.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SearchRepository")]
struct FoundRepository {
    project_id: i64,
    project_name: String,
    project_public: bool,
    repository_name: String,
    pull_count: i64,
    artifact_count: i64,
}

/// Projects and repositories whose names hold the text.
async fn search(
    State(api): State<Shared>,
    caller: Caller,
    uri: Uri,
) -> Result<axum::Json<Found>, Error> {
    let parameters = paging::parameters(&uri);
    let text = paging::required(&parameters, "q")?.to_lowercase();
    let mut named = Vec::new();
    let query = Listing {
        filters: vec![Filter {
            field: "name".to_owned(),
            test: Test::Contains(text.clone()),
        }],
        limit: Some(PROJECTS_FOUND_AT_MOST),
        ..Listing::default()
    };
    for project in visible(&api, &caller, &query).await? {
        named.push(projects::plain(&api, project).await?);
    }
    Ok(axum::Json(Found {
        project: named,
        repository: matching_repositories(&api, &caller, &text).await?,
    }))
}

async fn matching_repositories(
    api: &Api,
    caller: &Caller,
    text: &str,
) -> Result<Vec<FoundRepository>, Error> {
    let query = Listing {
        filters: vec![Filter {
            field: "name".to_owned(),
            test: Test::Contains(text.to_owned()),
        }],
        limit: Some(REPOSITORIES_FOUND_AT_MOST),
        ..Listing::default()
    };
    let may = (Resource::Repository, Verb::List);
    let projects = api.permitted_projects(caller, Scope::Visible, may).await?;
    let projects: BTreeMap<ProjectId, Project> = projects
        .into_iter()
        .map(|project| (project.id, project))
        .collect();
    let within: Vec<ProjectId> = projects.keys().copied().collect();
    let within = (!caller.principal.is_system_admin()).then_some(&*within);
    let page = api.inventory.repositories(within, &query).await?;
    let found = page.items.into_iter().filter_map(|repository| {
        let project = projects.get(&repository.project_id)?;
        Some(FoundRepository {
            project_id: project.id.0,
            project_name: project.name.clone(),
            project_public: project.public,
            repository_name: repository.name,
            pull_count: repository.pull_count,
            artifact_count: repository.artifact_count,
        })
    });
    Ok(found.collect())
}

/// How many projects and repositories there are. The totals are for system administrators.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "Statistic")]
struct Statistic {
    private_project_count: usize,
    private_repo_count: i64,
    public_project_count: usize,
    public_repo_count: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_project_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_repo_count: Option<i64>,
    /// Bytes of all that is in an artifact, each digest once.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_storage_consumption: Option<i64>,
}

async fn statistics(
    State(api): State<Shared>,
    caller: Caller,
) -> Result<axum::Json<Statistic>, Error> {
    caller.signed_in()?;
    let counts = api.inventory.repository_counts().await?;
    let mut statistic = Statistic::default();
    for project in visible(&api, &caller, &Listing::default()).await? {
        let count = counts.get(&project.id).copied().unwrap_or_default();
        if project.public {
            statistic.public_project_count += 1;
            statistic.public_repo_count += count;
        } else {
            statistic.private_project_count += 1;
            statistic.private_repo_count += count;
        }
    }
    if caller.principal.is_system_admin() {
        let projects = statistic.public_project_count + statistic.private_project_count;
        statistic.total_project_count = Some(projects);
        statistic.total_repo_count = Some(counts.values().sum());
        statistic.total_storage_consumption = Some(api.inventory.stored_bytes().await?);
    }
    Ok(axum::Json(statistic))
}

async fn visible(api: &Api, caller: &Caller, listing: &Listing) -> Result<Vec<Project>, Error> {
    let viewer = &caller.principal;
    Ok(api
        .auth
        .projects(viewer, Scope::Visible, listing)
        .await?
        .items)
}

/// What one search shows at most; who sees so much narrows the text.
const PROJECTS_FOUND_AT_MOST: i64 = 100;
const REPOSITORIES_FOUND_AT_MOST: i64 = 1000;
