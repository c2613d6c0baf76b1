use crate::{
    clock::Timestamp,
    jobs::{
        JobId,
        queries::{JobRow, LogRow},
    },
    store::{Db, Error, Field, Listing, Page, Selection, Value, read, sqls},
};

sqls! {
    LOG_BEHIND = "select seq, at_ms, line from job_logs where job_id = $1 and seq > $2
        order by seq limit $3";
}

/// What the words for a status mean; `$1` is now. Spelt out, for indexes of some states only.
pub(super) const CONDITIONS: &[(&str, &str)] = &[
    ("Pending", "state = 'ready' and run_at_ms <= $1"),
    ("Scheduled", "state = 'ready' and run_at_ms > $1"),
    ("Running", "state in ('running', 'retry')"),
    ("Success", "state = 'done'"),
    ("Error", "state = 'failed'"),
    ("Stopped", "state = 'stopped'"),
    ("ready", "state = 'ready'"),
    ("retry", "state = 'retry'"),
    ("done", "state = 'done'"),
    ("failed", "state = 'failed'"),
];

const JOBS: Selection = Selection {
    columns: "*",
    from: "jobs",
    condition: "1 = 1",
    fields: &[
        Field::integer("id", "id"),
        Field::text("kind", "kind"),
        Field::text("key", "key"),
        Field::text("target", "target"),
        Field::time("creation_time", "created_ms"),
        Field::time("update_time", "updated_ms"),
        Field::time("run_at", "run_at_ms"),
        Field::time("end_time", "finished_ms"),
    ],
    key: "id desc",
};

pub(super) async fn page(
    db: &Db,
    condition: Option<&'static str>,
    now: Timestamp,
    listing: &Listing,
) -> Result<Page<JobRow>, Error> {
    let condition = condition.unwrap_or(JOBS.condition);
    // PostgreSQL refuses a value that the statement does not use.
    let fixed = condition
        .contains("$1")
        .then(|| Value::Integer(now.millis()));
    let selection = Selection { condition, ..JOBS };
    db.page(&selection, fixed.into_iter().collect(), listing)
        .await
}

/// Lines of a log with numbers above `last`.
pub(super) async fn lines_behind(
    db: &Db,
    id: JobId,
    last: i64,
    limit: usize,
) -> Result<Vec<LogRow>, Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    Ok(read!(db, |pool, sql = LOG_BEHIND| {
        sqlx::query_as(sql)
            .bind(id.0)
            .bind(last)
            .bind(limit)
            .fetch_all(pool)
            .await?
    }))
}
