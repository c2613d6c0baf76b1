use super::{Filter, Verb};
use crate::{
    clock::Timestamp,
    jobs::{JobId, State, queries::json},
    store::{Db, Error, Sql, Tx, read, run, sqls},
};

sqls! {
    JOBS_STOPPABLE = "
        select id from jobs
         where finished_ms is null and ($1 = '' or kind = $1)
           and substr(key, 1, length(cast($2 as text))) = cast($2 as text)
           and ($3 = '' or target = $3) and ($4 = '' or state = $4) and updated_ms >= $5
           and id > $6
         order by id limit $7";
    JOBS_RETRYABLE = "
        select max(id) from jobs old
         where state in ('ready', 'retry', 'failed', 'stopped') and ($1 = '' or kind = $1)
           and substr(key, 1, length(cast($2 as text))) = cast($2 as text)
           and ($3 = '' or target = $3)
           and (state = $4 or ($4 = '' and state <> 'ready')) and updated_ms >= $5
           and (finished_ms is null
                or not exists (select 1 from jobs live where live.kind = old.kind
                                  and live.key = old.key and live.finished_ms is null))
         group by kind, key having max(id) > $6
         order by 1 limit $7";
    JOBS_LOCK_FREE = "
        select id from jobs where id in (select value from json_each($1)) order by id"
      | "
        select id from jobs
         where id in (select value::bigint from jsonb_array_elements_text($1::jsonb))
         order by id for update skip locked";
}

/// Jobs with ids above `behind` that the filter means, in their order.
pub(super) async fn matching(
    db: &Db,
    verb: Verb,
    filter: &Filter,
    behind: JobId,
    limit: usize,
) -> Result<Vec<JobId>, Error> {
    let statement: Sql = match verb {
        Verb::Stop => JOBS_STOPPABLE,
        Verb::Retry => JOBS_RETRYABLE,
    };
    let ids: Vec<i64> = read!(db, |pool, sql = statement| {
        sqlx::query_scalar(sql)
            .bind(filter.kind.as_deref().unwrap_or(""))
            .bind(filter.key_prefix.as_deref().unwrap_or(""))
            .bind(filter.target.as_deref().unwrap_or(""))
            .bind(filter.state.map_or("", State::as_str))
            .bind(filter.since.map_or(i64::MIN, Timestamp::millis))
            .bind(behind.0)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(pool)
            .await?
    });
    Ok(ids.into_iter().map(JobId).collect())
}

/// Holds those of the jobs that nobody else holds, until the transaction ends.
pub(super) async fn lock_free(tx: &mut Tx, ids: &[JobId]) -> Result<Vec<JobId>, Error> {
    let ids = json(ids);
    let free: Vec<i64> = run!(tx, |connection, sql = JOBS_LOCK_FREE| {
        sqlx::query_scalar(sql)
            .bind(ids)
            .fetch_all(connection)
            .await?
    });
    Ok(free.into_iter().map(JobId).collect())
}
