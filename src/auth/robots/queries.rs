use std::sync::Arc;

use super::{Creator, Level, Robot, grants::Grant, grants::Grants};
use crate::{
    auth::{
        Error, ProjectId, RobotId, UserId,
        account::{RobotAccount, SecretHash},
    },
    clock::Timestamp,
    store::{self, Db, Field, Selection, Tx, read, run, sqls},
};

sqls! {
    ROBOT = "select id, name, description, project_id, duration_days, expires_ms, disabled, \
        permissions, creator_type, creator_id, created_ms, updated_ms from robots where id = $1";
    ACCOUNT = "select id, name, project_id, disabled, expires_ms, salt, secret_hash, \
        credential_version, permissions, created_ms from robots where name = $1";
    INSERT = "insert into robots (name, description, project_id, duration_days, expires_ms, disabled, \
        salt, secret_hash, permissions, creator_type, creator_id, created_ms, updated_ms) \
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12) returning id";
    UPDATE = "update robots set description = $2, duration_days = $3, expires_ms = $4, disabled = $5, \
        permissions = $6, updated_ms = $7 where id = $1";
    SET_SECRET = "update robots set salt = $2, secret_hash = $3, updated_ms = $4, \
        credential_version = credential_version + 1 where id = $1";
    DELETE = "delete from robots where id = $1";
}

const FIELDS: &[Field] = &[
    Field::integer("id", "id"),
    Field::text("name", "name"),
    Field::text("description", "description"),
    Field::boolean("disable", "disabled"),
    Field::text("level", LEVEL),
    Field::integer("project_id", "project_id"),
    Field::integer("duration", "duration_days"),
    Field::time("creation_time", "created_ms"),
    Field::time("update_time", "updated_ms"),
];

const LEVEL: &str = "(case when project_id is null then 'system' else 'project' end)";

const fn robots_where(condition: &'static str) -> Selection {
    Selection {
        columns: "id, name, description, project_id, duration_days, expires_ms, disabled, \
                  permissions, creator_type, creator_id, created_ms, updated_ms",
        from: "robots",
        condition,
        fields: FIELDS,
        key: "id",
    }
}

pub(super) const SYSTEM_ROBOTS: Selection = robots_where("project_id is null");
/// Of the project `$1`.
pub(super) const PROJECT_ROBOTS: Selection = robots_where("project_id = $1");

store::row! {
    pub(super) RobotRow {
        id: RobotId,
        name: String,
        description: String,
        project_id: Option<ProjectId>,
        duration_days: i64,
        expires_ms: Option<i64>,
        disabled: bool,
        permissions: String,
        creator_type: String,
        creator_id: i64,
        created_ms: i64,
        updated_ms: i64,
    }
}

store::row! {
    AccountRow {
        id: RobotId,
        name: String,
        project_id: Option<ProjectId>,
        disabled: bool,
        expires_ms: Option<i64>,
        salt: Vec<u8>,
        secret_hash: Vec<u8>,
        credential_version: i64,
        permissions: String,
        created_ms: i64,
    }
}

impl RobotRow {
    pub(super) fn read(self) -> Result<Robot, Error> {
        let grants = grants(self.id, &self.permissions)?;
        Ok(Robot {
            id: self.id,
            name: self.name,
            description: self.description,
            level: match self.project_id {
                Some(_) => Level::Project,
                None => Level::System,
            },
            project_id: self.project_id,
            duration_days: self.duration_days,
            expires_at: self.expires_ms.map(Timestamp::from_millis),
            disabled: self.disabled,
            permissions: grants.into_iter().map(|grant| grant.permission).collect(),
            creator: match self.creator_type.as_str() {
                ROBOT_CREATOR => Creator::Robot(RobotId(self.creator_id)),
                _ => Creator::User(UserId(self.creator_id)),
            },
            created_at: Timestamp::from_millis(self.created_ms),
            updated_at: Timestamp::from_millis(self.updated_ms),
        })
    }
}

fn grants(id: RobotId, text: &str) -> Result<Vec<Grant>, Error> {
    serde_json::from_str(text)
        .map_err(|error| Error::Internal(format!("robots.permissions of row {id}: {error}")))
}

