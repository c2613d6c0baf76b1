//! Tag `user`: people, their profiles, passwords and permissions.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Api, Shared,
    act::Act,
    answer::Created,
    caller::{Caller, Registrant},
    error::Error,
    json::Json,
    openapi::Routes,
    paging::{ListQuery, Listed},
    path::PathParameters,
};
use crate::{
    audit::Operation,
    auth::{
        Principal, Resource, UserId, Verb,
        users::{NewUser, Profile, User},
    },
    clock::Timestamp,
    secret::Secret,
    store::Test,
};

pub(super) fn routes() -> Routes {
    let one = "/users/{user_id}";
    Routes::new("user")
        .get("/users", "List users", list)
        .needs(Resource::User, Verb::List)
        .post("/users", "Create a user", create)
        .needs(Resource::User, Verb::Create)
        .get("/users/search", "Find users by name", search)
        .requires(&["username"])
        .signed_in()
        .get("/users/current", "Read the caller", current)
        .signed_in()
        .get(one, "Read a user", read)
        .needs_or_oneself(Resource::User, Verb::Read)
        .put(one, "Change a user", update)
        .needs_or_oneself(Resource::User, Verb::Update)
        .delete(one, "Delete a user", delete)
        .needs(Resource::User, Verb::Delete)
        .put(
            "/users/{user_id}/sysadmin",
            "Give or take administration",
            set_system_admin,
        )
        .administrator()
        .put(
            "/users/{user_id}/password",
            "Change a password",
            set_password,
        )
        .by_case("the user in the path, and system administrators")
        .put(
            "/users/{user_id}/cli_secret",
            "Set a secret for clients",
            set_cli_secret,
        )
        .signed_in()
}

/// A person.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UserResp")]
struct UserShape {
    user_id: i64,
    username: String,
    email: String,
    realname: String,
    comment: String,
    sysadmin_flag: bool,
    /// True when an identity provider, not this database, makes the user an administrator.
    admin_role_in_auth: bool,
    creation_time: Timestamp,
    update_time: Timestamp,
}

impl From<User> for UserShape {
    fn from(user: User) -> Self {
        Self {
            user_id: user.id.0,
            username: user.name,
            email: user.email.unwrap_or_default(),
            realname: user.realname,
            comment: user.comment,
            sysadmin_flag: user.system_admin,
            admin_role_in_auth: false,
            creation_time: Timestamp::from_millis(user.created_ms),
            update_time: Timestamp::from_millis(user.updated_ms),
        }
    }
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    query: ListQuery,
) -> Result<Listed<UserShape>, Error> {
    api.system(&caller, Resource::User, Verb::List)?;
    // Not in the contract, but Harbor's portal and older clients ask so.
    let query = query
        .and_parameter("username", "username", Test::Contains)
        .and_parameter("email", "email", Test::Contains);
    let page = api.auth.users(query.listing()).await?;
    Ok(query.answer(page, UserShape::from))
}

/// A user who was found by name.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UserSearchRespItem")]
struct FoundUser {
    user_id: i64,
    username: String,
}

async fn search(
    State(api): State<Shared>,
    caller: Caller,
    query: ListQuery,
) -> Result<Listed<FoundUser>, Error> {
    caller.signed_in()?;
    query.required("username")?;
    let query = query.and_parameter("username", "username", Test::Contains);
    let page = api.auth.users(query.listing()).await?;
    Ok(query.answer(page, |user| FoundUser {
        user_id: user.id.0,
        username: user.name,
    }))
}

/// A user to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "UserCreationReq")]
struct Registration {
    #[schemars(example = &"alice")]
    username: String,
    #[schemars(example = &"Alice12345")]
    password: Secret,
    #[serde(default)]
    #[schemars(example = "alice@example.com")]
    email: Option<String>,
    #[serde(default)]
    realname: Option<String>,
    #[serde(default)]
    comment: Option<String>,
}

async fn create(
    State(api): State<Shared>,
    Registrant(caller): Registrant,
    Json(registration): Json<Registration>,
) -> Result<Created, Error> {
    let is_stranger = caller.signed_in().is_err();
    if !is_stranger {
        api.system(&caller, Resource::User, Verb::Create)?;
    }
    let name = registration.username;
    let user = NewUser {
        name: name.clone(),
        password: registration.password,
        profile: Profile {
            email: registration.email.filter(|email| !email.is_empty()),
            realname: registration.realname.unwrap_or_default(),
            comment: registration.comment.unwrap_or_default(),
        },
    };
    let (caller, id) = if is_stranger {
        let id = api.auth.register_user(caller.peer.address, user).await?;
        let principal = api.auth.principal(&name).await?;
        let principal = principal.unwrap_or(Principal::Anonymous);
        (
            Caller {
                principal,
                ..caller
            },
            id,
        )
    } else {
        (caller, api.auth.create_user(user).await?)
    };
    let description = format!("created the user {name}");
    record(&api, &caller, Operation::Create, &name, description);
    Ok(Created::at("/users", id))
}

