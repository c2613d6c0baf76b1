use sqlx::{FromRow, postgres::PgRow, sqlite::SqliteRow};

use super::{Counts, Execution, Operation, Status, Task, artifact_name};
use crate::{
    clock::Timestamp,
    jobs::JobId,
    oci::RepositoryName,
    replication::{Error, ExecutionId, PolicyId, TaskId},
    store::{
        self, Db, Field, Filter, Listing, Page, Selection, Test, Tx, Value, read, row, run, sqls,
        write,
    },
};

sqls! {
    EXECUTION_INSERT = "insert into replication_executions \
        (policy_id, trigger_kind, job_id, skipped, started_ms) \
        select id, $2, $3, $4, $5 from replication_policies where id = $1 returning id";
    EXECUTION_EXISTS = "select id from replication_executions where id = $1";
    EXECUTION_OF_JOB = "select id from replication_executions where job_id = $1";
    EXECUTION_LIVE = "select e.id from replication_executions e where e.policy_id = $1 \
        and e.id <> $2 and (e.trigger_kind <> 'audit' \
            and exists (select 1 from jobs j where j.id = e.job_id and j.finished_ms is null) \
        or exists (select 1 from replication_tasks t join jobs j on j.id = t.job_id \
            where t.execution_id = e.id and j.finished_ms is null)) limit 1";
    EXECUTION_LIVE_JOBS = "select j.id from replication_executions e join jobs j on j.id = e.job_id \
        where e.id = $1 and j.finished_ms is null \
        union select j.id from replication_tasks t join jobs j on j.id = t.job_id \
        where t.execution_id = $1 and j.finished_ms is null";
    POLICY_WAITING_JOBS = "select j.id from replication_executions e join jobs j on j.id = e.job_id \
        where e.policy_id = $1 and j.state in ('ready', 'retry') \
        union select j.id from replication_executions e \
        join replication_tasks t on t.execution_id = e.id join jobs j on j.id = t.job_id \
        where e.policy_id = $1 and j.state in ('ready', 'retry')";
    POLICY_LIVE_JOBS = "select j.id from replication_executions e join jobs j on j.id = e.job_id \
        where e.policy_id = $1 and j.finished_ms is null \
        union select j.id from replication_executions e \
        join replication_tasks t on t.execution_id = e.id join jobs j on j.id = t.job_id \
        where e.policy_id = $1 and j.finished_ms is null order by 1";
    EXECUTION_FAILED_JOBS = "select j.id from replication_executions e \
        join jobs j on j.id = e.job_id where e.id = $1 and j.state = 'failed' \
        union select j.id from replication_tasks t join jobs j on j.id = t.job_id \
        where t.execution_id = $1 and j.state = 'failed'";
    TASK_INSERT = "insert into replication_tasks (execution_id, job_id, operation, repository, \
        reference, destination, started_ms) values ($1, $2, $3, $4, $5, $6, $7)";
    TASKS_OF_REPOSITORY = "select reference from replication_tasks \
        where execution_id = $1 and repository = $2";
    TASK_NOTE = "update replication_tasks set note = $2 where job_id = $1";
    EXECUTIONS_TOUCHED = "select distinct t.execution_id from jobs j \
        join replication_tasks t on t.job_id = j.id \
        where j.finished_ms >= $1 and j.finished_ms < $2 order by 1 limit $3";
    TASK_SWEEP = "delete from replication_tasks \
        where not exists (select 1 from jobs j where j.id = job_id)";
    EXECUTION_SWEEP = "delete from replication_executions where started_ms < $1 \
        and not exists (select 1 from replication_tasks t \
            where t.execution_id = replication_executions.id) \
        and not exists (select 1 from jobs j where j.id = job_id)";
}

row! {
    /// An execution with the states of its jobs counted.
    pub(crate) ExecutionRow {
        id: i64,
        policy_id: i64,
        trigger_kind: String,
        skipped: Option<String>,
        job_error: Option<String>,
        note: Option<String>,
        started_ms: i64,
        finished_ms: i64,
        total: i64,
        failed: i64,
        succeed: i64,
        in_progress: i64,
        stopped: i64,
        status: String,
    }
}

