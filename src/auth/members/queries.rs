use super::Member;
use crate::{
    auth::{Error, MemberId, ProjectId, Role, UserId, authority::Standing},
    store::{self, Db, Field, Selection, Tx, read, run, sqls, write},
};

sqls! {
    STANDING = "select p.public, m.role_id from projects p \
        left join project_members m on m.project_id = p.id \
        and m.entity_type = 'u' and m.entity_id = $2 \
        where p.id = $1 and p.deleted_ms is null";
    MEMBER = "select m.id, m.project_id, m.entity_id, u.name as entity_name, m.entity_type, m.role_id \
        from project_members m join users u on u.id = m.entity_id \
        where m.project_id = $1 and m.id = $2 and m.entity_type = 'u'";
    USER_EXISTS = "select id from users where id = $1 and deleted_ms is null"
        | "select id from users where id = $1 and deleted_ms is null for share";
    INSERT = "insert into project_members (project_id, entity_type, entity_id, role_id) \
        values ($1, 'u', $2, $3) returning id";
    SET_ROLE = "update project_members set role_id = $3 where project_id = $1 and id = $2";
    DELETE = "delete from project_members where project_id = $1 and id = $2";
}

/// Of the project `$1`.
pub(super) const MEMBERS: Selection = Selection {
    columns: "m.id, m.project_id, m.entity_id, u.name as entity_name, m.entity_type, m.role_id",
    from: "project_members m join users u on u.id = m.entity_id",
    condition: "m.project_id = $1 and m.entity_type = 'u'",
    fields: &[
        Field::integer("id", "m.id"),
        Field::integer("entity_id", "m.entity_id"),
        Field::text("entity_name", "u.name"),
        Field::text("entity_type", "m.entity_type"),
        Field::integer("role_id", "m.role_id"),
    ],
    key: "m.id",
};

store::row! { StandingRow { public: bool, role_id: Option<i64> } }

pub(in crate::auth) async fn standing(
    db: &Db,
    project: ProjectId,
    user: UserId,
) -> Result<Option<Standing>, Error> {
    let rows: Vec<StandingRow> = read!(db, |pool, sql = STANDING| sqlx::query_as(sql)
        .bind(project.0)
        .bind(user.0)
        .fetch_all(pool)
        .await)
    .map_err(store::Error::from)?;
    Ok(rows.first().map(|first| Standing {
        public: first.public,
        roles: rows
            .iter()
            .filter_map(|row| Role::from_id(row.role_id?))
            .collect(),
    }))
}

pub(super) async fn member(
    db: &Db,
    project: ProjectId,
    id: MemberId,
) -> Result<Option<Member>, store::Error> {
    Ok(read!(db, |pool, sql = MEMBER| sqlx::query_as(sql)
        .bind(project.0)
        .bind(id.0)
        .fetch_optional(pool)
        .await)?)
}

/// Whether the user is there, and stays so until the transaction ends.
pub(super) async fn user_exists(tx: &mut Tx, user: UserId) -> Result<bool, store::Error> {
    let found: Option<i64> = run!(tx, |connection, sql = USER_EXISTS| sqlx::query_scalar(sql)
        .bind(user.0)
        .fetch_optional(connection)
        .await)?;
    Ok(found.is_some())
}

pub(in crate::auth) async fn insert(
    tx: &mut Tx,
    project: ProjectId,
    user: UserId,
    role: Role,
) -> Result<MemberId, store::Error> {
    let id: i64 = run!(tx, |connection, sql = INSERT| sqlx::query_scalar(sql)
        .bind(project.0)
        .bind(user.0)
        .bind(role.id())
        .fetch_one(connection)
        .await)?;
    Ok(MemberId(id))
}

pub(super) async fn set_role(
    db: &Db,
    project: ProjectId,
    id: MemberId,
    role: Role,
) -> Result<u64, store::Error> {
    Ok(write!(db, |pool, sql = SET_ROLE| sqlx::query(sql)
        .bind(project.0)
        .bind(id.0)
        .bind(role.id())
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?)
}

pub(super) async fn delete(db: &Db, project: ProjectId, id: MemberId) -> Result<u64, store::Error> {
    Ok(write!(db, |pool, sql = DELETE| sqlx::query(sql)
        .bind(project.0)
        .bind(id.0)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?)
}
