use crate::{
    clock::Timestamp,
    jobs::{
        JobId,
        queries::{JobRow, LogRow, json},
    },
    store::{Db, Error, Field, Listing, Page, Selection, Value, read, row, sqls, write},
};

sqls! {
    LIVE = "
        select jobs.* from json_each($1) meant join jobs
            on jobs.kind = json_extract(meant.value, '$[0]')
           and jobs.key = json_extract(meant.value, '$[1]')
           and finished_ms is null"
      | "
        select jobs.* from jsonb_array_elements($1::jsonb) meant join jobs
            on jobs.kind = meant->>0 and jobs.key = meant->>1 and finished_ms is null";
    LOG_BEHIND = "select seq, at_ms, line from job_logs where job_id = $1 and seq > $2
        order by seq limit $3";
    INSTANCE_ANNOUNCE = "
        insert into job_instances (boot, host, pid, workers, kinds, started_ms, heartbeat_ms)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (boot) do update set heartbeat_ms = excluded.heartbeat_ms";
    INSTANCE_LEAVE = "delete from job_instances where boot = $1";
    INSTANCES_FORGET = "delete from job_instances where heartbeat_ms < $1";
    INSTANCES = "select * from job_instances order by started_ms, boot";
    // `+`: SQLite is to look through the index of those that run, not to avoid sorting them.
    WORK = "
        select id, kind, lease_owner, started_ms from jobs where state = 'running' order by +id";
    // The same of those that wait.
    WAITING = "
        select kind, count(*) as jobs, min(run_at_ms) as oldest_ms from jobs
         where state in ('ready', 'retry') and run_at_ms <= $1 group by +kind"
      | "
        select kind, count(*) as jobs, min(run_at_ms) as oldest_ms from jobs
         where state in ('ready', 'retry') and run_at_ms <= $1 group by kind";
    BACKLOGS = "
        select substr(key, 1, instr(key, '/') - 1) as prefix,
               count(case when state = 'ready' then 1 end) as waiting,
               count(case when state = 'running' then 1 end) as running,
               count(case when state = 'retry' then 1 end) as retrying,
               0 as failed, min(wished_ms) as oldest_ms
          from jobs where kind = $1 and finished_ms is null group by 1
        union all
        select substr(key, 1, instr(key, '/') - 1), 0, 0, 0, count(*), null
          from jobs where kind = $1 and state = 'failed' and finished_ms >= $2 group by 1"
      | "
        select split_part(key, '/', 1) as prefix,
               count(case when state = 'ready' then 1 end) as waiting,
               count(case when state = 'running' then 1 end) as running,
               count(case when state = 'retry' then 1 end) as retrying,
               0::bigint as failed, min(wished_ms) as oldest_ms
          from jobs where kind = $1 and finished_ms is null group by 1
        union all
        select split_part(key, '/', 1), 0, 0, 0, count(*), null
          from jobs where kind = $1 and state = 'failed' and finished_ms >= $2 group by 1";
    PAUSED = "select kind from job_pauses";
    PAUSE = "
        insert into job_pauses (kind, since_ms) values ($1, $2) on conflict (kind) do nothing";
    RESUME = "delete from job_pauses where kind = $1";
}