row! {
    /// A task with the state of its job.
    pub(crate) TaskRow {
        id: i64,
        execution_id: i64,
        job_id: i64,
        operation: String,
        repository: String,
        reference: String,
        destination: String,
        status: String,
        note: Option<String>,
        started_ms: i64,
        finished_ms: Option<i64>,
    }
}

row! {
    /// A row on a page, to be read whole afterwards.
    pub(crate) KeyRow { id: i64 }
}

/// Executions by what is stored of them. Their states are counted for those on a page only.
const EXECUTION_KEYS: Selection = Selection {
    columns: "id",
    from: "replication_executions",
    condition: "1 = 1",
    fields: &[
        Field::integer("id", "id"),
        Field::integer("policy_id", "policy_id"),
        Field::text("trigger", "trigger_kind"),
        Field::time("start_time", "started_ms"),
    ],
    key: "id desc",
};

/// Tasks of one execution (`$1`) by what is stored of them. Those whose jobs are forgotten count
/// until the next sweep.
const TASK_KEYS: Selection = Selection {
    columns: "id",
    from: "replication_tasks",
    condition: "execution_id = $1",
    fields: &[
        Field::integer("id", "id"),
        Field::text("operation", "operation"),
        Field::text("src_resource", "repository"),
        Field::text("dst_resource", "destination"),
        Field::integer("job_id", "job_id"),
    ],
    key: "id",
};

/// Executions, with their state derived as Harbor does: in progress while any job is, failed
/// if any failed, stopped if any was stopped.
pub(super) const EXECUTIONS: Selection = Selection {
    columns: "id, policy_id, trigger_kind, skipped, job_error, note, started_ms, finished_ms, total, \
        failed, succeed, in_progress, stopped, status",
    from: "(select c.*, case \
            when skipped is not null then 'Failed' \
            when in_progress > 0 or job_state in ('ready', 'running', 'retry') then 'InProgress' \
            when failed > 0 or job_state = 'failed' then 'Failed' \
            when stopped > 0 or job_state = 'stopped' then 'Stopped' \
            else 'Succeed' end as status \
        from (select e.id, e.policy_id, e.trigger_kind, e.skipped, e.started_ms, \
            o.state as job_state, o.error as job_error, min(t.note) as note, \
            coalesce(max(j.finished_ms), max(o.finished_ms), e.started_ms) as finished_ms, \
            count(j.id) as total, \
            count(case when j.state = 'failed' then 1 end) as failed, \
            count(case when j.state = 'done' then 1 end) as succeed, \
            count(case when j.state in ('ready', 'running', 'retry') then 1 end) as in_progress, \
            count(case when j.state = 'stopped' then 1 end) as stopped \
            from replication_executions e left join jobs o on o.id = e.job_id \
            left join replication_tasks t on t.execution_id = e.id \
            left join jobs j on j.id = t.job_id \
            group by e.id, o.id) c) x",
    condition: "1 = 1",
    fields: &[
        Field::integer("id", "id"),
        Field::integer("policy_id", "policy_id"),
        Field::text("status", "status"),
        Field::text("trigger", "trigger_kind"),
        Field::time("start_time", "started_ms"),
        Field::time("end_time", "finished_ms"),
    ],
    key: "id desc",
};