/// A row to insert.
pub(super) struct Insert<'a> {
    pub name: &'a str,
    pub project: Option<ProjectId>,
    pub change: Change<'a>,
    pub secret: &'a SecretHash,
    pub creator: Creator,
}

/// What can be changed later.
pub(super) struct Change<'a> {
    pub description: &'a str,
    pub duration_days: i64,
    pub expires_at: Option<Timestamp>,
    pub disabled: bool,
    pub grants: &'a [Grant],
}

impl Change<'_> {
    fn permissions(&self) -> String {
        serde_json::to_string(self.grants).unwrap_or_default()
    }
}

pub(super) async fn robot(db: &Db, id: RobotId) -> Result<Option<Robot>, Error> {
    let row: Option<RobotRow> = read!(db, |pool, sql = ROBOT| sqlx::query_as(sql)
        .bind(id.0)
        .fetch_optional(pool)
        .await)
    .map_err(store::Error::from)?;
    row.map(RobotRow::read).transpose()
}

pub(in crate::auth) async fn account(db: &Db, name: &str) -> Result<Option<RobotAccount>, Error> {
    let row: Option<AccountRow> = read!(db, |pool, sql = ACCOUNT| sqlx::query_as(sql)
        .bind(name)
        .fetch_optional(pool)
        .await)
    .map_err(store::Error::from)?;
    row.map(|row| {
        Ok(RobotAccount {
            id: row.id,
            name: Arc::from(row.name),
            project: row.project_id,
            disabled: row.disabled,
            expires_at: row.expires_ms.map(Timestamp::from_millis),
            secret: SecretHash {
                salt: row.salt,
                hash: row.secret_hash,
            },
            credential_version: row.credential_version,
            grants: Arc::new(Grants::of(&grants(row.id, &row.permissions)?)),
            created_at: Timestamp::from_millis(row.created_ms),
        })
    })
    .transpose()
}

pub(super) async fn insert(
    tx: &mut Tx,
    robot: &Insert<'_>,
    now: Timestamp,
) -> Result<RobotId, store::Error> {
    let (creator_type, creator_id) = match robot.creator {
        Creator::User(id) => (USER_CREATOR, id.0),
        Creator::Robot(id) => (ROBOT_CREATOR, id.0),
    };
    let id: i64 = run!(tx, |connection, sql = INSERT| sqlx::query_scalar(sql)
        .bind(robot.name)
        .bind(robot.change.description)
        .bind(robot.project.map(|id| id.0))
        .bind(robot.change.duration_days)
        .bind(robot.change.expires_at.map(Timestamp::millis))
        .bind(robot.change.disabled)
        .bind(&robot.secret.salt)
        .bind(&robot.secret.hash)
        .bind(robot.change.permissions())
        .bind(creator_type)
        .bind(creator_id)
        .bind(now.millis())
        .fetch_one(connection)
        .await)?;
    Ok(RobotId(id))
}

pub(super) async fn update(
    tx: &mut Tx,
    id: RobotId,
    change: &Change<'_>,
    now: Timestamp,
) -> Result<u64, store::Error> {
    Ok(run!(tx, |connection, sql = UPDATE| sqlx::query(sql)
        .bind(id.0)
        .bind(change.description)
        .bind(change.duration_days)
        .bind(change.expires_at.map(Timestamp::millis))
        .bind(change.disabled)
        .bind(change.permissions())
        .bind(now.millis())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?)
}

pub(super) async fn set_secret(
    tx: &mut Tx,
    id: RobotId,
    secret: &SecretHash,
    now: Timestamp,
) -> Result<u64, store::Error> {
    Ok(run!(tx, |connection, sql = SET_SECRET| sqlx::query(sql)
        .bind(id.0)
        .bind(&secret.salt)
        .bind(&secret.hash)
        .bind(now.millis())
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?)
}

pub(super) async fn delete(tx: &mut Tx, id: RobotId) -> Result<u64, store::Error> {
    Ok(run!(tx, |connection, sql = DELETE| sqlx::query(sql)
        .bind(id.0)
        .execute(connection)
        .await
        .map(|done| done.rows_affected()))?)
}

const USER_CREATOR: &str = "user";
const ROBOT_CREATOR: &str = "robot";
