//! Tag `permissions`, and what the current user may do.

use axum::extract::State;
use http::Uri;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Api, Shared, caller::Caller, error::Error, openapi::Routes, paging};
use crate::{
    auth::{
        ProjectId, Resource, Role, RoleSet, Verb,
        access::{GRANTABLE_IN_PROJECT, GRANTABLE_IN_SYSTEM, Rule, allowed},
        projects::Scope,
    },
    store::Listing,
};

pub(super) fn routes() -> Routes {
    Routes::new("permissions")
        .get("/permissions", "What robots can be given", grantable)
        .by_case("system administrators, and who may make robots in a project")
        .get("/users/current/permissions", "What the caller may do", own)
        .signed_in()
}

/// What a robot may be given.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Permissions")]
struct Grantable {
    system: Vec<PermissionShape>,
    project: Vec<PermissionShape>,
}

/// What may be done with what.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Permission")]
struct PermissionShape {
    resource: String,
    action: &'static str,
}

/// System administrators see all, project administrators what concerns projects.
async fn grantable(
    State(api): State<Shared>,
    caller: Caller,
) -> Result<axum::Json<Grantable>, Error> {
    caller.signed_in()?;
    let system = if caller.principal.is_system_admin() {
        listed(GRANTABLE_IN_SYSTEM)
    } else if administers_a_project(&api, &caller).await? {
        Vec::new()
    } else {
        return Err(caller.refusal());
    };
    let project = listed(GRANTABLE_IN_PROJECT);
    Ok(axum::Json(Grantable { system, project }))
}

async fn administers_a_project(api: &Api, caller: &Caller) -> Result<bool, Error> {
    let (viewer, all) = (&caller.principal, Listing::default());
    let joined = api.auth.projects(viewer, Scope::Joined, &all).await?;
    for project in joined.items {
        let permits = api
            .auth
            .permits(viewer, project.id, Resource::Robot, Verb::Create);
        if permits.await? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn listed(rules: &[Rule]) -> Vec<PermissionShape> {
    let shape = |resource: &Resource, verb: &Verb| PermissionShape {
        resource: resource.to_string(),
        action: verb.as_str(),
    };
    let rules = rules.iter();
    rules
        .flat_map(|(resource, verbs)| verbs.iter().map(move |verb| shape(resource, verb)))
        .collect()
}

/// What the caller may do in `scope`: `/system`, or `/project/{id}`; in other scopes nothing.
async fn own(
    State(api): State<Shared>,
    caller: Caller,
    uri: Uri,
) -> Result<axum::Json<Vec<PermissionShape>>, Error> {
    caller.signed_in()?;
    let parameters = paging::parameters(&uri);
    let scope = paging::find(&parameters, "scope").unwrap_or_default();
    let relative = paging::find(&parameters, "relative");
    let relative = relative.map(|text| paging::flag("relative", text));
    let base = match relative.transpose()? {
        Some(true) => "",
        _ => scope,
    };
    let project = scope
        .strip_prefix("/project/")
        .and_then(|id| id.parse().ok());
    if project.is_none() && scope != "/system" {
        return Ok(axum::Json(Vec::new()));
    }
    let permitted = match project {
        Some(project) => in_project(&api, &caller, ProjectId(project)).await?,
        None => in_system(&api, &caller),
    };
    let shapes = permitted
        .into_iter()
        .map(|(resource, verb)| PermissionShape {
            resource: name(base, project, resource),
            action: verb.as_str(),
        });
    Ok(axum::Json(shapes.collect()))
}

async fn in_project(
    api: &Api,
    caller: &Caller,
    project: ProjectId,
) -> Result<Vec<(Resource, Verb)>, Error> {
    if caller.principal.is_system_admin() {
        return Ok(allowed(RoleSet::NONE.with(Role::ProjectAdmin))
            .iter()
            .collect());
    }
    let access = api.auth.access_in(&caller.principal, project).await?;
    Ok(access.iter().collect())
}

fn in_system(api: &Api, caller: &Caller) -> Vec<(Resource, Verb)> {
    let rules = GRANTABLE_IN_SYSTEM.iter();
    let pairs = rules.flat_map(|(resource, verbs)| verbs.iter().map(|verb| (*resource, *verb)));
    let permits = |(resource, verb): &(Resource, Verb)| {
        api.auth.permits_system(&caller.principal, *resource, *verb)
    };
    pairs.filter(permits).collect()
}

/// Harbor writes a project itself as the scope, relative to it as `.`.
fn name(base: &str, project: Option<i64>, resource: Resource) -> String {
    let is_scope_itself = resource == Resource::Project && project.is_some();
    match (base, is_scope_itself) {
        ("", true) => ".".to_owned(),
        ("", false) => resource.to_string(),
        (base, true) => base.to_owned(),
        (base, false) => format!("{base}/{resource}"),
    }
}
