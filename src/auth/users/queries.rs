use std::sync::Arc;

use super::{Profile, User};
use crate::{
    auth::{Error, UserId, account::UserAccount},
    clock::Timestamp,
    store::{self, Db, Field, Selection, Tx, read, run, sqls, write},
};

sqls! {
    USER = "select id, name, email, realname, comment, system_admin, created_ms, updated_ms \
        from users where id = $1 and deleted_ms is null";
    USER_NAMED = "select id, name, email, realname, comment, system_admin, created_ms, updated_ms \
        from users where name = $1 and deleted_ms is null";
    ACCOUNT = "select id, name, system_admin, password_hash, credential_version, created_ms \
        from users where name = $1 and deleted_ms is null";
    ANY = "select count(*) from users";
    INSERT = "insert into users (name, email, realname, comment, password_hash, system_admin, \
        created_ms, updated_ms) values ($1, $2, $3, $4, $5, $6, $7, $7) returning id";
    UPDATE_PROFILE = "update users set email = $2, realname = $3, comment = $4, updated_ms = $5 \
        where id = $1 and deleted_ms is null";
    SET_SYSTEM_ADMIN = "update users set system_admin = $2, updated_ms = $3 \
        where id = $1 and deleted_ms is null";
    SET_PASSWORD = "update users set password_hash = $2, updated_ms = $3, \
        credential_version = credential_version + 1 where id = $1 and deleted_ms is null";
    REPLACE_HASH = "update users set password_hash = $3 \
        where id = $1 and password_hash = $2 and deleted_ms is null";
    DELETE = "update users set deleted_ms = $2, updated_ms = $2 \
        where id = $1 and deleted_ms is null";
    DELETE_MEMBERSHIPS = "delete from project_members where entity_type = 'u' and entity_id = $1";
    LEAVE_GROUPS = "delete from users_in_groups where user_id = $1";
}

pub(super) const USERS: Selection = Selection {
    columns: "id, name, email, realname, comment, system_admin, created_ms, updated_ms",
    from: "users",
    condition: "deleted_ms is null",
    fields: &[
        Field::integer("user_id", "id"),
        Field::text("username", "name"),
        Field::text("email", "email"),
        Field::text("realname", "realname"),
        Field::text("comment", "comment"),
        Field::boolean("sysadmin_flag", "system_admin"),
        Field::time("creation_time", "created_ms"),
        Field::time("update_time", "updated_ms"),
    ],
    key: "id",
};

store::row! {
    AccountRow {
        id: UserId,
        name: String,
        system_admin: bool,
        password_hash: String,
        credential_version: i64,
        created_ms: i64,
    }
}

/// A row to insert.
pub(super) struct Insert<'a> {
    pub name: &'a str,
    pub profile: &'a Profile,
    pub password_hash: &'a str,
    pub system_admin: bool,
}

pub(super) async fn user(db: &Db, id: UserId) -> Result<Option<User>, store::Error> {
    Ok(read!(db, |pool, sql = USER| sqlx::query_as(sql)
        .bind(id.0)
        .fetch_optional(pool)
        .await)?)
}

pub(super) async fn user_named(db: &Db, name: &str) -> Result<Option<User>, store::Error> {
    Ok(read!(db, |pool, sql = USER_NAMED| sqlx::query_as(sql)
        .bind(name)
        .fetch_optional(pool)
        .await)?)
}

pub(in crate::auth) async fn account(db: &Db, name: &str) -> Result<Option<UserAccount>, Error> {
    let row: Option<AccountRow> = read!(db, |pool, sql = ACCOUNT| sqlx::query_as(sql)
        .bind(name)
        .fetch_optional(pool)
        .await)
    .map_err(store::Error::from)?;
    Ok(row.map(|row| UserAccount {
        id: row.id,
        name: Arc::from(row.name),
        system_admin: row.system_admin,
        password_hash: row.password_hash,
        credential_version: row.credential_version,
        created_at: Timestamp::from_millis(row.created_ms),
    }))
}

/// Whether there was ever a user.
pub(in crate::auth) async fn any(db: &Db) -> Result<bool, store::Error> {
    let count: i64 = write!(db, |pool, sql = ANY| sqlx::query_scalar(sql)
        .fetch_one(pool)
        .await)?;
    Ok(count > 0)
}

pub(super) async fn insert(
    tx: &mut Tx,
    user: &Insert<'_>,
    now: Timestamp,
) -> Result<UserId, store::Error> {
    let id: i64 = run!(tx, |connection, sql = INSERT| sqlx::query_scalar(sql)
        .bind(user.name)
        .bind(user.profile.email.as_deref())
        .bind(&user.profile.realname)
        .bind(&user.profile.comment)
        .bind(user.password_hash)
        .bind(user.system_admin)
        .bind(now.millis())
        .fetch_one(connection)
        .await)?;
    Ok(UserId(id))
}

pub(super) async fn update_profile(
    db: &Db,
    id: UserId,
    profile: &Profile,
    now: Timestamp,
) -> Result<u64, store::Error> {
    Ok(write!(db, |pool, sql = UPDATE_PROFILE| sqlx::query(sql)
        .bind(id.0)
        .bind(profile.email.as_deref())
        .bind(&profile.realname)
        .bind(&profile.comment)
        .bind(now.millis())
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?)
}

pub(super) async fn set_system_admin(
    db: &Db,
    id: UserId,
    system_admin: bool,
    now: Timestamp,
) -> Result<u64, store::Error> {
    Ok(write!(db, |pool, sql = SET_SYSTEM_ADMIN| sqlx::query(sql)
        .bind(id.0)
        .bind(system_admin)
        .bind(now.millis())
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?)
}

pub(super) async fn set_password(
    tx: &mut Tx,
    id: UserId,
    hash: &str,
    now: Timestamp,
) -> Result<u64, store::Error> {
    Ok(run!(tx, |connection, sql = SET_PASSWORD| sqlx::query(sql)
        .bind(id.0)
        .bind(hash)
        .bind(now.millis())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?)
}

/// Puts another hash of the same password in the place of `old`, if that is still there: logins
/// go on.
pub(in crate::auth) async fn replace_hash(
    db: &Db,
    id: UserId,
    old: &str,
    new: &str,
) -> Result<(), store::Error> {
    Ok(write!(db, |pool, sql = REPLACE_HASH| sqlx::query(sql)
        .bind(id.0)
        .bind(old)
        .bind(new)
        .execute(pool)
        .await
        .map(drop))?)
}

pub(super) async fn delete(tx: &mut Tx, id: UserId, now: Timestamp) -> Result<u64, store::Error> {
    for statement in [DELETE_MEMBERSHIPS, LEAVE_GROUPS] {
        run!(tx, |connection, sql = statement| sqlx::query(sql)
            .bind(id.0)
            .execute(connection)
            .await
            .map(drop))?;
    }
    Ok(run!(tx, |connection, sql = DELETE| sqlx::query(sql)
        .bind(id.0)
        .bind(now.millis())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?)
}
