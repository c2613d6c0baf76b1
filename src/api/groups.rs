//! Tag `usergroup`: groups of users.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Api, Shared,
    act::Act,
    answer::Created,
    caller::Caller,
    error::Error,
    json::Json,
    openapi::Routes,
    paging::{ListQuery, Listed},
    path::PathParameters,
};
use crate::{
    audit::Operation,
    auth::{
        GroupId, Resource, Verb,
        groups::{Group, NewGroup, normalised},
    },
    store::Test,
};

pub(super) fn routes() -> Routes {
    let one = "/usergroups/{group_id}";
    Routes::new("usergroup")
        .get("/usergroups", "List user groups", list)
        .needs(Resource::UserGroup, Verb::List)
        .post("/usergroups", "Create a user group", create)
        .needs(Resource::UserGroup, Verb::Create)
        .get("/usergroups/search", "Find user groups by name", search)
        .requires(&["groupname"])
        .signed_in()
        .get(one, "Read a user group", read)
        .needs(Resource::UserGroup, Verb::Read)
        .put(one, "Rename a user group", update)
        .needs(Resource::UserGroup, Verb::Update)
        .delete(one, "Delete a user group", delete)
        .needs(Resource::UserGroup, Verb::Delete)
}

/// A group of users.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UserGroup")]
struct GroupShape {
    id: i64,
    group_name: String,
    group_type: i64,
    ldap_group_dn: String,
}

impl From<Group> for GroupShape {
    fn from(group: Group) -> Self {
        Self {
            id: group.id.0,
            group_name: group.name,
            group_type: group.group_type,
            ldap_group_dn: group.ldap_dn,
        }
    }
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    query: ListQuery,
) -> Result<Listed<GroupShape>, Error> {
    api.system(&caller, Resource::UserGroup, Verb::List)?;
    let query = query
        .and_parameter("group_name", "group_name", Test::Contains)
        .and_parameter("ldap_group_dn", "ldap_group_dn", |dn| {
            Test::Equals(normalised(&dn))
        });
    let page = api.auth.groups(query.listing()).await?;
    Ok(query.answer(page, GroupShape::from))
}

/// A group that was found by its name.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UserGroupSearchItem")]
struct FoundGroup {
    id: i64,
    group_name: String,
    group_type: i64,
}

async fn search(
    State(api): State<Shared>,
    caller: Caller,
    query: ListQuery,
) -> Result<Listed<FoundGroup>, Error> {
    caller.signed_in()?;
    query.required("groupname")?;
    let query = query.and_parameter("groupname", "group_name", Test::Contains);
    let page = api.auth.groups(query.listing()).await?;
    Ok(query.answer(page, |group| FoundGroup {
        id: group.id.0,
        group_name: group.name,
        group_type: group.group_type,
    }))
}

/// A group as clients send it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(rename = "UserGroup")]
#[serde(default)]
pub(super) struct GroupRequest {
    pub(super) id: i64,
    #[schemars(example = &"developers")]
    group_name: String,
    /// 1 for LDAP, 2 for HTTP, 3 for OIDC.
    #[schemars(example = 3, extend("enum" = [3, 2, 1]))]
    group_type: i64,
    #[schemars(example = "")]
    ldap_group_dn: String,
}

impl GroupRequest {
    /// Whether it says which group is meant, other than by id.
    pub(super) fn describes(&self) -> bool {
        !self.group_name.is_empty() || !self.ldap_group_dn.is_empty()
    }
}

impl From<GroupRequest> for NewGroup {
    fn from(request: GroupRequest) -> Self {
        Self {
            name: request.group_name,
            group_type: request.group_type,
            ldap_dn: request.ldap_group_dn,
        }
    }
}

async fn create(
    State(api): State<Shared>,
    caller: Caller,
    Json(request): Json<GroupRequest>,
) -> Result<Created, Error> {
    api.system(&caller, Resource::UserGroup, Verb::Create)?;
    let name = request.group_name.clone();
    let id = api.auth.create_group(request.into()).await?;
    record(&api, &caller, Operation::Create, &name);
    Ok(Created::at("/usergroups", id))
}

async fn read(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<GroupShape>, Error> {
    let group = find(&api, &caller, &path, Verb::Read).await?;
    Ok(axum::Json(group.into()))
}

/// Of a group nothing but its name can be changed; the rest of the body is not looked at, as in
/// Harbor.
async fn update(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(request): Json<GroupRequest>,
) -> Result<(), Error> {
    let group = find(&api, &caller, &path, Verb::Update).await?;
    api.auth.rename_group(group.id, &request.group_name).await?;
    record(&api, &caller, Operation::Update, &request.group_name);
    Ok(())
}

async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    let group = find(&api, &caller, &path, Verb::Delete).await?;
    api.auth.delete_group(group.id).await?;
    record(&api, &caller, Operation::Delete, &group.name);
    Ok(())
}

/// The group in the path, if the caller may do this to groups.
async fn find(
    api: &Api,
    caller: &Caller,
    path: &PathParameters,
    verb: Verb,
) -> Result<Group, Error> {
    api.system(caller, Resource::UserGroup, verb)?;
    let id = GroupId(path.id("group_id")?);
    Ok(api.auth.group(id).await?)
}

pub(super) fn record(api: &Api, caller: &Caller, operation: Operation, name: &str) {
    let act = Act {
        operation,
        resource_type: "user_group",
        resource: name,
        project: None,
        description: format!("did {} the user group {name}", operation.as_str()),
    };
    api.record(caller, &act);
}
