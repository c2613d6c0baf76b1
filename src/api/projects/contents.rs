//! What depends on what a project holds: whether it can be deleted, and its summary.

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    api::{Api, Shared, caller::Caller, error::Error, path::PathParameters, quotas::Storage},
    audit::Operation,
    auth::{Resource, Role, Verb, projects::Project},
    store::Listing,
};

/// Whether a project can be deleted, and what is in the way.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProjectDeletable")]
pub(super) struct Deletable {
    deletable: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

pub(super) async fn deletable(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<Deletable>, Error> {
    let may = (Resource::Project, Verb::Delete);
    let project = api.project(&caller, &path, may).await?;
    let message = obstacle(&api, &project).await?.unwrap_or_default();
    Ok(axum::Json(Deletable {
        deletable: message.is_empty(),
        message,
    }))
}

pub(super) async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    let may = (Resource::Project, Verb::Delete);
    let project = api.project(&caller, &path, may).await?;
    if let Some(obstacle) = obstacle(&api, &project).await? {
        return Err(Error::Precondition(obstacle));
    }
    api.retention.forget_project(project.id).await?;
    api.auth.delete_project(project.id).await?;
    let description = format!("deleted project {}", project.name);
    super::record(&api, &caller, Operation::Delete, &project.name, description);
    Ok(())
}

/// Why the project cannot be deleted now.
async fn obstacle(api: &Api, project: &Project) -> Result<Option<String>, Error> {
    if !api.inventory.is_complete().await? {
        return Ok(Some(
            "the registry is still being looked through; try again when INVENTORY_SYNC is done"
                .to_owned(),
        ));
    }
    let count = api.inventory.repositories_of(project.id).await?;
    Ok((count > 0).then(|| {
        format!(
            "project {} still contains {count} repositories; delete them first",
            project.name
        )
    }))
}

/// What is in a project. The counts of members are for those who may list them.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProjectSummary")]
pub(super) struct Summary {
    repo_count: i64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    members: Option<MemberCounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<Quota>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "ProjectMemberCounts")]
#[expect(clippy::struct_field_names, reason = "the contract's names")]
struct MemberCounts {
    project_admin_count: usize,
    maintainer_count: usize,
    developer_count: usize,
    guest_count: usize,
    limited_guest_count: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProjectSummaryQuota")]
struct Quota {
    hard: Storage,
    used: Storage,
}

pub(super) async fn summary(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<Summary>, Error> {
    let may = (Resource::Project, Verb::Read);
    let project = api.project(&caller, &path, may).await?;
    let sees = async |resource, verb| {
        let permits = api
            .auth
            .permits(&caller.principal, project.id, resource, verb);
        permits.await.map_err(Error::from)
    };
    let members = if sees(Resource::Member, Verb::List).await? {
        Some(member_counts(&api, &project).await?)
    } else {
        None
    };
    let quota = if sees(Resource::Quota, Verb::Read).await? {
        let quota = api.quota.quota(project.id).await?;
        let (hard, used) = (quota.hard_bytes, quota.used_bytes);
        Some(Quota {
            hard: Storage { storage: hard },
            used: Storage { storage: used },
        })
    } else {
        None
    };
    Ok(axum::Json(Summary {
        repo_count: api.inventory.repositories_of(project.id).await?,
        members,
        quota,
    }))
}

async fn member_counts(api: &Api, project: &Project) -> Result<MemberCounts, Error> {
    let members = api.auth.members(project.id, &Listing::default()).await?;
    let mut counts = MemberCounts::default();
    for role in members
        .items
        .iter()
        .filter_map(crate::auth::members::Member::role)
    {
        *match role {
            Role::ProjectAdmin => &mut counts.project_admin_count,
            Role::Maintainer => &mut counts.maintainer_count,
            Role::Developer => &mut counts.developer_count,
            Role::Guest => &mut counts.guest_count,
            Role::LimitedGuest => &mut counts.limited_guest_count,
        } += 1;
    }
    Ok(counts)
}
