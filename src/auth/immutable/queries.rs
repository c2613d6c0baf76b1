use super::ImmutableRuleId;
use crate::{
    auth::ProjectId,
    store::{self, Db, Field, Selection, Tx, run, sqls, write},
};

sqls! {
    INSERT = "insert into immutable_rules (project_id, disabled, rule) values ($1, $2, $3) \
        returning id";
    COUNT = "select count(*) from immutable_rules where project_id = $1";
    UPDATE = "update immutable_rules set disabled = $3, rule = $4 \
        where project_id = $1 and id = $2";
    DELETE = "delete from immutable_rules where project_id = $1 and id = $2";
}

/// Of the project `$1`.
pub(super) const RULES: Selection = Selection {
    columns: "id, disabled, rule",
    from: "immutable_rules",
    condition: "project_id = $1",
    fields: &[
        Field::integer("id", "id"),
        Field::boolean("disabled", "disabled"),
    ],
    key: "id",
};

pub(super) async fn count(tx: &mut Tx, project: ProjectId) -> Result<i64, store::Error> {
    Ok(run!(tx, |connection, sql = COUNT| sqlx::query_scalar(sql)
        .bind(project.0)
        .fetch_one(connection)
        .await)?)
}

pub(super) async fn insert(
    tx: &mut Tx,
    project: ProjectId,
    rule: &str,
    disabled: bool,
) -> Result<ImmutableRuleId, store::Error> {
    Ok(run!(tx, |connection, sql = INSERT| sqlx::query_scalar(sql)
        .bind(project.0)
        .bind(disabled)
        .bind(rule)
        .fetch_one(connection)
        .await)?)
}

pub(super) async fn update(
    db: &Db,
    (project, id): (ProjectId, ImmutableRuleId),
    rule: &str,
    disabled: bool,
) -> Result<u64, store::Error> {
    Ok(write!(db, |pool, sql = UPDATE| sqlx::query(sql)
        .bind(project.0)
        .bind(id.0)
        .bind(disabled)
        .bind(rule)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?)
}

pub(super) async fn delete(
    db: &Db,
    project: ProjectId,
    id: ImmutableRuleId,
) -> Result<u64, store::Error> {
    Ok(write!(db, |pool, sql = DELETE| sqlx::query(sql)
        .bind(project.0)
        .bind(id.0)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?)
}
