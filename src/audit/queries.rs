use super::{Outcome, recorder::Noted};
use crate::{
    clock::Timestamp,
    store::{self, Db, Field, Selection, Tx, run, sqls, write},
};

sqls! {
    INSERT = "insert into audit_log (at_ms, user_name, operation, resource_type, resource, project, \
        succeeded, description, source, request_id) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    SWEEP = "delete from audit_log where id in \
        (select id from audit_log where at_ms < $1 order by at_ms limit $2)";
}

pub(super) const ENTRIES: Selection = Selection {
    columns: "id, at_ms, user_name, operation, resource_type, resource, project, succeeded, \
              description, source, request_id",
    from: "audit_log",
    condition: "1 = 1",
    fields: &[
        Field::integer("id", "id"),
        Field::text("username", "user_name"),
        Field::text("operation", "operation"),
        Field::text("resource_type", "resource_type"),
        Field::text("resource", "resource"),
        Field::text("project", "project"),
        Field::boolean("operation_result", "succeeded"),
        Field::text("operation_description", "description"),
        Field::time("op_time", "at_ms"),
    ],
    key: "id desc",
};

pub(super) async fn insert(tx: &mut Tx, noted: &Noted) -> Result<(), store::Error> {
    let event = &noted.event;
    Ok(run!(tx, |connection, sql = INSERT| sqlx::query(sql)
        .bind(noted.at.millis())
        .bind(&event.user)
        .bind(event.operation.as_str())
        .bind(event.resource_type)
        .bind(&event.resource)
        .bind(event.project.as_deref())
        .bind(event.outcome == Outcome::Succeeded)
        .bind(&event.description)
        .bind(event.source.map(|source| source.to_string()))
        .bind(event.request_id.as_deref())
        .execute(connection)
        .await
        .map(drop))?)
}

pub(super) async fn sweep(db: &Db, before: Timestamp, limit: i64) -> Result<u64, store::Error> {
    Ok(write!(db, |pool, sql = SWEEP| sqlx::query(sql)
        .bind(before.millis())
        .bind(limit)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?)
}
