use std::time::Duration;

use super::making::Progress;
use crate::{
    clock::Timestamp,
    jobs::JobId,
    oci::RepositoryName,
    replication::PolicyId,
    store::{Db, Error, Tx, read, run, sqls, write},
};

sqls! {
    INTENDED = "select reference from replication_intents \
        where policy_id = $1 and repository = $2";
    // Spread over the interval by a hash of the policy, so that not all begin at once.
    AUDITS_ENTER = "insert into replication_audits (policy_id, next_ms) \
        select id, cast($1 as bigint) + (id * 2654435761) % $2 from replication_policies \
        where enabled and trigger_kind = 'event_based' \
        on conflict (policy_id) do update set next_ms = excluded.next_ms \
        where replication_audits.next_ms > $1 + $2";
    AUDITS_TAKE = "update replication_audits set next_ms = cast($1 as bigint) + $2 where next_ms <= $1 \
        and policy_id in (select id from replication_policies \
            where enabled and trigger_kind = 'event_based') \
        returning policy_id";
    WALK = "select progress from replication_walks where job_id = $1";
    WALK_SAVE = "insert into replication_walks (job_id, progress) values ($1, $2) \
        on conflict (job_id) do update set progress = excluded.progress";
    WALK_FORGET = "delete from replication_walks where job_id = $1";
}

/// The policies whose sides are to be compared now; each is given once in `interval`, over all
/// instances. A new policy gets its first turn within one interval.
pub(super) async fn take_audits(
    tx: &mut Tx,
    now: Timestamp,
    interval: Duration,
) -> Result<Vec<PolicyId>, Error> {
    let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX / 4);
    run!(tx, |connection, sql = AUDITS_ENTER| {
        sqlx::query(sql)
            .bind(now.millis())
            .bind(interval_ms)
            .execute(connection)
            .await
            .map(drop)?;
    });
    let due: Vec<i64> = run!(tx, |connection, sql = AUDITS_TAKE| {
        sqlx::query_scalar(sql)
            .bind(now.millis())
            .bind(interval_ms)
            .fetch_all(connection)
            .await?
    });
    Ok(due.into_iter().map(PolicyId).collect())
}

/// How far the job has come; the beginning if it is not known.
pub(super) async fn progress(db: &Db, job: JobId) -> Result<Progress, Error> {
    let text: Option<String> = read!(db, |pool, sql = WALK| {
        sqlx::query_scalar(sql)
            .bind(job.0)
            .fetch_optional(pool)
            .await?
    });
    // One that a later program wrote is as good as none: going over it again changes nothing.
    let progress = text.and_then(|text| serde_json::from_str(&text).ok());
    Ok(progress.unwrap_or_default())
}

pub(super) async fn save(tx: &mut Tx, job: JobId, progress: &str) -> Result<(), Error> {
    run!(tx, |connection, sql = WALK_SAVE| {
        sqlx::query(sql)
            .bind(job.0)
            .bind(progress)
            .execute(connection)
            .await
            .map(drop)?;
    });
    Ok(())
}

pub(super) async fn forget(db: &Db, job: JobId) -> Result<(), Error> {
    write!(db, |pool, sql = WALK_FORGET| {
        sqlx::query(sql).bind(job.0).execute(pool).await.map(drop)?;
    });
    Ok(())
}

/// The references of a repository that changes on their way concern.
pub(super) async fn intended(
    db: &Db,
    policy: PolicyId,
    repository: &RepositoryName,
) -> Result<Vec<String>, Error> {
    Ok(read!(db, |pool, sql = INTENDED| {
        sqlx::query_scalar(sql)
            .bind(policy.0)
            .bind(repository.as_str())
            .fetch_all(pool)
            .await?
    }))
}