/// Tasks of one execution (`$1`); the job's state in Harbor's words.
pub(super) const TASKS: Selection = Selection {
    columns: "id, execution_id, job_id, operation, repository, reference, destination, status, \
        note, started_ms, finished_ms",
    from: "(select t.id, t.execution_id, t.job_id, t.operation, t.repository, t.reference, \
        t.destination, coalesce(j.started_ms, t.started_ms) as started_ms, j.finished_ms, \
        case j.state when 'ready' then 'Pending' when 'running' then 'InProgress' \
            when 'retry' then 'InProgress' when 'done' then 'Succeed' \
            when 'failed' then 'Failed' else 'Stopped' end as status, coalesce(t.note, j.error) as note \
        from replication_tasks t join jobs j on j.id = t.job_id) x",
    condition: "execution_id = $1",
    fields: &[
        Field::integer("id", "id"),
        Field::text("status", "status"),
        Field::text("operation", "operation"),
        Field::text("src_resource", "repository"),
        Field::text("dst_resource", "destination"),
        Field::integer("job_id", "job_id"),
        Field::time("start_time", "started_ms"),
        Field::time("end_time", "finished_ms"),
    ],
    key: "id",
};

impl TryFrom<ExecutionRow> for Execution {
    type Error = Error;

    fn try_from(row: ExecutionRow) -> Result<Self, Error> {
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        let status = status_of("replication_executions", row.id, &row.status)?;
        let error = row.job_error.filter(|_| status == Status::Failed);
        Ok(Self {
            id: ExecutionId(row.id),
            policy_id: PolicyId(row.policy_id),
            trigger: row.trigger_kind,
            status,
            status_text: row.skipped.or(error).or(row.note).unwrap_or_default(),
            started: Timestamp::from_millis(row.started_ms),
            ended: (status != Status::InProgress).then(|| Timestamp::from_millis(row.finished_ms)),
            counts: Counts {
                total: count(row.total),
                failed: count(row.failed),
                succeed: count(row.succeed),
                in_progress: count(row.in_progress),
                stopped: count(row.stopped),
            },
        })
    }
}

impl TryFrom<TaskRow> for Task {
    type Error = Error;

    fn try_from(row: TaskRow) -> Result<Self, Error> {
        let operation = Operation::parse(&row.operation).ok_or_else(|| Error::Row {
            table: "replication_tasks",
            id: row.id,
            problem: format!("`{}` is not an operation", row.operation),
        })?;
        Ok(Self {
            id: TaskId(row.id),
            execution_id: ExecutionId(row.execution_id),
            job_id: JobId(row.job_id),
            operation,
            source: artifact_name(&row.repository, &row.reference),
            destination: artifact_name(&row.destination, &row.reference),
            status: status_of("replication_tasks", row.id, &row.status)?,
            status_text: row.note.unwrap_or_default(),
            started: Timestamp::from_millis(row.started_ms),
            ended: row.finished_ms.map(Timestamp::from_millis),
        })
    }
}

fn status_of(table: &'static str, id: i64, text: &str) -> Result<Status, Error> {
    Status::parse(text).ok_or_else(|| Error::Row {
        table,
        id,
        problem: format!("`{text}` is not a status"),
    })
}

pub(super) async fn list(db: &Db, listing: &Listing) -> Result<Page<ExecutionRow>, store::Error> {
    page(db, (&EXECUTION_KEYS, &EXECUTIONS), Vec::new(), listing).await
}

pub(super) async fn by_id(db: &Db, id: ExecutionId) -> Result<Option<ExecutionRow>, store::Error> {
    let one = Listing {
        filters: vec![of_keys(vec![id.to_string()])],
        ..Listing::default()
    };
    let page: Page<ExecutionRow> = db.page(&EXECUTIONS, Vec::new(), &one).await?;
    Ok(page.items.into_iter().next())
}

pub(super) async fn exists(db: &Db, id: ExecutionId) -> Result<bool, store::Error> {
    let found: Option<i64> = read!(db, |pool, sql = EXECUTION_EXISTS| {
        sqlx::query_scalar(sql).bind(id.0).fetch_optional(pool).await?
    });
    Ok(found.is_some())
}

pub(super) async fn tasks(
    db: &Db,
    execution: ExecutionId,
    listing: &Listing,
) -> Result<Page<TaskRow>, store::Error> {
    let fixed = vec![Value::Integer(execution.0)];
    page(db, (&TASK_KEYS, &TASKS), fixed, listing).await
}

