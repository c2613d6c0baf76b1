use std::sync::Arc;

use super::{Outcome, recorder::Noted};
use crate::{
    clock::Timestamp,
    store::{self, Db, Field, Selection, Tx, read, row, run, sqls},
};

sqls! {
    INSERT = "insert into audit_log (at_ms, user_name, operation, resource_type, resource, project, \
            succeeded, description, source, request_id) \
            with entries (v) as materialized (select jsonb(value) from json_each($1)) \
            select v ->> 0, v ->> 1, v ->> 2, v ->> 3, v ->> 4, v ->> 5, v ->> 6, v ->> 7, v ->> 8, \
            v ->> 9 from entries"
        | "insert into audit_log (at_ms, user_name, operation, resource_type, resource, project, \
            succeeded, description, source, request_id) \
            select (value ->> 0)::bigint, value ->> 1, value ->> 2, value ->> 3, value ->> 4, \
            value ->> 5, (value ->> 6)::boolean, value ->> 7, value ->> 8, value ->> 9 \
            from jsonb_array_elements($1::jsonb)";
    SWEEP = "delete from audit_log where id in \
        (select id from audit_log where at_ms < $1 order by at_ms limit $2) returning project";
    COUNT_BEFORE = "select count(*) from audit_log where at_ms < $1";
    LOOK = "select id, at_ms, operation, resource_type from audit_log \
        where at_ms < $1 and at_ms >= $2 and (at_ms > $2 or id > $3) order by at_ms, id limit $4";
    DELETE = "delete from audit_log where id in (select value from json_each($1)) \
            returning project"
        | "delete from audit_log \
            where id in (select value::bigint from jsonb_array_elements_text($1::jsonb)) \
            returning project";
    COUNT = "insert into audit_counts (project, entries) values ($1, $2) \
        on conflict (project) do update set entries = audit_counts.entries + excluded.entries";
    TOTAL = "select coalesce(sum(entries), 0) from audit_counts"
        | "select coalesce(sum(entries), 0)::bigint from audit_counts";
    TOTAL_OF = "select coalesce(sum(entries), 0) from audit_counts \
            where project in (select value from json_each($1))"
        | "select coalesce(sum(entries), 0)::bigint from audit_counts \
            where project in (select jsonb_array_elements_text($1::jsonb))";
    // The entry with the least id is the oldest.
    HAVE_NAMESAKES = "select count(*) from projects p \
            where p.name in (select value from json_each($1)) and p.deleted_ms is null \
            and p.created_ms > (select at_ms from audit_log \
                where project = p.name order by id limit 1)"
        | "select count(*) from projects p \
            where p.name in (select jsonb_array_elements_text($1::jsonb)) \
            and p.deleted_ms is null and p.created_ms > (select at_ms from audit_log \
                where project = p.name order by id limit 1)";
}

row! {
    /// The part of an entry that says whether a purge means it.
    pub(super) Looked { id: i64, at_ms: i64, operation: String, resource_type: String }
}

pub(super) const ENTRIES: Selection = entries_where("1 = 1");
/// Without those of an earlier project with the name of one that there is now.
pub(super) const ENTRIES_OF_PROJECTS: Selection = entries_where(
    "not exists (select 1 from projects p where p.name = audit_log.project and p.deleted_ms is null \
        and p.created_ms > audit_log.at_ms)",
);

const fn entries_where(condition: &'static str) -> Selection {
    Selection {
        columns: "id, at_ms, user_name, operation, resource_type, resource, project, succeeded, \
              description, source, request_id",
        from: "audit_log",
        condition,
        fields: FIELDS,
        key: "id desc",
    }
}

const FIELDS: &[Field] = &[
    Field::integer("id", "id"),
    Field::text("username", "user_name"),
    Field::text("operation", "operation"),
    Field::text("resource_type", "resource_type"),
    Field::text("resource", "resource"),
    Field::text("project", "project"),
    Field::boolean("operation_result", "succeeded"),
    Field::text("operation_description", "description"),
    Field::time("op_time", "at_ms"),
];

