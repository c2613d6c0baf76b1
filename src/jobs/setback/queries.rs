use crate::{
    clock::Timestamp,
    store::{Db, Error, sqls, write},
};

sqls! {
    JOBS_MAKE_DUE = "
        update jobs set run_at_ms = $1, updated_ms = $1, rev = rev + 1
         where state in ('ready', 'retry') and run_at_ms > $1 and updated_ms > $2";
    TARGETS_LET_TRY = "update job_targets set until_ms = $1 where until_ms > $1";
    LEASES_SHORTEN = "
        update jobs set lease_until_ms = $2
         where state = 'running' and lease_owner <> $1 and lease_until_ms > $3";
}

/// Waiting jobs that were changed at a time after `ahead`; how many.
pub(super) async fn make_due(db: &Db, now: Timestamp, ahead: Timestamp) -> Result<u64, Error> {
    Ok(write!(db, |pool, sql = JOBS_MAKE_DUE| {
        sqlx::query(sql)
            .bind(now.millis())
            .bind(ahead.millis())
            .execute(pool)
            .await?
            .rows_affected()
    }))
}

pub(super) async fn let_try(db: &Db, now: Timestamp) -> Result<(), Error> {
    write!(db, |pool, sql = TARGETS_LET_TRY| {
        let query = sqlx::query(sql).bind(now.millis());
        query.execute(pool).await.map(drop)?;
    });
    Ok(())
}

/// Leases of others than `owner` that end after the second time end at the first.
pub(super) async fn shorten_leases(
    db: &Db,
    owner: &str,
    (until, ahead): (Timestamp, Timestamp),
) -> Result<(), Error> {
    write!(db, |pool, sql = LEASES_SHORTEN| {
        sqlx::query(sql)
            .bind(owner)
            .bind(until.millis())
            .bind(ahead.millis())
            .execute(pool)
            .await
            .map(drop)?;
    });
    Ok(())
}
