//! Tag `robot`: accounts for machines.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Api, Shared,
    act::Act,
    answer::Created,
    caller::Caller,
    error::Error,
    json::Json,
    openapi::Routes,
    paging::{ListQuery, Listed},
    path::{PathParameters, ProjectReference},
};
use crate::{
    audit::Operation,
    auth::{
        ProjectId, Resource, RobotId, Verb,
        robots::{Creator, Level, NewRobot, Permission, Robot, RobotChange},
    },
    clock::Timestamp,
    secret::Secret,
    store::Test,
};

pub(super) fn routes() -> Routes {
    let one = "/robots/{robot_id}";
    Routes::new("robot")
        .get("/robots", "List robot accounts", list)
        .needs_at_home(Resource::Robot, Verb::List)
        .post("/robots", "Create a robot account", create)
        .needs_at_home(Resource::Robot, Verb::Create)
        .get(one, "Read a robot account", read)
        .needs_at_home(Resource::Robot, Verb::Read)
        .put(one, "Change a robot account", update)
        .needs_at_home(Resource::Robot, Verb::Update)
        .patch(one, "Give a robot account a new secret", refresh_secret)
        .needs_at_home(Resource::Robot, Verb::Update)
        .delete(one, "Delete a robot account", delete)
        .needs_at_home(Resource::Robot, Verb::Delete)
}

/// An account for a machine, never with its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Robot")]
struct RobotShape {
    id: i64,
    name: String,
    description: String,
    level: Level,
    /// Days; -1: never expires.
    duration: i64,
    editable: bool,
    disable: bool,
    /// Seconds since the epoch; -1: never.
    expires_at: i64,
    permissions: Vec<Permission>,
    creator_type: &'static str,
    creator_ref: i64,
    creation_time: Timestamp,
    update_time: Timestamp,
}

impl From<Robot> for RobotShape {
    fn from(robot: Robot) -> Self {
        let (creator_type, creator_ref) = match robot.creator {
            Creator::User(id) => ("local", id.0),
            Creator::Robot(id) => ("robot", id.0),
        };
        Self {
            id: robot.id.0,
            expires_at: expiry(robot.expires_at),
            name: robot.name,
            description: robot.description,
            level: robot.level,
            duration: robot.duration_days,
            editable: true,
            disable: robot.disabled,
            permissions: robot.permissions,
            creator_type,
            creator_ref,
            creation_time: robot.created_at,
            update_time: robot.updated_at,
        }
    }
}

fn expiry(at: Option<Timestamp>) -> i64 {
    at.map_or(-1, Timestamp::seconds)
}

/// Robots of the system, or with `q=Level=project,ProjectID=1` those of a project.
async fn list(
    State(api): State<Shared>,
    caller: Caller,
    mut query: ListQuery,
) -> Result<Listed<RobotShape>, Error> {
    let level = the_value(query.take("level"), "Level")?;
    let project = the_value(query.take("project_id"), "ProjectID")?;
    let project = match (level.as_deref(), project) {
        (None | Some("system"), _) => None,
        (Some("project"), Some(id)) => {
            let id = id.parse().map(ProjectId);
            Some(id.map_err(|_not_a_number| bad_query("ProjectID must be a number"))?)
        }
        (Some("project"), None) => return Err(bad_query("Level=project needs ProjectID=…")),
        (Some(_), _) => return Err(bad_query("Level must be system or project")),
    };
    authorise(&api, &caller, project, Verb::List).await?;
    let page = api.auth.robots(project, query.listing()).await?;
    Ok(query.answer(page, RobotShape::from))
}

fn the_value(tests: Vec<Test>, name: &str) -> Result<Option<String>, Error> {
    match <[Test; 1]>::try_from(tests) {
        Ok([Test::Equals(value)]) => Ok(Some(value)),
        Err(tests) if tests.is_empty() => Ok(None),
        _ => Err(bad_query(&format!(
            "{name} must be given as {name}=value, once"
        ))),
    }
}

fn bad_query(why: &str) -> Error {
    Error::BadRequest(format!("q: {why}"))
}

/// An account for a machine, to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "RobotCreate", extend("required" = ["name", "level", "permissions"]))]
struct RobotRequest {
    #[schemars(example = &"ci")]
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    #[schemars(example = "")]
    secret: Option<Secret>,
    level: Level,
    #[serde(default)]
    disable: bool,
    #[serde(default)]
    /// Days; -1 for ever.
    #[schemars(example = 30)]
    duration: Option<i64>,
    #[serde(default)]
    #[schemars(example = example())]
    permissions: Vec<Permission>,
}

/// What a robot may do, for the document.
fn example() -> Value {
    let access = json!([{"resource": "repository", "action": "pull"}]);
    json!([{"kind": "project", "namespace": "library", "access": access}])
}

/// What was made, and the one time the secret is told.
#[derive(Debug, Serialize, JsonSchema)]
struct RobotCreated {
    id: i64,
    name: String,
    secret: String,
    creation_time: Timestamp,
    expires_at: i64,
}

