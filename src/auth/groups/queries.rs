use super::{Group, NewGroup};
#[cfg(test)]
use crate::auth::UserId;
use crate::{
    auth::GroupId,
    store::{self, Db, Field, Selection, Tx, read, run, sqls, write},
};

sqls! {
    GROUP = "select id, name, group_type, ldap_dn from user_groups where id = $1";
    NAMED = "select id, name, group_type, ldap_dn from user_groups \
        where name = $1 and cast($2 as bigint) in (0, group_type) order by id limit 2";
    WITH_DN = "select id, name, group_type, ldap_dn from user_groups \
        where ldap_dn <> '' and ldap_dn = $1";
    INSERT = "insert into user_groups (name, group_type, ldap_dn) values ($1, $2, $3) returning id";
    RENAME = "update user_groups set name = $2 where id = $1";
    DELETE = "delete from user_groups where id = $1";
    DELETE_MEMBERSHIPS = "delete from project_members where entity_type = 'g' and entity_id = $1";
}

pub(super) const GROUPS: Selection = Selection {
    columns: "id, name, group_type, ldap_dn",
    from: "user_groups",
    condition: "true",
    fields: &[
        Field::integer("id", "id"),
        Field::text("group_name", "name"),
        Field::integer("group_type", "group_type"),
        Field::text("ldap_group_dn", "ldap_dn"),
    ],
    key: "id",
};

pub(super) async fn group(db: &Db, id: GroupId) -> Result<Option<Group>, store::Error> {
    Ok(read!(db, |pool, sql = GROUP| sqlx::query_as(sql)
        .bind(id.0)
        .fetch_optional(pool)
        .await)?)
}

/// Groups of this name, of one type or, for 0, two of any.
pub(super) async fn named(
    db: &Db,
    name: &str,
    group_type: i64,
) -> Result<Vec<Group>, store::Error> {
    Ok(read!(db, |pool, sql = NAMED| sqlx::query_as(sql)
        .bind(name)
        .bind(group_type)
        .fetch_all(pool)
        .await)?)
}

pub(super) async fn with_dn(db: &Db, dn: &str) -> Result<Option<Group>, store::Error> {
    Ok(read!(db, |pool, sql = WITH_DN| sqlx::query_as(sql)
        .bind(dn)
        .fetch_optional(pool)
        .await)?)
}

pub(super) async fn insert(db: &Db, group: &NewGroup) -> Result<GroupId, store::Error> {
    let id: i64 = write!(db, |pool, sql = INSERT| sqlx::query_scalar(sql)
        .bind(&group.name)
        .bind(group.group_type)
        .bind(&group.ldap_dn)
        .fetch_one(pool)
        .await)?;
    Ok(GroupId(id))
}

pub(super) async fn rename(db: &Db, id: GroupId, name: &str) -> Result<u64, store::Error> {
    Ok(write!(db, |pool, sql = RENAME| sqlx::query(sql)
        .bind(id.0)
        .bind(name)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?)
}

/// Whether there was such a group. It goes first: who is making it a member holds its row until
/// that is written.
pub(super) async fn delete(tx: &mut Tx, id: GroupId) -> Result<bool, store::Error> {
    let deleted = run!(tx, |connection, sql = DELETE| sqlx::query(sql)
        .bind(id.0)
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?;
    run!(tx, |connection, sql = DELETE_MEMBERSHIPS| sqlx::query(sql)
        .bind(id.0)
        .execute(connection)
        .await
        .map(drop))?;
    Ok(deleted > 0)
}

#[cfg(test)]
pub(in crate::auth) async fn join(db: &Db, user: UserId, group: GroupId) {
    write!(db, |pool, sql = JOIN| sqlx::query(sql)
        .bind(user.0)
        .bind(group.0)
        .execute(pool)
        .await
        .map(drop))
    .unwrap();
}

/// What a source of identities will do.
#[cfg(test)]
const JOIN: store::Sql = store::Sql {
    lite: "insert into users_in_groups (user_id, group_id) values ($1, $2)",
    pg: "insert into users_in_groups (user_id, group_id) values ($1, $2)",
};
