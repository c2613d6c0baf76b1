use super::{Metadata, Project};
use crate::{
    auth::{Error, ProjectId, UserId, authority::ProjectFacts, immutable},
    clock::Timestamp,
    store::{self, Db, Field, Selection, Tx, read, run, sqls, write},
};

sqls! {
    PROJECT = "select p.id, p.name, p.owner_id, u.name as owner_name, p.public, p.storage_limit, \
        p.created_ms, p.updated_ms from projects p join users u on u.id = p.owner_id \
        where p.id = $1 and p.deleted_ms is null";
    PROJECT_NAMED = "select p.id, p.name, p.owner_id, u.name as owner_name, p.public, p.storage_limit, \
        p.created_ms, p.updated_ms from projects p join users u on u.id = p.owner_id \
        where p.name = $1 and p.deleted_ms is null";
    FACTS = "select id, public, storage_limit, (select json_group_array(json(rule)) from immutable_rules \
            where project_id = projects.id and not disabled) as immutable \
            from projects where name = $1 and deleted_ms is null"
        | "select id, public, storage_limit, (select coalesce(jsonb_agg(rule::jsonb), '[]')::text \
            from immutable_rules where project_id = projects.id and not disabled) as immutable \
            from projects where name = $1 and deleted_ms is null";
    INSERT = "insert into projects (name, owner_id, public, storage_limit, created_ms, updated_ms) \
        values ($1, $2, $3, $4, $5, $5) returning id";
    LOCK = "select id from projects where id = $1 and deleted_ms is null"
         | "select id from projects where id = $1 and deleted_ms is null for update";
    SET_PUBLIC = "update projects set public = $2, updated_ms = $3 where id = $1";
    SET_STORAGE_LIMIT = "update projects set storage_limit = $2, updated_ms = $3 \
        where id = $1 and deleted_ms is null";
    METADATA = "select name, value from project_metadata where project_id = $1";
    PUT_METADATA = "insert into project_metadata (project_id, name, value) values ($1, $2, $3) \
        on conflict (project_id, name) do update set value = excluded.value";
    DELETE_METADATA = "delete from project_metadata where project_id = $1 and name = $2";
    REMOVE_METADATA = "delete from project_metadata \
        where project_id = $1 and name = $2 and value = $3";
    DELETE_ALL_METADATA = "delete from project_metadata where project_id = $1";
    DELETE_IMMUTABLE_RULES = "delete from immutable_rules where project_id = $1";
    DELETE_MEMBERS = "delete from project_members where project_id = $1";
    DELETE_ROBOT_TOKENS = "delete from refresh_tokens where subject in \
        (select name from robots where project_id = $1)";
    DELETE_ROBOTS = "delete from robots where project_id = $1";
    DELETE = "update projects set deleted_ms = $2, updated_ms = $2 where id = $1";
}

const FIELDS: &[Field] = &[
    Field::integer("project_id", "p.id"),
    Field::text("name", "p.name"),
    Field::integer("owner_id", "p.owner_id"),
    Field::text("owner", "u.name"),
    Field::boolean("public", "p.public"),
    Field::time("creation_time", "p.created_ms"),
    Field::time("update_time", "p.updated_ms"),
];

const fn projects_where(condition: &'static str) -> Selection {
    Selection {
        columns: "p.id, p.name, p.owner_id, u.name as owner_name, p.public, p.storage_limit, \
                  p.created_ms, p.updated_ms",
        from: "projects p join users u on u.id = p.owner_id",
        condition,
        fields: FIELDS,
        key: "p.id",
    }
}

pub(super) const ALL_PROJECTS: Selection = projects_where("p.deleted_ms is null");
pub(super) const PUBLIC_PROJECTS: Selection = projects_where("p.deleted_ms is null and p.public");
/// Of the user `$1`.
pub(super) const JOINED_PROJECTS: Selection = projects_where(
    "p.deleted_ms is null and exists (select 1 from user_roles r \
     where r.project_id = p.id and r.user_id = $1)",
);
/// To the user `$1`.
pub(super) const VISIBLE_PROJECTS: Selection = projects_where(
    "p.deleted_ms is null and (p.public or exists (select 1 from user_roles r \
     where r.project_id = p.id and r.user_id = $1))",
);

store::row! { FactsRow { id: ProjectId, public: bool, storage_limit: i64, immutable: String } }

/// A row to insert.
pub(super) struct Insert<'a> {
    pub name: &'a str,
    pub owner: UserId,
    pub public: bool,
    pub storage_limit: i64,
}