row! {
    pub(in crate::jobs) InstanceRow {
        boot: String, host: String, pid: i64, workers: i64, kinds: String,
        started_ms: i64, heartbeat_ms: i64,
    }
}
row! {
    /// A job that runs.
    pub(in crate::jobs) WorkRow {
        id: i64, kind: String, lease_owner: Option<String>, started_ms: Option<i64>,
    }
}
row! {
    /// The jobs of a kind that are due.
    pub(in crate::jobs) WaitingRow { kind: String, jobs: i64, oldest_ms: i64 }
}
row! {
    /// Jobs of one kind whose keys begin alike.
    pub(super) BacklogRow {
        prefix: String, waiting: i64, running: i64, retrying: i64, failed: i64,
        oldest_ms: Option<i64>,
    }
}
row! {
    pub(in crate::jobs) ScheduleRow {
        key: String, kind: String, cron: String, next_ms: Option<i64>, last_ms: Option<i64>,
    }
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

const SCHEDULES: Selection = Selection {
    columns: "key, kind, cron, next_ms, last_ms",
    from: "schedules",
    condition: "1 = 1",
    fields: &[
        Field::text("vendor_type", "kind"),
        Field::text("cron", "cron"),
        Field::time("update_time", "last_ms"),
    ],
    key: "key",
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

/// Of the jobs with these kinds and keys, those that are not over.
pub(super) async fn live(db: &Db, keys: &[[&str; 2]]) -> Result<Vec<JobRow>, Error> {
    let keys = json(keys);
    Ok(read!(db, |pool, sql = LIVE| {
        sqlx::query_as(sql).bind(&keys).fetch_all(pool).await?
    }))
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

pub(super) async fn schedules(db: &Db, listing: &Listing) -> Result<Page<ScheduleRow>, Error> {
    db.page(&SCHEDULES, Vec::new(), listing).await
}

pub(in crate::jobs) async fn announce(db: &Db, row: &InstanceRow) -> Result<(), Error> {
    write!(db, |pool, sql = INSTANCE_ANNOUNCE| {
        sqlx::query(sql)
            .bind(&row.boot)
            .bind(&row.host)
            .bind(row.pid)
            .bind(row.workers)
            .bind(&row.kinds)
            .bind(row.started_ms)
            .bind(row.heartbeat_ms)
            .execute(pool)
            .await
            .map(drop)?;
    });
    Ok(())
}

pub(in crate::jobs) async fn leave(db: &Db, boot: &str) -> Result<(), Error> {
    write!(db, |pool, sql = INSTANCE_LEAVE| {
        sqlx::query(sql).bind(boot).execute(pool).await.map(drop)?;
    });
    Ok(())
}

/// Deletes instances last heard of before `before`.
pub(in crate::jobs) async fn forget_instances(db: &Db, before: Timestamp) -> Result<(), Error> {
    write!(db, |pool, sql = INSTANCES_FORGET| {
        sqlx::query(sql)
            .bind(before.millis())
            .execute(pool)
            .await
            .map(drop)?;
    });
    Ok(())
}

pub(in crate::jobs) async fn instances(db: &Db) -> Result<Vec<InstanceRow>, Error> {
    Ok(read!(db, |pool, sql = INSTANCES| {
        sqlx::query_as(sql).fetch_all(pool).await?
    }))
}

pub(in crate::jobs) async fn work(db: &Db) -> Result<Vec<WorkRow>, Error> {
    Ok(read!(db, |pool, sql = WORK| {
        sqlx::query_as(sql).fetch_all(pool).await?
    }))
}

/// What is due, by kind.
pub(in crate::jobs) async fn waiting(db: &Db, now: Timestamp) -> Result<Vec<WaitingRow>, Error> {
    Ok(read!(db, |pool, sql = WAITING| {
        sqlx::query_as(sql).bind(now.millis()).fetch_all(pool).await?
    }))
}

/// Jobs of a kind that are not over, and that failed since; more than one row for some prefixes.
pub(super) async fn backlogs(
    db: &Db,
    kind: &str,
    since: Timestamp,
) -> Result<Vec<BacklogRow>, Error> {
    Ok(read!(db, |pool, sql = BACKLOGS| {
        sqlx::query_as(sql)
            .bind(kind)
            .bind(since.millis())
            .fetch_all(pool)
            .await?
    }))
}

pub(in crate::jobs) async fn paused(db: &Db) -> Result<Vec<String>, Error> {
    Ok(read!(db, |pool, sql = PAUSED| {
        sqlx::query_scalar(sql).fetch_all(pool).await?
    }))
}

pub(in crate::jobs) async fn pause(db: &Db, kind: &str, now: Timestamp) -> Result<(), Error> {
    write!(db, |pool, sql = PAUSE| {
        sqlx::query(sql)
            .bind(kind)
            .bind(now.millis())
            .execute(pool)
            .await
            .map(drop)?;
    });
    Ok(())
}

pub(in crate::jobs) async fn resume(db: &Db, kind: &str) -> Result<(), Error> {
    write!(db, |pool, sql = RESUME| {
        sqlx::query(sql).bind(kind).execute(pool).await.map(drop)?;
    });
    Ok(())
}
