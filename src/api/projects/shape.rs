//! What a project looks like.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    api::{Api, error::Error, metadata::MetadataShape},
    auth::{Principal, Role, projects::Project},
    clock::Timestamp,
};

/// A namespace of repositories.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Project")]
pub(in crate::api) struct ProjectShape {
    project_id: i64,
    name: String,
    owner_id: i64,
    owner_name: String,
    creation_time: Timestamp,
    update_time: Timestamp,
    deleted: bool,
    metadata: MetadataShape,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    detail: Option<Detail>,
}

/// What `with_detail=false` leaves out.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProjectDetail")]
struct Detail {
    /// The role that may most; 0 for none.
    current_user_role_id: i64,
    current_user_role_ids: Vec<i64>,
    repo_count: i64,
}

/// A project with its settings only.
pub(in crate::api) async fn plain(api: &Api, project: Project) -> Result<ProjectShape, Error> {
    Ok(ProjectShape {
        metadata: MetadataShape(api.auth.project_metadata(project.id).await?),
        project_id: project.id.0,
        name: project.name,
        owner_id: project.owner_id.0,
        owner_name: project.owner_name,
        creation_time: Timestamp::from_millis(project.created_ms),
        update_time: Timestamp::from_millis(project.updated_ms),
        deleted: false,
        detail: None,
    })
}

/// A project with the viewer's roles in it and the number of its repositories.
pub(in crate::api) async fn detailed(
    api: &Api,
    viewer: &Principal,
    project: Project,
) -> Result<ProjectShape, Error> {
    let roles = api.auth.roles_in(viewer, project.id).await?;
    let most = MOST_FIRST.into_iter().find(|role| roles.contains(*role));
    let detail = Detail {
        current_user_role_id: most.map_or(0, Role::id),
        current_user_role_ids: roles.iter().map(Role::id).collect(),
        repo_count: api.inventory.repositories_of(project.id).await?,
    };
    Ok(ProjectShape {
        detail: Some(detail),
        ..plain(api, project).await?
    })
}

/// Harbor's order of roles by what they may.
const MOST_FIRST: [Role; 5] = [
    Role::ProjectAdmin,
    Role::Maintainer,
    Role::Developer,
    Role::Guest,
    Role::LimitedGuest,
];