pub(super) async fn project(db: &Db, id: ProjectId) -> Result<Option<Project>, store::Error> {
    Ok(read!(db, |pool, sql = PROJECT| sqlx::query_as(sql)
        .bind(id.0)
        .fetch_optional(pool)
        .await)?)
}

pub(super) async fn project_named(db: &Db, name: &str) -> Result<Option<Project>, store::Error> {
    Ok(read!(db, |pool, sql = PROJECT_NAMED| sqlx::query_as(sql)
        .bind(name)
        .fetch_optional(pool)
        .await)?)
}

pub(in crate::auth) async fn facts(db: &Db, name: &str) -> Result<Option<ProjectFacts>, Error> {
    let row: Option<FactsRow> = read!(db, |pool, sql = FACTS| sqlx::query_as(sql)
        .bind(name)
        .fetch_optional(pool)
        .await)
    .map_err(store::Error::from)?;
    Ok(row.map(|row| ProjectFacts {
        id: row.id,
        public: row.public,
        storage_limit: row.storage_limit,
        immutable: immutable::parse_all(&row.immutable),
    }))
}

pub(super) async fn insert(
    tx: &mut Tx,
    project: &Insert<'_>,
    now: Timestamp,
) -> Result<ProjectId, store::Error> {
    let id: i64 = run!(tx, |connection, sql = INSERT| sqlx::query_scalar(sql)
        .bind(project.name)
        .bind(project.owner.0)
        .bind(project.public)
        .bind(project.storage_limit)
        .bind(now.millis())
        .fetch_one(connection)
        .await)?;
    Ok(ProjectId(id))
}

/// Holds the project's row until the transaction ends, so that nothing is added to a project
/// that is being deleted; false when it does not exist.
pub(in crate::auth) async fn lock(tx: &mut Tx, id: ProjectId) -> Result<bool, store::Error> {
    let found: Option<i64> = run!(tx, |connection, sql = LOCK| sqlx::query_scalar(sql)
        .bind(id.0)
        .fetch_optional(connection)
        .await)?;
    Ok(found.is_some())
}

pub(super) async fn set_public(
    tx: &mut Tx,
    id: ProjectId,
    public: bool,
    now: Timestamp,
) -> Result<(), store::Error> {
    Ok(run!(tx, |connection, sql = SET_PUBLIC| sqlx::query(sql)
        .bind(id.0)
        .bind(public)
        .bind(now.millis())
        .execute(connection)
        .await
        .map(drop))?)
}

pub(super) async fn set_storage_limit(
    db: &Db,
    id: ProjectId,
    bytes: i64,
    now: Timestamp,
) -> Result<u64, store::Error> {
    Ok(write!(db, |pool, sql = SET_STORAGE_LIMIT| sqlx::query(sql)
        .bind(id.0)
        .bind(bytes)
        .bind(now.millis())
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?)
}

pub(super) async fn metadata(db: &Db, id: ProjectId) -> Result<Metadata, store::Error> {
    let rows: Vec<(String, String)> = read!(db, |pool, sql = METADATA| sqlx::query_as(sql)
        .bind(id.0)
        .fetch_all(pool)
        .await)?;
    Ok(rows.into_iter().collect())
}

pub(super) async fn put_metadata(
    tx: &mut Tx,
    id: ProjectId,
    name: &str,
    value: &str,
) -> Result<(), store::Error> {
    Ok(run!(tx, |connection, sql = PUT_METADATA| sqlx::query(sql)
        .bind(id.0)
        .bind(name)
        .bind(value)
        .execute(connection)
        .await
        .map(drop))?)
}

pub(super) async fn delete_metadata(
    db: &Db,
    id: ProjectId,
    name: &str,
) -> Result<u64, store::Error> {
    Ok(write!(db, |pool, sql = DELETE_METADATA| sqlx::query(sql)
        .bind(id.0)
        .bind(name)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?)
}

pub(super) async fn remove_metadata(
    tx: &mut Tx,
    id: ProjectId,
    (name, value): (&str, &str),
) -> Result<(), store::Error> {
    Ok(run!(tx, |connection, sql = REMOVE_METADATA| sqlx::query(
        sql
    )
    .bind(id.0)
    .bind(name)
    .bind(value)
    .execute(connection)
    .await
    .map(drop))?)
}

/// Deletes a project with its settings, members and robots.
pub(super) async fn delete(tx: &mut Tx, id: ProjectId, now: Timestamp) -> Result<(), store::Error> {
    for statement in [
        DELETE_ALL_METADATA,
        DELETE_IMMUTABLE_RULES,
        DELETE_MEMBERS,
        DELETE_ROBOT_TOKENS,
        DELETE_ROBOTS,
    ] {
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
        .map(drop))?)
}