/// A page of the second selection. As far as the first one, of stored rows alone, has the fields
/// that are asked for, it says which rows are on the page and how many there are, so that no job
/// of another page is read.
async fn page<T>(
    db: &Db,
    (keys, whole): (&Selection, &Selection),
    fixed: Vec<Value>,
    listing: &Listing,
) -> Result<Page<T>, store::Error>
where
    T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let is_page = listing.limit.is_some_and(|rows| rows <= MOST_KEYS);
    if !is_page || !keys.covers(listing) {
        return db.page(whole, fixed, listing).await;
    }
    let on_page: Page<KeyRow> = db.page(keys, fixed.clone(), listing).await?;
    let ids = on_page.items.iter().map(|row| row.id.to_string());
    let same_order = Listing {
        filters: vec![of_keys(ids.collect())],
        sort: listing.sort.clone(),
        ..Listing::default()
    };
    let page: Page<T> = db.page(whole, fixed, &same_order).await?;
    Ok(Page {
        items: page.items,
        total: on_page.total,
    })
}

fn of_keys(ids: Vec<String>) -> Filter {
    Filter {
        field: "id".to_owned(),
        test: Test::AnyOf(ids),
    }
}

/// Twice what a page of Harbor's API may have, far below what a statement may bind.
const MOST_KEYS: i64 = 200;

/// A new execution's columns.
#[derive(Debug, Clone, Copy)]
pub(in crate::replication) struct NewExecution<'a> {
    pub policy: PolicyId,
    pub trigger: &'a str,
    pub job: Option<JobId>,
    pub skipped: Option<&'a str>,
    pub now: Timestamp,
}

/// `None` when the policy is gone.
pub(in crate::replication) async fn insert(
    tx: &mut Tx,
    new: NewExecution<'_>,
) -> Result<Option<ExecutionId>, store::Error> {
    let id: Option<i64> = run!(tx, |connection, sql = EXECUTION_INSERT| {
        sqlx::query_scalar(sql)
            .bind(new.policy.0)
            .bind(new.trigger)
            .bind(new.job.map(|job| job.0))
            .bind(new.skipped)
            .bind(new.now.millis())
            .fetch_optional(connection)
            .await?
    });
    Ok(id.map(ExecutionId))
}

/// A new task's columns.
#[derive(Debug, Clone, Copy)]
pub(in crate::replication) struct NewTask<'a> {
    pub execution: ExecutionId,
    pub job: JobId,
    pub operation: Operation,
    pub repository: &'a str,
    pub reference: &'a str,
    pub destination: &'a str,
    pub now: Timestamp,
}

pub(in crate::replication) async fn insert_task(
    tx: &mut Tx,
    new: NewTask<'_>,
) -> Result<(), store::Error> {
    run!(tx, |connection, sql = TASK_INSERT| {
        sqlx::query(sql)
            .bind(new.execution.0)
            .bind(new.job.0)
            .bind(new.operation.name())
            .bind(new.repository)
            .bind(new.reference)
            .bind(new.destination)
            .bind(new.now.millis())
            .execute(connection)
            .await
            .map(drop)?;
    });
    Ok(())
}

/// Says of the tasks of a job what is to know though they have ended well.
pub(in crate::replication) async fn note(
    db: &Db,
    job: JobId,
    text: &str,
) -> Result<(), store::Error> {
    write!(db, |pool, sql = TASK_NOTE| {
        let query = sqlx::query(sql).bind(job.0).bind(text);
        query.execute(pool).await.map(drop)?;
    });
    Ok(())
}

/// The execution that a listing job was made for.
pub(in crate::replication) async fn of_job(
    tx: &mut Tx,
    job: JobId,
) -> Result<Option<ExecutionId>, store::Error> {
    let id: Option<i64> = run!(tx, |connection, sql = EXECUTION_OF_JOB| {
        sqlx::query_scalar(sql)
            .bind(job.0)
            .fetch_optional(connection)
            .await?
    });
    Ok(id.map(ExecutionId))
}

