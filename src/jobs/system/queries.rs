use crate::{
    jobs::JobId,
    store::{Db, Error, Field, Listing, Page, Selection, Tx, Value, read, row, run, sqls, write},
};

sqls! {
    RUN = "
        select id, kind, params, state, result, created_ms, updated_ms from jobs
         where kind = $1 and id = $2";
    RESULT = "update jobs set result = $2 where id = $1";
    RESULT_SO_FAR = "update jobs set result = $3 where id = $1 and epoch = $2";
    HISTORY_TRIM = "
        delete from jobs where kind = $1 and finished_ms is not null and id <
            (select min(id) from (select id from jobs
              where kind = $1 and finished_ms is not null order by id desc limit $2) as newest)";
}

row! {
    pub(super) RunRow {
        id: i64, kind: String, params: String, state: String, result: Option<String>,
        created_ms: i64, updated_ms: i64,
    }
}

/// The jobs of the kind `$1`.
const RUNS: Selection = Selection {
    columns: "id, kind, params, state, result, created_ms, updated_ms",
    from: "jobs",
    condition: "kind = $1",
    fields: &[
        Field::integer("id", "id"),
        // As `State::harbor` has it.
        Field::text(
            "status",
            "(case state when 'ready' then 'Pending' when 'done' then 'Success' \
              when 'failed' then 'Error' when 'stopped' then 'Stopped' else 'Running' end)",
        ),
        Field::time("creation_time", "created_ms"),
        Field::time("update_time", "updated_ms"),
    ],
    key: "id desc",
};

pub(super) async fn runs(db: &Db, kind: &str, listing: &Listing) -> Result<Page<RunRow>, Error> {
    let fixed = vec![Value::Text(kind.to_owned())];
    db.page(&RUNS, fixed, listing).await
}

pub(super) async fn run(db: &Db, kind: &str, id: JobId) -> Result<Option<RunRow>, Error> {
    Ok(read!(db, |pool, sql = RUN| {
        sqlx::query_as(sql)
            .bind(kind)
            .bind(id.0)
            .fetch_optional(pool)
            .await?
    }))
}

/// Writes what a run has to show, as JSON.
pub(in crate::jobs) async fn put_result(tx: &mut Tx, id: JobId, result: &str) -> Result<(), Error> {
    run!(tx, |connection, sql = RESULT| {
        sqlx::query(sql)
            .bind(id.0)
            .bind(result)
            .execute(connection)
            .await
            .map(drop)?;
    });
    Ok(())
}

/// The same while the run holds the job; false when another one does.
pub(in crate::jobs) async fn put_result_so_far(
    tx: &mut Tx,
    (id, epoch): (JobId, i64),
    result: &str,
) -> Result<bool, Error> {
    let written = run!(tx, |connection, sql = RESULT_SO_FAR| {
        sqlx::query(sql)
            .bind(id.0)
            .bind(epoch)
            .bind(result)
            .execute(connection)
            .await?
            .rows_affected()
    });
    Ok(written > 0)
}

/// Deletes the jobs of a kind that are over, but for the newest `kept`.
pub(in crate::jobs) async fn trim(db: &Db, kind: &str, kept: u32) -> Result<u64, Error> {
    Ok(write!(db, |pool, sql = HISTORY_TRIM| {
        sqlx::query(sql)
            .bind(kind)
            .bind(i64::from(kept))
            .execute(pool)
            .await?
            .rows_affected()
    }))
}
