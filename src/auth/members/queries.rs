use super::{Entity, Member};
use crate::{
    auth::{Error, MemberId, ProjectId, Role, UserId, authority::Standing},
    store::{self, Db, Field, Selection, Tx, read, run, sqls, write},
};

sqls! {
    STANDING = "select p.public, r.role_id from projects p \
        left join user_roles r on r.project_id = $1 and r.user_id = $2 \
        where p.id = $1 and p.deleted_ms is null";
    MEMBER = "select m.id, m.project_id, m.entity_id, coalesce(u.name, g.name) as entity_name, \
        m.entity_type, m.role_id from project_members m \
        left join users u on m.entity_type = 'u' and u.id = m.entity_id \
        left join user_groups g on m.entity_type = 'g' and g.id = m.entity_id \
        where m.project_id = $1 and m.id = $2";
    USER_EXISTS = "select id from users where id = $1 and deleted_ms is null"
        | "select id from users where id = $1 and deleted_ms is null for share";
    GROUP_EXISTS = "select id from user_groups where id = $1"
        | "select id from user_groups where id = $1 for share";
    INSERT = "insert into project_members (project_id, entity_type, entity_id, role_id) \
        values ($1, $2, $3, $4) returning id";
    SET_ROLE = "update project_members set role_id = $3 where project_id = $1 and id = $2";
    DELETE = "delete from project_members where project_id = $1 and id = $2";
}

/// Of the project `$1`.
pub(super) const MEMBERS: Selection = Selection {
    columns: "m.id, m.project_id, m.entity_id, coalesce(u.name, g.name) as entity_name, \
              m.entity_type, m.role_id",
    from: "project_members m \
           left join users u on m.entity_type = 'u' and u.id = m.entity_id \
           left join user_groups g on m.entity_type = 'g' and g.id = m.entity_id",
    condition: "m.project_id = $1",
    fields: &[
        Field::integer("id", "m.id"),
        Field::integer("entity_id", "m.entity_id"),
        Field::text("entity_name", "coalesce(u.name, g.name)"),
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

/// Whether the user or group is there, and stays so until the transaction ends.
pub(super) async fn exists(tx: &mut Tx, entity: Entity) -> Result<bool, store::Error> {
    let statement = match entity {
        Entity::User(_) => USER_EXISTS,
        Entity::Group(_) => GROUP_EXISTS,
    };
    let found: Option<i64> = run!(tx, |connection, sql = statement| sqlx::query_scalar(sql)
        .bind(entity.id())
        .fetch_optional(connection)
        .await)?;
    Ok(found.is_some())
}

pub(in crate::auth) async fn insert(
    tx: &mut Tx,
    project: ProjectId,
    entity: Entity,
    role: Role,
) -> Result<MemberId, store::Error> {
    let id: i64 = run!(tx, |connection, sql = INSERT| sqlx::query_scalar(sql)
        .bind(project.0)
        .bind(entity.kind())
        .bind(entity.id())
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
