//! Tags `search` and `statistic`: what is there, as far as the caller may see it.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Router, extract::State, routing::get};
use http::Uri;
use serde::Serialize;

use super::{
    Api, Shared,
    caller::Caller,
    error::Error,
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

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/search", get(search))
        .route("/statistics", get(statistics))
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
    for project in visible(&api, &caller, Some(&text)).await? {
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
    let names = repositories(api).await?;
    let matching = names
        .into_iter()
        .filter(|name| name.as_str().contains(text));
    let matching: Vec<_> = matching.take(FOUND_AT_MOST).collect();
    let wanted: BTreeSet<&str> = matching
        .iter()
        .filter_map(RepositoryName::project)
        .collect();
    let mut projects = BTreeMap::new();
    for project in visible(api, caller, None).await? {
        if !wanted.contains(project.name.as_str()) {
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
    let found = matching.into_iter().filter_map(|name| {
        let project = projects.get(name.project()?)?;
        Some(FoundRepository {
            project_id: project.id.0,
            project_name: project.name.clone(),
            project_public: project.public,
            repository_name: name,
        })
    });
    Ok(found.collect())
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
    let names = repositories(&api).await?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for project in names.iter().filter_map(RepositoryName::project) {
        *counts.entry(project).or_default() += 1;
    }
    let mut statistic = Statistic::default();
    for project in visible(&api, &caller, None).await? {
        let count = counts
            .get(project.name.as_str())
            .copied()
            .unwrap_or_default();
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
        statistic.total_repo_count = Some(names.len());
    }
    Ok(axum::Json(statistic))
}

/// The projects the caller may see, those whose name holds a text or all.
async fn visible(api: &Api, caller: &Caller, text: Option<&str>) -> Result<Vec<Project>, Error> {
    let named = text.map(|text| Filter {
        field: "name".to_owned(),
        test: Test::Contains(text.to_owned()),
    });
    let listing = Listing {
        filters: named.into_iter().collect(),
        ..Listing::default()
    };
    let viewer = &caller.principal;
    Ok(api
        .auth
        .projects(viewer, Scope::Visible, &listing)
        .await?
        .items)
}

async fn repositories(api: &Api) -> Result<Vec<RepositoryName>, Error> {
    let names = api.catalog.repositories("", projects::COUNTED_REPOSITORIES);
    names.await.map_err(Error::Unavailable)
}

/// Repositories one search shows; who sees so many narrows the text.
const FOUND_AT_MOST: usize = 1000;
