//! The room's statements, and the functions that run them.
//!
//! Lists of rows travel as one JSON parameter, so that one statement serves one row and many.

mod rows;
mod statements;

use serde::Serialize;

pub(super) use rows::{
    Accepted, Alive, Beat, Claimed, Depth, Entry, JobRow, LaneRow, LaneTurn, LogRow, Next,
    ParkedRow, Settled, Wish,
};
#[cfg(test)]
pub(crate) use statements::ALL;

use statements::{
    JOB_BEAT, JOB_BY_ID, JOB_CLAIM, JOB_ENQUEUE, JOB_LOCK, JOB_SAVE, JOB_SUCCEED, JOBS_DEPTH,
    JOBS_EXPIRED, JOBS_FOREIGN, JOBS_SWEEP, LANES, LOG_APPEND, LOG_LAST, LOG_LINES, LOG_NOTE,
    LOG_TRIM, TARGET_OPEN, TARGET_PARK, TARGET_PROBE, TARGETS_PARKED,
};

use super::{JobId, breaker::Parked};
use crate::{
    clock::Timestamp,
    store::{Db, Error, Tx, read, run, write},
};

type Result<T> = std::result::Result<T, Error>;

/// Adds wishes, no two for the same key.
pub(super) async fn enqueue(
    tx: &mut Tx,
    wishes: &[Wish<'_>],
    now: Timestamp,
) -> Result<Vec<Accepted>> {
    let wishes = json(wishes);
    Ok(run!(tx, |connection, sql = JOB_ENQUEUE| {
        sqlx::query_as(sql)
            .bind(wishes)
            .bind(now.millis())
            .fetch_all(connection)
            .await?
    }))
}

/// Whose jobs are claimed, and until when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease<'a> {
    pub owner: &'a str,
    pub now: Timestamp,
    pub until: Timestamp,
}

/// The lanes that have a job waiting, each with when its first is due.
pub(super) async fn lanes(db: &Db) -> Result<Vec<LaneRow>> {
    Ok(read!(db, |pool, sql = LANES| {
        sqlx::query_as(sql).fetch_all(pool).await?
    }))
}