async fn current(
    State(api): State<Shared>,
    caller: Caller,
) -> Result<axum::Json<UserShape>, Error> {
    match caller.signed_in()? {
        Principal::User { id, .. } => {
            let user = api.auth.user(*id).await?;
            Ok(axum::Json(UserShape::from(user)))
        }
        other => Err(Error::Precondition(format!(
            "{} is a robot account and has no profile",
            other.name()
        ))),
    }
}

async fn read(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<axum::Json<UserShape>, Error> {
    let user = self_or_permitted(&api, &caller, &path, Verb::Read).await?;
    Ok(axum::Json(UserShape::from(user)))
}

/// What is to change of a user; what is left out stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "UserProfile")]
struct ProfileChange {
    #[serde(default)]
    #[schemars(example = "alice@example.com")]
    email: Option<String>,
    #[serde(default)]
    realname: Option<String>,
    #[serde(default)]
    comment: Option<String>,
}

async fn update(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(change): Json<ProfileChange>,
) -> Result<(), Error> {
    let user = self_or_permitted(&api, &caller, &path, Verb::Update).await?;
    let profile = Profile {
        email: match change.email {
            None => user.email,
            Some(email) => (!email.is_empty()).then_some(email),
        },
        realname: change.realname.unwrap_or(user.realname),
        comment: change.comment.unwrap_or(user.comment),
    };
    api.auth.update_profile(user.id, profile).await?;
    let description = format!("changed the profile of {}", user.name);
    record(&api, &caller, Operation::Update, &user.name, description);
    Ok(())
}

async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    api.system(&caller, Resource::User, Verb::Delete)?;
    let user = api.auth.user(UserId(path.id("user_id")?)).await?;
    if caller.principal.user_id() == Some(user.id) {
        return Err(Error::Forbidden("nobody can delete themselves".into()));
    }
    api.auth.delete_user(user.id).await?;
    let description = format!("deleted the user {}", user.name);
    record(&api, &caller, Operation::Delete, &user.name, description);
    Ok(())
}

/// Whether a user is to be a system administrator.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "UserSysAdminFlag")]
struct SystemAdminFlag {
    sysadmin_flag: bool,
}

async fn set_system_admin(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(flag): Json<SystemAdminFlag>,
) -> Result<(), Error> {
    // A robot that may update users must not make administrators.
    if !caller.principal.is_system_admin() {
        return Err(caller.refusal());
    }
    let user = api.auth.user(UserId(path.id("user_id")?)).await?;
    let description = if flag.sysadmin_flag {
        api.auth.grant_system_admin(user.id).await?;
        format!("made {} a system administrator", user.name)
    } else {
        api.auth.revoke_system_admin(user.id).await?;
        format!("took system administration from {}", user.name)
    };
    record(&api, &caller, Operation::Update, &user.name, description);
    Ok(())
}

/// A new password, and the old one where it is one's own.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "PasswordReq")]
struct PasswordChange {
    #[serde(default)]
    old_password: Secret,
    #[schemars(example = &"Fresh12345")]
    new_password: Secret,
}

/// Everybody changes their own password with the old one; system administrators change those
/// of others without.
async fn set_password(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(change): Json<PasswordChange>,
) -> Result<(), Error> {
    caller.signed_in()?;
    let id = UserId(path.id("user_id")?);
    let is_own = caller.principal.user_id() == Some(id);
    if !is_own && !caller.principal.is_system_admin() {
        return Err(caller.refusal());
    }
    let user = api.auth.user(id).await?;
    if is_own {
        let checked = api
            .auth
            .check_password(caller.peer.address, id, &change.old_password);
        checked.await.map_err(|error| match error {
            crate::auth::Error::BadCredentials => {
                Error::Forbidden("the old password is not correct".into())
            }
            other => other.into(),
        })?;
    }
    if change.old_password == change.new_password {
        return Err(Error::BadRequest(
            "the new password is the old one; choose another".into(),
        ));
    }
    api.auth.set_password(id, &change.new_password).await?;
    let description = format!("changed the password of {}", user.name);
    record(&api, &caller, Operation::Update, &user.name, description);
    Ok(())
}

/// CLI secrets belong to users of an OIDC provider; here passwords do that work.
async fn set_cli_secret(caller: Caller) -> Result<(), Error> {
    caller.signed_in()?;
    Err(Error::Precondition(
        "the auth mode is db_auth: users have passwords, not CLI secrets".into(),
    ))
}

/// The user in the path, for themselves or somebody who may do this to users.
async fn self_or_permitted(
    api: &Api,
    caller: &Caller,
    path: &PathParameters,
    verb: Verb,
) -> Result<User, Error> {
    caller.signed_in()?;
    let id = UserId(path.id("user_id")?);
    if caller.principal.user_id() != Some(id) {
        api.system(caller, Resource::User, verb)?;
    }
    Ok(api.auth.user(id).await?)
}

fn record(api: &Api, caller: &Caller, operation: Operation, name: &str, description: String) {
    let act = Act {
        operation,
        resource_type: "user",
        resource: name,
        project: None,
        description,
    };
    api.record(caller, &act);
}
