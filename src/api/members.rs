//! Tag `member`: who has which role in a project.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Api, Shared,
    act::Act,
    answer::Created,
    caller::Caller,
    error::Error,
    groups::{self, GroupRequest},
    json::Json,
    openapi::Routes,
    paging::{ListQuery, Listed},
    path::PathParameters,
};
use crate::{
    audit::Operation,
    auth::{
        self, GroupId, MemberId, Resource, Role, UserId, Verb,
        groups::{Ensured, Group, NewGroup},
        members::{Entity, Member},
        projects::Project,
        users::User,
    },
    store::Test,
};

pub(super) fn routes() -> Routes {
    let all = "/projects/{project_name_or_id}/members";
    let one = "/projects/{project_name_or_id}/members/{mid}";
    Routes::new("member")
        .get(all, "List the members of a project", list)
        .needs_in_project(Resource::Member, Verb::List)
        .post(all, "Add a member", create)
        .needs_in_project(Resource::Member, Verb::Create)
        .get(one, "Read a member", read)
        .needs_in_project(Resource::Member, Verb::Read)
        .put(one, "Change a member's role", update)
        .needs_in_project(Resource::Member, Verb::Update)
        .delete(one, "Remove a member", delete)
        .needs_in_project(Resource::Member, Verb::Delete)
}

/// A user or a group with a role in a project.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProjectMemberEntity")]
struct MemberShape {
    id: i64,
    project_id: i64,
    entity_name: String,
    role_name: &'static str,
    role_id: i64,
    entity_id: i64,
    entity_type: String,
}

impl From<Member> for MemberShape {
    fn from(member: Member) -> Self {
        Self {
            id: member.id.0,
            project_id: member.project_id.0,
            role_name: member.role().map_or("", Role::as_str),
            role_id: member.role_id,
            entity_name: member.entity_name,
            entity_id: member.entity_id,
            entity_type: member.entity_type,
        }
    }
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    query: ListQuery,
) -> Result<Listed<MemberShape>, Error> {
    let may = (Resource::Member, Verb::List);
    let project = api.project(&caller, &path, may).await?;
    let query = query.and_parameter("entityname", "entity_name", Test::Contains);
    let page = api.auth.members(project.id, query.listing()).await?;
    Ok(query.answer(page, MemberShape::from))
}

/// A user or a group, and the role that it is to have.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ProjectMember")]
struct NewMember {
    /// 1 projectAdmin, 2 developer, 3 guest, 4 maintainer, 5 limitedGuest.
    #[schemars(extend("enum" = [1, 2, 3, 4, 5]))]
    role_id: i64,
    member_user: Option<UserReference>,
    member_group: Option<GroupRequest>,
}

/// A user, by id or by name.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(rename = "UserEntity")]
#[serde(default)]
struct UserReference {
    user_id: i64,
    #[schemars(example = &"alice")]
    username: String,
}

async fn create(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(new): Json<NewMember>,
) -> Result<Created, Error> {
    let may = (Resource::Member, Verb::Create);
    let project = api.project(&caller, &path, may).await?;
    let role = role(new.role_id)?;
    let (entity, name) = entity(&api, &caller, new).await?;
    let id = api.auth.add_member(project.id, entity, role).await?;
    let description = format!("made {name} {role} of project {}", project.name);
    record(
        &api,
        &caller,
        Operation::Create,
        (&project, &name),
        description,
    );
    Ok(Created::at(
        &format!("/projects/{}/members", project.id),
        id,
    ))
}

/// Who is to be a member, with the name. Where several are named, the one that Harbor takes.
async fn entity(api: &Api, caller: &Caller, new: NewMember) -> Result<(Entity, String), Error> {
    let user = new.member_user.unwrap_or_default();
    let group = new.member_group.unwrap_or_default();
    let of_user = |user: User| (user.id.into(), user.name);
    let of_group = |group: Group| (group.id.into(), group.name);
    let found = if user.user_id > 0 {
        api.auth.user(UserId(user.user_id)).await.map(of_user)
    } else if group.id > 0 {
        api.auth.group(GroupId(group.id)).await.map(of_group)
    } else if !user.username.is_empty() {
        api.auth.user_named(&user.username).await.map(of_user)
    } else if group.describes() {
        return Ok(of_group(group_of(api, caller, group.into()).await?));
    } else {
        return Err(Error::BadRequest(
            "name a member: member_user needs a user_id or a username, member_group an id, a \
             group_name with its group_type or an ldap_group_dn"
                .into(),
        ));
    };
    found.map_err(|error| match error.kind() {
        auth::Kind::NotFound => Error::BadRequest(error.to_string()),
        _ => error.into(),
    })
}

/// The group that is described, which administrators make by naming it. Whoever has a project must
/// not: a name that they gave to a DN of their own would be taken for another group by others.
async fn group_of(api: &Api, caller: &Caller, wanted: NewGroup) -> Result<Group, Error> {
    if api
        .system(caller, Resource::UserGroup, Verb::Create)
        .is_ok()
    {
        return Ok(match api.auth.ensure_group(wanted).await? {
            Ensured::Found(group) => group,
            Ensured::Created(group) => {
                groups::record(api, caller, Operation::Create, &group.name);
                group
            }
        });
    }
    api.auth.find_group(&wanted).await?.ok_or_else(|| {
        Error::BadRequest(
            "there is no such user group; ask a system administrator to create it first".into(),
        )
    })
}

async fn read(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<MemberShape>, Error> {
    let may = (Resource::Member, Verb::Read);
    let project = api.project(&caller, &path, may).await?;
    let member = api
        .auth
        .member(project.id, MemberId(path.id("mid")?))
        .await?;
    Ok(axum::Json(member.into()))
}

/// The role that a member is to have.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "RoleRequest")]
struct RoleChange {
    #[schemars(extend("enum" = [1, 2, 3, 4, 5]))]
    role_id: i64,
}

async fn update(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(change): Json<RoleChange>,
) -> Result<(), Error> {
    let may = (Resource::Member, Verb::Update);
    let project = api.project(&caller, &path, may).await?;
    let role = role(change.role_id)?;
    let member = api
        .auth
        .member(project.id, MemberId(path.id("mid")?))
        .await?;
    api.auth
        .set_member_role(project.id, member.id, role)
        .await?;
    let name = &member.entity_name;
    let description = format!("made {name} {role} of project {}", project.name);
    record(
        &api,
        &caller,
        Operation::Update,
        (&project, name),
        description,
    );
    Ok(())
}

async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    let may = (Resource::Member, Verb::Delete);
    let project = api.project(&caller, &path, may).await?;
    let member = api
        .auth
        .member(project.id, MemberId(path.id("mid")?))
        .await?;
    api.auth.remove_member(project.id, member.id).await?;
    let name = &member.entity_name;
    let description = format!("removed {name} from project {}", project.name);
    record(
        &api,
        &caller,
        Operation::Delete,
        (&project, name),
        description,
    );
    Ok(())
}

fn role(id: i64) -> Result<Role, Error> {
    Role::from_id(id).ok_or_else(|| {
        Error::BadRequest(format!(
            "{id} is not a role: 1 projectAdmin, 2 developer, 3 guest, 4 maintainer, 5 limitedGuest"
        ))
    })
}

fn record(
    api: &Api,
    caller: &Caller,
    operation: Operation,
    (project, member): (&Project, &str),
    description: String,
) {
    let act = Act {
        operation,
        resource_type: "member",
        resource: member,
        project: Some(&project.name),
        description,
    };
    api.record(caller, &act);
}
