use serde::Serialize;

use crate::{
    clock::Timestamp,
    jobs::queries::json,
    store::{Db, Error, Tx, read, row, run, sqls, write},
};

/// Of a [`ScheduleRow`].
macro_rules! schedule_columns {
    () => {
        "key, kind, cron, params, overlap, next_ms"
    };
}

sqls! {
    SCHEDULE_PUT = "
        insert into schedules (key, kind, cron, params, overlap, next_ms)
            values ($1, $2, $3, $4, $5, $6)
        on conflict (key) do update set kind = excluded.kind, params = excluded.params,
            overlap = excluded.overlap,
            next_ms = case when schedules.cron = excluded.cron then schedules.next_ms
                           else excluded.next_ms end,
            cron = excluded.cron";
    SCHEDULE_REMOVE = "delete from schedules where key = $1";
    SCHEDULE_BY_KEY = ("select ", schedule_columns!(), " from schedules where key = $1");
    SCHEDULES_ARE_DUE = "select count(*) from (select 1 from schedules where next_ms <= $1 limit 1) x";
    SCHEDULES_DUE = ("select ", schedule_columns!(), "
          from schedules where next_ms <= $1 order by next_ms, key limit $2")
      | ("select ", schedule_columns!(), "
          from schedules where next_ms <= $1 order by next_ms, key limit $2
           for update skip locked");
    SCHEDULES_ADVANCE = "
        update schedules set last_ms = moved.last_ms, next_ms = moved.next_ms
          from (select json_extract(value, '$.key') as key,
                       json_extract(value, '$.last_ms') as last_ms,
                       json_extract(value, '$.next_ms') as next_ms
                  from json_each($1)) as moved
         where schedules.key = moved.key"
      | "
        update schedules set last_ms = moved.last_ms, next_ms = moved.next_ms
          from jsonb_to_recordset($1::jsonb) as moved (key text, last_ms bigint, next_ms bigint)
         where schedules.key = moved.key";
    SCHEDULES_WAITING = ("select ", schedule_columns!(), " from schedules where next_ms > $1")
      | ("select ", schedule_columns!(), " from schedules where next_ms > $1 for update");
    SCHEDULES_BRING_FORWARD = "
        update schedules set next_ms = earlier.next_ms
          from (select json_extract(value, '$[0]') as key, json_extract(value, '$[1]') as next_ms
                  from json_each($1)) as earlier
         where schedules.key = earlier.key"
      | "
        update schedules set next_ms = earlier.next_ms
          from (select value->>0 as key, (value->>1)::bigint as next_ms
                  from jsonb_array_elements($1::jsonb)) as earlier
         where schedules.key = earlier.key";
    LIVE_JOB = "select id from jobs where kind = $1 and key = $2 and finished_ms is null";
    FIRINGS_ADD = "
        insert into schedule_firings (key, slot_ms, fired_ms, outcome, job_id)
        select json_extract(value, '$.key'), json_extract(value, '$.slot_ms'), $2,
               json_extract(value, '$.outcome'), json_extract(value, '$.job_id')
          from json_each($1) where true
        on conflict (key, slot_ms) do update set fired_ms = excluded.fired_ms,
            outcome = excluded.outcome, job_id = excluded.job_id"
      | "
        insert into schedule_firings (key, slot_ms, fired_ms, outcome, job_id)
        select key, slot_ms, $2, outcome, job_id
          from jsonb_to_recordset($1::jsonb)
               as firing (key text, slot_ms bigint, outcome text, job_id bigint)
        on conflict (key, slot_ms) do update set fired_ms = excluded.fired_ms,
            outcome = excluded.outcome, job_id = excluded.job_id";
    FIRINGS_TRIM = "
        delete from schedule_firings
         where key in (select value from json_each($1))
           and slot_ms <= (select newer.slot_ms from schedule_firings newer
                            where newer.key = schedule_firings.key
                            order by newer.slot_ms desc limit 1 offset $2)"
      | "
        delete from schedule_firings
         where key in (select value from jsonb_array_elements_text($1::jsonb))
           and slot_ms <= (select newer.slot_ms from schedule_firings newer
                            where newer.key = schedule_firings.key
                            order by newer.slot_ms desc limit 1 offset $2)";
    FIRINGS_NEWEST = "
        select slot_ms, fired_ms, outcome, job_id from schedule_firings where key = $1
         order by slot_ms desc limit $2";
    FIRINGS_SWEEP = "
        delete from schedule_firings where (key, slot_ms) in
            (select key, slot_ms from schedule_firings where fired_ms < $1 limit $2)";
}

row! {
    pub(in crate::jobs) ScheduleRow {
        key: String, kind: String, cron: String, params: String, overlap: String,
        next_ms: Option<i64>,
    }
}
row! { pub(super) FiringRow { slot_ms: i64, fired_ms: i64, outcome: String, job_id: Option<i64> } }

/// A schedule after it fired, as `SCHEDULES_ADVANCE` reads it.
#[derive(Debug, Serialize)]
pub(super) struct Moved<'a> {
    pub key: &'a str,
    pub last_ms: i64,
    pub next_ms: Option<i64>,
}

/// What became of a slot, as `FIRINGS_ADD` reads it.
#[derive(Debug, Serialize)]
pub(super) struct NewFiring<'a> {
    pub key: &'a str,
    pub slot_ms: i64,
    pub outcome: &'static str,
    pub job_id: Option<i64>,
}

