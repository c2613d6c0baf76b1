use crate::{
    jobs::JobId,
    replication::{PolicyId, intents::Wish},
    store::{Db, Error, read, sqls},
};

sqls! {
    // Intents are few: most live for milliseconds.
    INTENDED = "select policy_id from replication_intents where repository = $1 and reference = $2";
    // `+`: the newest tasks are looked through, not all executions of the policy.
    LAST_JOB = "select t.job_id from replication_tasks t \
        join replication_executions e on e.id = t.execution_id \
        where t.id > (select coalesce(max(id), 0) from replication_tasks) - 10000 \
        and +e.policy_id = $1 and t.repository = $2 and t.reference = $3 \
        order by t.id desc limit 1";
}

/// The policies for which a change of what is wished, all of one reference, is not over.
pub(super) async fn intended(db: &Db, wishes: &[(String, Wish)]) -> Result<Vec<PolicyId>, Error> {
    let Some((_, wish)) = wishes.first() else {
        return Ok(Vec::new());
    };
    let ids: Vec<i64> = read!(db, |pool, sql = INTENDED| {
        sqlx::query_scalar(sql)
            .bind(&wish.repository)
            .bind(wish.reference.as_str())
            .fetch_all(pool)
            .await?
    });
    Ok(ids.into_iter().map(PolicyId).collect())
}

/// The job of the newest task for it, if that is among the last ten thousand tasks.
pub(super) async fn last_job(db: &Db, wish: &Wish) -> Result<Option<JobId>, Error> {
    let id: Option<i64> = read!(db, |pool, sql = LAST_JOB| {
        sqlx::query_scalar(sql)
            .bind(wish.policy.0)
            .bind(&wish.repository)
            .bind(wish.reference.as_str())
            .fetch_optional(pool)
            .await?
    });
    Ok(id.map(JobId))
}
