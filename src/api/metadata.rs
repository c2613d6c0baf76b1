//! Tag `projectMetadata`: a project's settings, one by one.

use std::collections::BTreeMap;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Api, Shared, act::Act, caller::Caller, error::Error, json::Json, openapi::Routes,
    path::PathParameters,
};
use crate::{
    audit::Operation,
    auth::{
        Resource, Verb,
        projects::{Metadata, Project},
    },
};

pub(super) fn routes() -> Routes {
    let all = "/projects/{project_name_or_id}/metadatas/";
    let bare = "/projects/{project_name_or_id}/metadatas";
    let one = "/projects/{project_name_or_id}/metadatas/{meta_name}";
    Routes::new("projectMetadata")
        .get(all, "List the settings of a project", list)
        .needs_in_project(Resource::Metadata, Verb::Read)
        .post(all, "Add a setting", add)
        .needs_in_project(Resource::Metadata, Verb::Create)
        .get(bare, "List the settings of a project", list)
        .needs_in_project(Resource::Metadata, Verb::Read)
        .post(bare, "Add a setting", add)
        .needs_in_project(Resource::Metadata, Verb::Create)
        .get(one, "Read a setting", read)
        .needs_in_project(Resource::Metadata, Verb::Read)
        .put(one, "Change a setting", update)
        .needs_in_project(Resource::Metadata, Verb::Update)
        .delete(one, "Remove a setting", delete)
        .needs_in_project(Resource::Metadata, Verb::Delete)
}

/// Settings as they come from a client; `null` leaves a setting alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(
    rename = "ProjectMetadata",
    extend("properties" = {"public": {"enum": ["true", "false"]}}),
    example = json!({"auto_scan": "false"})
)]
pub(super) struct MetadataChange(BTreeMap<String, Option<String>>);

impl MetadataChange {
    /// The settings it sets; whether they are valid is auth's to say.
    pub(super) fn given(self) -> Metadata {
        let settings = self.0.into_iter();
        settings
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

/// Settings of a project by their names.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProjectMetadata")]
pub(super) struct MetadataShape(pub(super) Metadata);

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<MetadataShape>, Error> {
    let may = (Resource::Metadata, Verb::Read);
    let project = api.project(&caller, &path, may).await?;
    let metadata = api.auth.project_metadata(project.id).await?;
    Ok(axum::Json(MetadataShape(metadata)))
}

async fn add(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(change): Json<MetadataChange>,
) -> Result<(), Error> {
    let may = (Resource::Metadata, Verb::Create);
    let project = api.project(&caller, &path, may).await?;
    let (name, value) = the_only(change.given())?;
    if api
        .auth
        .project_metadata(project.id)
        .await?
        .contains_key(&name)
    {
        return Err(Error::Conflict(format!(
            "the setting {name} exists already"
        )));
    }
    set(&api, &caller, &project, (name, value)).await
}

async fn read(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<MetadataShape>, Error> {
    let may = (Resource::Metadata, Verb::Read);
    let project = api.project(&caller, &path, may).await?;
    let mut metadata = api.auth.project_metadata(project.id).await?;
    let name = path.text("meta_name");
    metadata.retain(|key, _| key == name);
    if metadata.is_empty() {
        return Err(Error::not_found("setting", name));
    }
    Ok(axum::Json(MetadataShape(metadata)))
}

async fn update(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(change): Json<MetadataChange>,
) -> Result<(), Error> {
    let may = (Resource::Metadata, Verb::Update);
    let project = api.project(&caller, &path, may).await?;
    let (name, value) = the_only(change.given())?;
    if name != path.text("meta_name") {
        return Err(Error::BadRequest(format!(
            "the body sets {name}, the path names {}",
            path.text("meta_name")
        )));
    }
    if !api
        .auth
        .project_metadata(project.id)
        .await?
        .contains_key(&name)
    {
        return Err(Error::not_found("setting", name));
    }
    set(&api, &caller, &project, (name, value)).await
}

async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    let may = (Resource::Metadata, Verb::Delete);
    let project = api.project(&caller, &path, may).await?;
    let name = path.text("meta_name");
    api.auth.delete_project_metadata(project.id, name).await?;
    record(
        &api,
        &caller,
        &project,
        &format!("deleted the setting {name}"),
    );
    Ok(())
}

async fn set(
    api: &Api,
    caller: &Caller,
    project: &Project,
    (name, value): (String, String),
) -> Result<(), Error> {
    let description = format!("set {name} to {value}");
    let metadata = Metadata::from([(name, value)]);
    api.auth.set_project_metadata(project.id, metadata).await?;
    record(api, caller, project, &description);
    Ok(())
}

/// The contract takes one setting at a time.
fn the_only(metadata: Metadata) -> Result<(String, String), Error> {
    let mut settings = metadata.into_iter();
    match (settings.next(), settings.next()) {
        (Some(setting), None) => Ok(setting),
        _ => Err(Error::BadRequest(
            "the body must hold exactly one setting".into(),
        )),
    }
}

fn record(api: &Api, caller: &Caller, project: &Project, description: &str) {
    let act = Act {
        operation: Operation::Update,
        resource_type: "project",
        resource: &project.name,
        project: Some(&project.name),
        description: format!("{description} of project {}", project.name),
    };
    api.record(caller, &act);
}