async fn create(
    State(api): State<Shared>,
    caller: Caller,
    Json(request): Json<RobotRequest>,
) -> Result<Created<axum::Json<RobotCreated>>, Error> {
    caller.signed_in()?;
    let project = match request.level {
        Level::System => None,
        Level::Project => Some(home(&api, &caller, &request.permissions).await?),
    };
    authorise(&api, &caller, project, Verb::Create).await?;
    let new = NewRobot {
        name: request.name,
        description: request.description.unwrap_or_default(),
        level: request.level,
        disabled: request.disable,
        duration_days: request.duration,
        secret: request.secret.filter(|secret| !secret.is_empty()),
        permissions: request.permissions,
    };
    let made = api.auth.create_robot(&caller.principal, new).await?;
    let robot = &made.robot;
    let description = format!("created the robot account {}", robot.name);
    record(&api, &caller, Operation::Create, &robot.name, description);
    let shape = RobotCreated {
        id: robot.id.0,
        name: robot.name.clone(),
        secret: made.secret.expose().to_owned(),
        creation_time: robot.created_at,
        expires_at: expiry(robot.expires_at),
    };
    Ok(Created::at("/robots", robot.id).showing(shape))
}

/// The project a project robot is for: the one its only permission names.
async fn home(api: &Api, caller: &Caller, permissions: &[Permission]) -> Result<ProjectId, Error> {
    let [permission] = permissions else {
        return Err(Error::BadRequest(
            "a project robot needs exactly one permission, that of its project".into(),
        ));
    };
    let reference = ProjectReference::Name(permission.namespace.clone());
    match api.find_project(&reference).await? {
        Some(project) => Ok(project.id),
        None if caller.principal.is_system_admin() => Err(Error::not_found("project", reference)),
        None => Err(caller.refusal()),
    }
}

async fn read(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<RobotShape>, Error> {
    let robot = permitted(&api, &caller, &path, Verb::Read).await?;
    Ok(axum::Json(robot.into()))
}

/// A robot as far as it can be changed; what is left out stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Robot")]
struct RobotUpdate {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    level: Option<Level>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    disable: Option<bool>,
    #[serde(default)]
    #[schemars(example = 30)]
    duration: Option<i64>,
    #[serde(default)]
    #[schemars(example = example())]
    permissions: Option<Vec<Permission>>,
}

async fn update(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(update): Json<RobotUpdate>,
) -> Result<(), Error> {
    let robot = permitted(&api, &caller, &path, Verb::Update).await?;
    let renamed = update.name.is_some_and(|name| name != robot.name);
    if renamed || update.level.is_some_and(|level| level != robot.level) {
        return Err(Error::BadRequest(
            "the name and the level of a robot cannot be changed".into(),
        ));
    }
    let change = RobotChange {
        description: update.description.unwrap_or(robot.description),
        disabled: update.disable.unwrap_or(robot.disabled),
        duration_days: update.duration.unwrap_or(robot.duration_days),
        permissions: update.permissions.unwrap_or(robot.permissions),
    };
    api.auth
        .update_robot(&caller.principal, robot.id, change)
        .await?;
    let description = format!("changed the robot account {}", robot.name);
    record(&api, &caller, Operation::Update, &robot.name, description);
    Ok(())
}

/// The secret that a robot is to have; empty asks for a generated one.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "RobotSec")]
struct SecretChange {
    #[serde(default)]
    #[schemars(example = "")]
    secret: Option<Secret>,
}

/// The new secret of a robot.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RobotSec")]
struct SecretShape {
    /// Only when it was generated: who sent one knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

async fn refresh_secret(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(change): Json<SecretChange>,
) -> Result<axum::Json<SecretShape>, Error> {
    let robot = permitted(&api, &caller, &path, Verb::Update).await?;
    let given = change.secret.filter(|secret| !secret.is_empty());
    let generate = given.is_none();
    let secret = api.auth.refresh_robot_secret(robot.id, given).await?;
    let description = format!("changed the secret of the robot account {}", robot.name);
    record(&api, &caller, Operation::Update, &robot.name, description);
    Ok(axum::Json(SecretShape {
        secret: generate.then(|| secret.expose().to_owned()),
    }))
}

async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    let robot = permitted(&api, &caller, &path, Verb::Delete).await?;
    api.auth.delete_robot(robot.id).await?;
    let description = format!("deleted the robot account {}", robot.name);
    record(&api, &caller, Operation::Delete, &robot.name, description);
    Ok(())
}

/// The robot in the path, if the caller may do this to it.
async fn permitted(
    api: &Api,
    caller: &Caller,
    path: &PathParameters,
    verb: Verb,
) -> Result<Robot, Error> {
    caller.signed_in()?;
    let robot = api.auth.robot(RobotId(path.id("robot_id")?)).await?;
    authorise(api, caller, robot.project_id, verb).await?;
    Ok(robot)
}

/// Refuses unless the caller may do this to robots of the system, or of the project.
async fn authorise(
    api: &Api,
    caller: &Caller,
    project: Option<ProjectId>,
    verb: Verb,
) -> Result<(), Error> {
    let Some(project) = project else {
        return api.system(caller, Resource::Robot, verb);
    };
    let permits = api
        .auth
        .permits(&caller.principal, project, Resource::Robot, verb);
    if permits.await? {
        return Ok(());
    }
    Err(caller.refusal())
}

fn record(api: &Api, caller: &Caller, operation: Operation, name: &str, description: String) {
    let act = Act {
        operation,
        resource_type: "robot",
        resource: name,
        project: None,
        description,
    };
    api.record(caller, &act);
}
