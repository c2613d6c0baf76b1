//! Tag `projectMetadata`: a project's settings, one by one.

use std::collections::BTreeMap;

use axum::{Router, extract::State, routing::get};
use http::StatusCode;

use super::{
    Api, Shared, act::Act, caller::Caller, error::Error, json::Json, path::PathParameters,
};
use crate::{
    audit::Operation,
    auth::{
        Resource, Verb,
        projects::{Metadata, Project},
    },
};

pub(super) fn routes() -> Router<Shared> {
    let all = "/projects/{project_name_or_id}/metadatas";
    let one = "/projects/{project_name_or_id}/metadatas/{meta_name}";
    Router::new()
        .route(all, get(list).post(add))
        .route(&format!("{all}/"), get(list).post(add))
        .route(one, get(read).put(update).delete(delete))
}

/// Settings as they come from a client; `null` leaves a setting alone.
pub(super) type MetadataChange = BTreeMap<String, Option<String>>;

/// The settings of a client's request, their names and values checked.
pub(super) fn checked(change: MetadataChange) -> Result<Metadata, Error> {
    let given = change.into_iter();
    let given = given.filter_map(|(name, value)| Some((name, value?)));
    given
        .map(|(name, value)| {
            check(&name, &value)?;
            Ok((name, value))
        })
        .collect()
}

fn check(name: &str, value: &str) -> Result<(), Error> {
    let fits = match name {
        _ if FLAGS.contains(&name) => matches!(value, "true" | "false"),
        "severity" => SEVERITIES.contains(&value),
        "proxy_cache_filter_kind" => matches!(value, "doublestar" | "regex"),
        _ if NUMBERS.contains(&name) => value.parse::<i64>().is_ok(),
        "proxy_cache_filter_pattern" => true,
        _ => {
            return Err(Error::BadRequest(format!(
                "`{name}` is not a setting of projects"
            )));
        }
    };
    if fits {
        return Ok(());
    }
    Err(Error::BadRequest(format!(
        "`{value}` is not a value of the setting `{name}`"
    )))
}

/// All settings of a project, `public` included.
pub(super) async fn settings(api: &Api, project: &Project) -> Result<Metadata, Error> {
    let mut metadata = api.auth.project_metadata(project.id).await?;
    metadata.insert("public".to_owned(), project.public.to_string());
    Ok(metadata)
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<Metadata>, Error> {
    let may = (Resource::Metadata, Verb::Read);
    let project = api.project(&caller, &path, may).await?;
    Ok(axum::Json(settings(&api, &project).await?))
}

async fn add(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(change): Json<MetadataChange>,
) -> Result<StatusCode, Error> {
    let may = (Resource::Metadata, Verb::Create);
    let project = api.project(&caller, &path, may).await?;
    let (name, value) = the_only(checked(change)?)?;
    if settings(&api, &project).await?.contains_key(&name) {
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
) -> Result<axum::Json<Metadata>, Error> {
    let may = (Resource::Metadata, Verb::Read);
    let project = api.project(&caller, &path, may).await?;
    let mut metadata = settings(&api, &project).await?;
    let name = path.text("meta_name");
    metadata.retain(|key, _| key == name);
    if metadata.is_empty() {
        return Err(Error::not_found("setting", name));
    }
    Ok(axum::Json(metadata))
}

async fn update(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(change): Json<MetadataChange>,
) -> Result<StatusCode, Error> {
    let may = (Resource::Metadata, Verb::Update);
    let project = api.project(&caller, &path, may).await?;
    let (name, value) = the_only(checked(change)?)?;
    if name != path.text("meta_name") {
        return Err(Error::BadRequest(format!(
            "the body sets {name}, the path names {}",
            path.text("meta_name")
        )));
    }
    if !settings(&api, &project).await?.contains_key(&name) {
        return Err(Error::not_found("setting", name));
    }
    set(&api, &caller, &project, (name, value)).await
}

async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<StatusCode, Error> {
    let may = (Resource::Metadata, Verb::Delete);
    let project = api.project(&caller, &path, may).await?;
    let name = path.text("meta_name");
    if name == "public" {
        return Err(Error::BadRequest(
            "a project is public or not; set the setting instead of deleting it".into(),
        ));
    }
    if !settings(&api, &project).await?.contains_key(name) {
        return Err(Error::not_found("setting", name));
    }
    api.auth.delete_project_metadata(project.id, name).await?;
    record(
        &api,
        &caller,
        &project,
        format!("deleted the setting {name}"),
    );
    Ok(StatusCode::OK)
}

async fn set(
    api: &Api,
    caller: &Caller,
    project: &Project,
    (name, value): (String, String),
) -> Result<StatusCode, Error> {
    let description = format!("set {name} to {value}");
    let metadata = Metadata::from([(name, value)]);
    api.auth.set_project_metadata(project.id, metadata).await?;
    record(api, caller, project, description);
    Ok(StatusCode::OK)
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

fn record(api: &Api, caller: &Caller, project: &Project, description: String) {
    let act = Act {
        operation: Operation::Update,
        resource_type: "project",
        resource: &project.name,
        project: Some(&project.name),
        description: format!("{description} of project {}", project.name),
    };
    api.record(caller, act);
}

/// The contract's `ProjectMetadata`.
const FLAGS: &[&str] = &[
    "public",
    "enable_content_trust",
    "enable_content_trust_cosign",
    "prevent_vul",
    "auto_scan",
    "auto_sbom_generation",
    "reuse_sys_cve_allowlist",
    "proxy_cache_local_on_not_found",
    "proxy_referrer_api",
];
const NUMBERS: &[&str] = &["retention_id", "proxy_speed_kb", "max_upstream_conn"];
const SEVERITIES: &[&str] = &["none", "low", "medium", "high", "critical"];