/// All in one statement: each costs SQLite a turn of its thread. `json_each` would write the text
/// of an entry for each column, and `->>` read it again.
pub(super) async fn insert(tx: &mut Tx, batch: &[Arc<Noted>]) -> Result<(), store::Error> {
    let rows: Vec<_> = batch.iter().map(|noted| entry(noted)).collect();
    let rows = serde_json::Value::from(rows).to_string();
    Ok(run!(tx, |connection, sql = INSERT| sqlx::query(sql)
        .bind(rows)
        .execute(connection)
        .await
        .map(drop))?)
}

fn entry(noted: &Noted) -> serde_json::Value {
    let event = &noted.event;
    serde_json::json!([
        noted.at.millis(),
        event.user,
        event.operation.as_str(),
        event.resource_type,
        event.resource,
        event.project.as_deref(),
        event.outcome == Outcome::Succeeded,
        event.description,
        event.source,
        event.request_id.as_deref(),
    ])
}

/// The projects of what was deleted, each as often as it went.
pub(super) async fn sweep(
    tx: &mut Tx,
    before: Timestamp,
    limit: i64,
) -> Result<Vec<Option<String>>, store::Error> {
    Ok(run!(tx, |connection, sql = SWEEP| sqlx::query_scalar(sql)
        .bind(before.millis())
        .bind(limit)
        .fetch_all(connection)
        .await)?)
}

/// How many entries are older than that.
pub(super) async fn count_before(db: &Db, before: Timestamp) -> Result<u64, store::Error> {
    let count: i64 = read!(db, |pool, sql = COUNT_BEFORE| sqlx::query_scalar(sql)
        .bind(before.millis())
        .fetch_one(pool)
        .await)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Entries that are older than that, oldest first, behind the one of this time and id.
pub(super) async fn look(
    db: &Db,
    before: Timestamp,
    (behind_ms, behind): (i64, i64),
    limit: u64,
) -> Result<Vec<Looked>, store::Error> {
    Ok(read!(db, |pool, sql = LOOK| sqlx::query_as(sql)
        .bind(before.millis())
        .bind(behind_ms)
        .bind(behind)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(pool)
        .await)?)
}

/// Deletes entries; the project of each that was there.
pub(super) async fn delete(tx: &mut Tx, ids: &[i64]) -> Result<Vec<Option<String>>, store::Error> {
    let ids = serde_json::json!(ids).to_string();
    Ok(run!(tx, |connection, sql = DELETE| sqlx::query_scalar(sql)
        .bind(ids)
        .fetch_all(connection)
        .await)?)
}

/// So many entries came, or went.
pub(super) async fn count(tx: &mut Tx, project: &str, entries: i64) -> Result<(), store::Error> {
    Ok(run!(tx, |connection, sql = COUNT| sqlx::query(sql)
        .bind(project)
        .bind(entries)
        .execute(connection)
        .await
        .map(drop))?)
}

pub(super) async fn total(db: &Db) -> Result<i64, store::Error> {
    Ok(read!(
        db,
        |pool, sql = TOTAL| sqlx::query_scalar(sql).fetch_one(pool).await
    )?)
}

/// Whether there are entries of earlier projects of these names. `projects`: a JSON list of names.
pub(super) async fn have_namesakes(db: &Db, projects: &str) -> Result<bool, store::Error> {
    let count: i64 = read!(db, |pool, sql = HAVE_NAMESAKES| sqlx::query_scalar(sql)
        .bind(projects)
        .fetch_one(pool)
        .await)?;
    Ok(count > 0)
}

/// `projects`: a JSON list of names.
pub(super) async fn total_of(db: &Db, projects: &str) -> Result<i64, store::Error> {
    Ok(read!(db, |pool, sql = TOTAL_OF| sqlx::query_scalar(sql)
        .bind(projects)
        .fetch_one(pool)
        .await)?)
}