/// Takes the jobs of each turn that are due, oldest first.
pub(super) async fn claim(
    db: &Db,
    lease: Lease<'_>,
    turns: &[LaneTurn<'_>],
) -> Result<Vec<Claimed>> {
    let turns = json(turns);
    Ok(write!(db, |pool, sql = JOB_CLAIM| {
        sqlx::query_as(sql)
            .bind(lease.now.millis())
            .bind(lease.owner)
            .bind(lease.until.millis())
            .bind(turns)
            .fetch_all(pool)
            .await?
    }))
}

/// The targets whose jobs wait.
pub(super) async fn parked(db: &Db) -> Result<Vec<ParkedRow>> {
    Ok(read!(db, |pool, sql = TARGETS_PARKED| {
        sqlx::query_as(sql).fetch_all(pool).await?
    }))
}

/// Moves the time of a parked target's next try; false if another instance has done so.
pub(super) async fn probe(
    db: &Db,
    target: &str,
    (until, next): (Timestamp, Timestamp),
) -> Result<bool> {
    let moved = write!(db, |pool, sql = TARGET_PROBE| {
        sqlx::query(sql)
            .bind(target)
            .bind(until.millis())
            .bind(next.millis())
            .execute(pool)
            .await?
            .rows_affected()
    });
    Ok(moved == 1)
}

pub(super) async fn park(tx: &mut Tx, target: &str, parked: &Parked) -> Result<()> {
    run!(tx, |connection, sql = TARGET_PARK| {
        sqlx::query(sql)
            .bind(target)
            .bind(i64::from(parked.failures))
            .bind(parked.until.millis())
            .bind(parked.probing)
            .bind(&parked.reason)
            .execute(connection)
            .await
            .map(drop)?;
    });
    Ok(())
}

pub(super) async fn open(tx: &mut Tx, target: &str) -> Result<()> {
    run!(tx, |connection, sql = TARGET_OPEN| {
        sqlx::query(sql)
            .bind(target)
            .execute(connection)
            .await
            .map(drop)?;
    });
    Ok(())
}

/// Reads jobs and holds them unchanged until the transaction ends.
pub(super) async fn lock(tx: &mut Tx, ids: &[JobId]) -> Result<Vec<JobRow>> {
    let ids = json(ids);
    Ok(run!(tx, |connection, sql = JOB_LOCK| {
        sqlx::query_as(sql).bind(ids).fetch_all(connection).await?
    }))
}

/// Writes transitions; returns how many rows still had the revision they were made from.
pub(super) async fn save(tx: &mut Tx, next: &[Next<'_>], now: Timestamp) -> Result<u64> {
    let next = json(next);
    Ok(run!(tx, |connection, sql = JOB_SAVE| {
        sqlx::query(sql)
            .bind(next)
            .bind(now.millis())
            .execute(connection)
            .await?
            .rows_affected()
    }))
}

/// Ends runs well, given as (job, epoch); returns those that were still the newest of their jobs.
pub(super) async fn succeed(
    tx: &mut Tx,
    runs: &[(i64, i64)],
    now: Timestamp,
) -> Result<Vec<Settled>> {
    let runs = json(runs);
    Ok(run!(tx, |connection, sql = JOB_SUCCEED| {
        sqlx::query_as(sql)
            .bind(runs)
            .bind(now.millis())
            .fetch_all(connection)
            .await?
    }))
}

/// Extends the leases of those of `alive` that `owner` still holds, and returns these.
pub(super) async fn beat(
    db: &Db,
    owner: &str,
    until: Timestamp,
    alive: &[Alive],
) -> Result<Vec<Beat>> {
    let alive = json(alive);
    Ok(write!(db, |pool, sql = JOB_BEAT| {
        sqlx::query_as(sql)
            .bind(until.millis())
            .bind(owner)
            .bind(alive)
            .fetch_all(pool)
            .await?
    }))
}

/// Running jobs whose lease ended before `now`.
pub(super) async fn expired(db: &Db, now: Timestamp, limit: i64) -> Result<Vec<JobId>> {
    let ids: Vec<i64> = read!(db, |pool, sql = JOBS_EXPIRED| {
        sqlx::query_scalar(sql)
            .bind(now.millis())
            .bind(limit)
            .fetch_all(pool)
            .await?
    });
    Ok(ids.into_iter().map(JobId).collect())
}

/// Running jobs that somebody other than `owner` holds.
pub(super) async fn foreign(db: &Db, owner: &str, limit: i64) -> Result<Vec<JobId>> {
    let ids: Vec<i64> = read!(db, |pool, sql = JOBS_FOREIGN| {
        sqlx::query_scalar(sql)
            .bind(owner)
            .bind(limit)
            .fetch_all(pool)
            .await?
    });
    Ok(ids.into_iter().map(JobId).collect())
}

pub(super) async fn job(db: &Db, id: JobId) -> Result<Option<JobRow>> {
    Ok(read!(db, |pool, sql = JOB_BY_ID| {
        sqlx::query_as(sql).bind(id.0).fetch_optional(pool).await?
    }))
}

pub(super) async fn depth(db: &Db) -> Result<Vec<Depth>> {
    Ok(read!(db, |pool, sql = JOBS_DEPTH| {
        sqlx::query_as(sql).fetch_all(pool).await?
    }))
}

/// Deletes up to `limit` jobs, with their logs, that finished before `before`, not those of the
/// kinds `kept`.
pub(super) async fn sweep(
    db: &Db,
    before: Timestamp,
    limit: i64,
    kept: &[&'static str],
) -> Result<u64> {
    let kept = json(kept);
    Ok(write!(db, |pool, sql = JOBS_SWEEP| {
        sqlx::query(sql)
            .bind(before.millis())
            .bind(limit)
            .bind(kept)
            .execute(pool)
            .await?
            .rows_affected()
    }))
}

/// The number of the log's last line; 0 for none.
pub(super) async fn last_line(tx: &mut Tx, id: JobId) -> Result<i64> {
    Ok(run!(tx, |connection, sql = LOG_LAST| {
        sqlx::query_scalar(sql)
            .bind(id.0)
            .fetch_one(connection)
            .await?
    }))
}

/// Deletes the log's lines up to number `seq`.
pub(super) async fn trim_log(tx: &mut Tx, id: JobId, seq: i64) -> Result<()> {
    run!(tx, |connection, sql = LOG_TRIM| {
        sqlx::query(sql)
            .bind(id.0)
            .bind(seq)
            .execute(connection)
            .await
            .map(drop)?;
    });
    Ok(())
}

/// Appends lines of runs that are still the newest of their jobs.
pub(super) async fn append_log(tx: &mut Tx, entries: &[&Entry]) -> Result<()> {
    let entries = json(entries);
    run!(tx, |connection, sql = LOG_APPEND| {
        sqlx::query(sql)
            .bind(entries)
            .execute(connection)
            .await
            .map(drop)?;
    });
    Ok(())
}

/// Appends one line to the log of each job, while no run writes to it.
pub(super) async fn note(tx: &mut Tx, ids: &[JobId], now: Timestamp, line: &str) -> Result<()> {
    let ids = json(ids);
    run!(tx, |connection, sql = LOG_NOTE| {
        sqlx::query(sql)
            .bind(ids)
            .bind(now.millis())
            .bind(line)
            .execute(connection)
            .await
            .map(drop)?;
    });
    Ok(())
}

pub(super) async fn log_lines(db: &Db, id: JobId) -> Result<Vec<LogRow>> {
    Ok(read!(db, |pool, sql = LOG_LINES| {
        sqlx::query_as(sql).bind(id.0).fetch_all(pool).await?
    }))
}

#[expect(
    clippy::expect_used,
    reason = "the rows are plain structs of numbers and text"
)]
pub(super) fn json<T: Serialize + ?Sized>(rows: &T) -> String {
    serde_json::to_string(rows).expect("numbers and text are JSON")
}