/// An execution of the policy, other than `except`, that has work left. An audit that only
/// compares does not count: nobody has asked for it.
pub(in crate::replication) async fn live_one(
    tx: &mut Tx,
    policy: PolicyId,
    except: Option<ExecutionId>,
) -> Result<Option<ExecutionId>, store::Error> {
    let id: Option<i64> = run!(tx, |connection, sql = EXECUTION_LIVE| {
        sqlx::query_scalar(sql)
            .bind(policy.0)
            .bind(except.map_or(0, |execution| execution.0))
            .fetch_optional(connection)
            .await?
    });
    Ok(id.map(ExecutionId))
}

/// The jobs of an execution that are not over.
pub(super) async fn live_jobs(db: &Db, execution: ExecutionId) -> Result<Vec<JobId>, store::Error> {
    let ids: Vec<i64> = read!(db, |pool, sql = EXECUTION_LIVE_JOBS| {
        sqlx::query_scalar(sql)
            .bind(execution.0)
            .fetch_all(pool)
            .await?
    });
    Ok(ids.into_iter().map(JobId).collect())
}

/// The jobs of a policy that no worker has.
pub(in crate::replication) async fn waiting_jobs(
    db: &Db,
    policy: PolicyId,
) -> Result<Vec<JobId>, store::Error> {
    let ids: Vec<i64> = read!(db, |pool, sql = POLICY_WAITING_JOBS| {
        sqlx::query_scalar(sql).bind(policy.0).fetch_all(pool).await?
    });
    Ok(ids.into_iter().map(JobId).collect())
}

/// The references of a repository that an execution has tasks for.
pub(in crate::replication) async fn references(
    db: &Db,
    execution: ExecutionId,
    repository: &RepositoryName,
) -> Result<Vec<String>, store::Error> {
    Ok(read!(db, |pool, sql = TASKS_OF_REPOSITORY| {
        sqlx::query_scalar(sql)
            .bind(execution.0)
            .bind(repository.as_str())
            .fetch_all(pool)
            .await?
    }))
}

/// The jobs of a policy that are not over, those that list the source before what they made.
pub(super) async fn live_jobs_of(db: &Db, policy: PolicyId) -> Result<Vec<JobId>, store::Error> {
    let ids: Vec<i64> = read!(db, |pool, sql = POLICY_LIVE_JOBS| {
        sqlx::query_scalar(sql).bind(policy.0).fetch_all(pool).await?
    });
    Ok(ids.into_iter().map(JobId).collect())
}

/// The jobs of an execution that failed.
pub(super) async fn failed_jobs(
    db: &Db,
    execution: ExecutionId,
) -> Result<Vec<JobId>, store::Error> {
    let ids: Vec<i64> = read!(db, |pool, sql = EXECUTION_FAILED_JOBS| {
        sqlx::query_scalar(sql)
            .bind(execution.0)
            .fetch_all(pool)
            .await?
    });
    Ok(ids.into_iter().map(JobId).collect())
}

/// Executions with a task that has ended in a span of time.
pub(super) async fn touched(
    db: &Db,
    (from, to): (Timestamp, Timestamp),
    limit: i64,
) -> Result<Vec<ExecutionId>, store::Error> {
    let ids: Vec<i64> = read!(db, |pool, sql = EXECUTIONS_TOUCHED| {
        sqlx::query_scalar(sql)
            .bind(from.millis())
            .bind(to.millis())
            .bind(limit)
            .fetch_all(pool)
            .await?
    });
    Ok(ids.into_iter().map(ExecutionId).collect())
}

/// Forgets tasks whose jobs are forgotten, and executions before `before` without any left.
pub(in crate::replication) async fn sweep(db: &Db, before: Timestamp) -> Result<(), store::Error> {
    write!(db, |pool, sql = TASK_SWEEP| {
        sqlx::query(sql).execute(pool).await.map(drop)?;
    });
    write!(db, |pool, sql = EXECUTION_SWEEP| {
        sqlx::query(sql)
            .bind(before.millis())
            .execute(pool)
            .await
            .map(drop)?;
    });
    Ok(())
}