/// Adds or changes a schedule; the next slot moves only when the expression changes.
pub(super) async fn put(tx: &mut Tx, row: &ScheduleRow) -> Result<(), Error> {
    run!(tx, |connection, sql = SCHEDULE_PUT| {
        sqlx::query(sql)
            .bind(&row.key)
            .bind(&row.kind)
            .bind(&row.cron)
            .bind(&row.params)
            .bind(&row.overlap)
            .bind(row.next_ms)
            .execute(connection)
            .await
            .map(drop)?;
    });
    Ok(())
}

pub(super) async fn remove(tx: &mut Tx, key: &str) -> Result<u64, Error> {
    Ok(run!(tx, |connection, sql = SCHEDULE_REMOVE| {
        sqlx::query(sql)
            .bind(key)
            .execute(connection)
            .await?
            .rows_affected()
    }))
}

pub(in crate::jobs) async fn schedule(db: &Db, key: &str) -> Result<Option<ScheduleRow>, Error> {
    Ok(read!(db, |pool, sql = SCHEDULE_BY_KEY| {
        sqlx::query_as(sql).bind(key).fetch_optional(pool).await?
    }))
}

/// Whether a schedule is due; costs no write.
pub(super) async fn are_due(db: &Db, now: Timestamp) -> Result<bool, Error> {
    let found: i64 = read!(db, |pool, sql = SCHEDULES_ARE_DUE| {
        sqlx::query_scalar(sql)
            .bind(now.millis())
            .fetch_one(pool)
            .await?
    });
    Ok(found > 0)
}

/// Holds up to `limit` schedules that are due and that no other instance holds.
pub(super) async fn due(
    tx: &mut Tx,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<ScheduleRow>, Error> {
    Ok(run!(tx, |connection, sql = SCHEDULES_DUE| {
        sqlx::query_as(sql)
            .bind(now.millis())
            .bind(limit)
            .fetch_all(connection)
            .await?
    }))
}

pub(super) async fn advance(tx: &mut Tx, moved: &[Moved<'_>]) -> Result<(), Error> {
    let moved = json(moved);
    run!(tx, |connection, sql = SCHEDULES_ADVANCE| {
        sqlx::query(sql)
            .bind(moved)
            .execute(connection)
            .await
            .map(drop)?;
    });
    Ok(())
}

/// Holds the schedules whose next slot is after `now`.
pub(super) async fn waiting(tx: &mut Tx, now: Timestamp) -> Result<Vec<ScheduleRow>, Error> {
    Ok(run!(tx, |connection, sql = SCHEDULES_WAITING| {
        let query = sqlx::query_as(sql).bind(now.millis());
        query.fetch_all(connection).await?
    }))
}

/// Gives schedules, by their keys, another next slot.
pub(super) async fn bring_forward(tx: &mut Tx, slots: &[(&str, i64)]) -> Result<(), Error> {
    let slots = json(slots);
    run!(tx, |connection, sql = SCHEDULES_BRING_FORWARD| {
        let query = sqlx::query(sql).bind(slots);
        query.execute(connection).await.map(drop)?;
    });
    Ok(())
}

/// The job of a schedule that is not over.
pub(super) async fn live_job(tx: &mut Tx, row: &ScheduleRow) -> Result<Option<i64>, Error> {
    Ok(run!(tx, |connection, sql = LIVE_JOB| {
        sqlx::query_scalar(sql)
            .bind(&row.kind)
            .bind(&row.key)
            .fetch_optional(connection)
            .await?
    }))
}

/// Writes down what became of slots.
pub(super) async fn record(
    tx: &mut Tx,
    firings: &[NewFiring<'_>],
    now: Timestamp,
) -> Result<(), Error> {
    let firings = json(firings);
    run!(tx, |connection, sql = FIRINGS_ADD| {
        sqlx::query(sql)
            .bind(firings)
            .bind(now.millis())
            .execute(connection)
            .await
            .map(drop)?;
    });
    Ok(())
}

/// Keeps of each of these schedules what became of the newest `kept` slots.
pub(super) async fn trim(tx: &mut Tx, keys: &[&str], kept: i64) -> Result<(), Error> {
    let keys = json(keys);
    run!(tx, |connection, sql = FIRINGS_TRIM| {
        sqlx::query(sql)
            .bind(keys)
            .bind(kept)
            .execute(connection)
            .await
            .map(drop)?;
    });
    Ok(())
}

pub(super) async fn firings(db: &Db, key: &str, limit: u16) -> Result<Vec<FiringRow>, Error> {
    Ok(read!(db, |pool, sql = FIRINGS_NEWEST| {
        sqlx::query_as(sql)
            .bind(key)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await?
    }))
}

/// Deletes up to `limit` records from before `before`.
pub(super) async fn sweep(db: &Db, before: Timestamp, limit: i64) -> Result<u64, Error> {
    Ok(write!(db, |pool, sql = FIRINGS_SWEEP| {
        sqlx::query(sql)
            .bind(before.millis())
            .bind(limit)
            .execute(pool)
            .await?
            .rows_affected()
    }))
}
