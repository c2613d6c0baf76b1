//! Tags `search` and `statistic`: what is there, as far as the caller may see it.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use http::Uri;
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
        Resource, Verb,
        projects::{Project, Scope},
    },
    oci::RepositoryName,
    store::{Filter, Listing, Test},
};

pub(super) fn routes() -> Routes {
    Routes::new("search")
        .get("/search", "Find projects and repositories", search)
        .get("/statistics", "Count projects and repositories", statistics)
}

/// `Search`.
#[derive(Debug, Serialize)]
struct Found {
    project: Vec<ProjectShape>,
    repository: Vec<FoundRepository>,
}

/// `SearchRepository`.
#[derive(Debug, Serialize)]
struct FoundRepository {
    project_id: i64,
    project_name: String,
    project_public: bool,
    repository_name: RepositoryName,
}

/// Projects and repositories whose names hold the text.
async fn search(
    State(api): State<Shared>,
    caller: Caller,
    uri: Uri,
) -> Result<axum::Json<Found>, Error> {
    let parameters = paging::parameters(&uri);
    let text = paging::find(&parameters, "q");
    let text = text.ok_or_else(|| Error::Unprocessable("q in query is required".into()))?;
    let text = text.to_lowercase();
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
    let names = api.names().await?;
    let names = names.all.iter();
    let matching: Vec<_> = names.filter(|name| name.as_str().contains(text)).collect();
    let wanted = matching.iter().filter_map(|name| name.project());
    let projects = listable(api, caller, &wanted.collect()).await?;
    let found = matching.into_iter().filter_map(|name| {
        let project = projects.get(name.project()?)?;
        Some(FoundRepository {
            project_id: project.id.0,
            project_name: project.name.clone(),
            project_public: project.public,
            repository_name: name.clone(),
        })
    });
    Ok(found.take(REPOSITORIES_FOUND_AT_MOST).collect())
}

/// Those of the named projects whose repositories the caller may list, by name.
async fn listable(
    api: &Api,
    caller: &Caller,
    named: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Project>, Error> {
    let mut projects = BTreeMap::new();
    for project in visible(api, caller, &Listing::default()).await? {
        if !named.contains(project.name.as_str()) {
            continue;
        }
        let (principal, id) = (&caller.principal, project.id);
        let permits = api
            .auth
            .permits(principal, id, Resource::Repository, Verb::List);
        if permits.await? {
            projects.insert(project.name.clone(), project);
        }
    }
    Ok(projects)
}

/// `Statistic`. The totals are for system administrators.
#[derive(Debug, Default, Serialize)]
#[expect(clippy::struct_field_names, reason = "the contract's names")]
struct Statistic {
    private_project_count: usize,
    private_repo_count: usize,
    public_project_count: usize,
    public_repo_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_project_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_repo_count: Option<usize>,
}

async fn statistics(
    State(api): State<Shared>,
    caller: Caller,
) -> Result<axum::Json<Statistic>, Error> {
    caller.signed_in()?;
    let names = api.names().await?;
    let mut statistic = Statistic::default();
    for project in visible(&api, &caller, &Listing::default()).await? {
        let count = names.of_project(&project.name);
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
        statistic.total_repo_count = Some(names.all.len());
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
const REPOSITORIES_FOUND_AT_MOST: usize = 1000;
