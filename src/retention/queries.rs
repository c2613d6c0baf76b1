use super::{Error, Execution, ExecutionId, Policy, PolicyId, PolicySpec, Task, TaskId};
use crate::{
    auth::ProjectId,
    clock::Timestamp,
    jobs::JobId,
    store::{
        self, Db, Field, Filter, Listing, Page, Selection, Test, Tx, Value, read, row, run, sqls,
        write,
    },
};

sqls! {
    POLICY = "select id, project_id, rules, cron from retention_policies where id = $1";
    POLICY_OF = "select id from retention_policies where project_id = $1";
    POLICY_INSERT = "insert into retention_policies (project_id, rules, cron, created_ms, \
        updated_ms) values ($1, $2, $3, $4, $4) returning id";
    POLICY_UPDATE = "update retention_policies set rules = $2, cron = $3, updated_ms = $4 \
        where id = $1";
    POLICY_DELETE = "delete from retention_policies where id = $1";
    POLICY_LOCK = "update retention_policies set updated_ms = updated_ms where id = $1";
    LIVE = "select e.id from retention_executions e join jobs j on j.id = e.job_id \
        where e.policy_id = $1 and e.ended_ms is null and j.finished_ms is null \
        order by e.id limit 1";
    OPEN_OF_JOB = "select id from retention_executions where job_id = $1 and ended_ms is null";
    JOB_OF = "select job_id from retention_executions where id = $1";
    EXECUTION_INSERT = "insert into retention_executions (policy_id, job_id, trigger_kind, \
        dry_run, started_ms) values ($1, $2, $3, $4, $5) returning id";
    EXECUTION_END = "update retention_executions set status = $2, ended_ms = $3 \
        where id = $1 and ended_ms is null";
    EXECUTIONS_TRIM = "delete from retention_executions where policy_id = $1 and id < \
        (select min(id) from (select id from retention_executions where policy_id = $1 \
            order by id desc limit $2) as newest)";
    TASK_BEGIN = "insert into retention_tasks (execution_id, repository, total, retained, \
            started_ms, log) values ($1, $2, $3, $4, $5, '') \
        on conflict (execution_id, repository) do update set total = excluded.total, \
            retained = excluded.retained, started_ms = excluded.started_ms, status = null, \
            ended_ms = null, log = ''";
    TASK_END = "update retention_tasks set status = $3, retained = $4, ended_ms = $5, log = $6 \
        where execution_id = $1 and repository = $2";
    TASKS_DONE = "select repository, status from retention_tasks where execution_id = $1 \
        and ended_ms is not null";
    TASK_LOG = "select log from retention_tasks where execution_id = $1 and id = $2";
}

row! {
    /// A policy in its columns.
    pub(super) PolicyRow {
        id: PolicyId,
        project_id: ProjectId,
        rules: String,
        cron: String,
    }
}

/// Runs of the policy `$1`. While a run has not ended by itself, its job says how it is.
const EXECUTIONS: Selection = Selection {
    columns: "id, policy_id, trigger_kind, dry_run, started_ms, ended_ms, status",
    from: "(select e.id, e.policy_id, e.trigger_kind, e.dry_run, e.started_ms, \
            coalesce(e.ended_ms, j.finished_ms) as ended_ms, \
            case when e.ended_ms is not null then e.status \
                when j.state in ('ready', 'running', 'retry') then 'Running' \
                when j.state = 'done' then 'Success' when j.state = 'stopped' then 'Stopped' \
                else 'Error' end as status \
        from retention_executions e left join jobs j on j.id = e.job_id) as executions",
    condition: "policy_id = $1",
    fields: &[
        Field::integer("id", "id"),
        Field::text("status", "status"),
        Field::text("trigger", "trigger_kind"),
        Field::boolean("dry_run", "dry_run"),
        Field::time("start_time", "started_ms"),
    ],
    key: "id desc",
};

/// Tasks of the execution `$1`.
const TASKS: Selection = Selection {
    columns: "id, execution_id, job_id, repository, status, started_ms, ended_ms, total, retained",
    from: "(select t.id, t.execution_id, e.job_id, t.repository, t.started_ms, t.total, \
            t.retained, coalesce(t.ended_ms, e.ended_ms, j.finished_ms) as ended_ms, \
            case when t.status is not null then t.status \
                when e.ended_ms is not null then e.status \
                when j.state in ('ready', 'running', 'retry') then 'Running' \
                when j.state = 'stopped' then 'Stopped' else 'Error' end as status \
        from retention_tasks t join retention_executions e on e.id = t.execution_id \
        left join jobs j on j.id = e.job_id) as tasks",
    condition: "execution_id = $1",
    fields: &[
        Field::integer("id", "id"),
        Field::text("repository", "repository"),
        Field::text("status", "status"),
        Field::integer("total", "total"),
        Field::integer("retained", "retained"),
        Field::time("start_time", "started_ms"),
    ],
    key: "id",
};

impl TryFrom<PolicyRow> for Policy {
    type Error = Error;

    fn try_from(row: PolicyRow) -> Result<Self, Error> {
        let rules = serde_json::from_str(&row.rules).map_err(|error| Error::Row {
            id: row.id,
            problem: format!("rules: {error}"),
        })?;
        Ok(Self {
            id: row.id,
            spec: PolicySpec {
                project: row.project_id,
                rules,
                cron: row.cron,
            },
        })
    }
}

pub(super) async fn policy(db: &Db, id: PolicyId) -> Result<Option<PolicyRow>, store::Error> {
    Ok(read!(db, |pool, sql = POLICY| {
        sqlx::query_as(sql).bind(id.0).fetch_optional(pool).await?
    }))
}

pub(super) async fn policy_of(
    db: &Db,
    project: ProjectId,
) -> Result<Option<PolicyId>, store::Error> {
    let id: Option<i64> = read!(db, |pool, sql = POLICY_OF| {
        sqlx::query_scalar(sql)
            .bind(project.0)
            .fetch_optional(pool)
            .await?
    });
    Ok(id.map(PolicyId))
}

pub(super) async fn insert(
    tx: &mut Tx,
    spec: &PolicySpec,
    now: Timestamp,
) -> Result<PolicyId, store::Error> {
    let id: i64 = run!(tx, |connection, sql = POLICY_INSERT| {
        sqlx::query_scalar(sql)
            .bind(spec.project.0)
            .bind(rules_text(spec))
            .bind(&spec.cron)
            .bind(now.millis())
            .fetch_one(connection)
            .await?
    });
    Ok(PolicyId(id))
}

/// Whether there was one to update.
pub(super) async fn update(
    tx: &mut Tx,
    id: PolicyId,
    spec: &PolicySpec,
    now: Timestamp,
) -> Result<bool, store::Error> {
    Ok(run!(tx, |connection, sql = POLICY_UPDATE| {
        let query = sqlx::query(sql)
            .bind(id.0)
            .bind(rules_text(spec))
            .bind(&spec.cron)
            .bind(now.millis());
        query.execute(connection).await?.rows_affected() == 1
    }))
}

/// Whether there was one to delete.
pub(super) async fn delete(tx: &mut Tx, id: PolicyId) -> Result<bool, store::Error> {
    Ok(run!(tx, |connection, sql = POLICY_DELETE| {
        let done = sqlx::query(sql).bind(id.0).execute(connection).await?;
        done.rows_affected() == 1
    }))
}

/// Holds a policy until the transaction ends; false if there is none.
pub(super) async fn lock(tx: &mut Tx, id: PolicyId) -> Result<bool, store::Error> {
    Ok(run!(tx, |connection, sql = POLICY_LOCK| {
        let done = sqlx::query(sql).bind(id.0).execute(connection).await?;
        done.rows_affected() == 1
    }))
}

/// The run of the policy that is not over.
pub(super) async fn live(db: &Db, policy: PolicyId) -> Result<Option<ExecutionId>, store::Error> {
    let id: Option<i64> = read!(db, |pool, sql = LIVE| {
        sqlx::query_scalar(sql)
            .bind(policy.0)
            .fetch_optional(pool)
            .await?
    });
    Ok(id.map(ExecutionId))
}

/// Likewise, within a transaction.
pub(super) async fn live_in(
    tx: &mut Tx,
    policy: PolicyId,
) -> Result<Option<ExecutionId>, store::Error> {
    let id: Option<i64> = run!(tx, |connection, sql = LIVE| {
        sqlx::query_scalar(sql)
            .bind(policy.0)
            .fetch_optional(connection)
            .await?
    });
    Ok(id.map(ExecutionId))
}

/// The run that a job was made for, or that an earlier attempt of it has begun.
pub(super) async fn open_of_job(
    tx: &mut Tx,
    job: JobId,
) -> Result<Option<ExecutionId>, store::Error> {
    let id: Option<i64> = run!(tx, |connection, sql = OPEN_OF_JOB| {
        sqlx::query_scalar(sql)
            .bind(job.0)
            .fetch_optional(connection)
            .await?
    });
    Ok(id.map(ExecutionId))
}

pub(super) async fn job_of(db: &Db, execution: ExecutionId) -> Result<Option<JobId>, store::Error> {
    let id: Option<i64> = read!(db, |pool, sql = JOB_OF| {
        sqlx::query_scalar(sql)
            .bind(execution.0)
            .fetch_optional(pool)
            .await?
    });
    Ok(id.map(JobId))
}

/// A new execution's columns.
pub(super) struct NewExecution {
    pub policy: PolicyId,
    pub job: JobId,
    pub trigger: &'static str,
    pub dry_run: bool,
    pub now: Timestamp,
}

/// Adds a run and forgets the oldest of the policy's.
pub(super) async fn insert_execution(
    tx: &mut Tx,
    new: &NewExecution,
) -> Result<ExecutionId, store::Error> {
    let id: i64 = run!(tx, |connection, sql = EXECUTION_INSERT| {
        sqlx::query_scalar(sql)
            .bind(new.policy.0)
            .bind(new.job.0)
            .bind(new.trigger)
            .bind(new.dry_run)
            .bind(new.now.millis())
            .fetch_one(connection)
            .await?
    });
    run!(tx, |connection, sql = EXECUTIONS_TRIM| {
        let query = sqlx::query(sql).bind(new.policy.0).bind(EXECUTIONS_KEPT);
        query.execute(connection).await.map(drop)?;
    });
    Ok(ExecutionId(id))
}

pub(super) async fn end_execution(
    db: &Db,
    id: ExecutionId,
    status: &str,
    now: Timestamp,
) -> Result<(), store::Error> {
    write!(db, |pool, sql = EXECUTION_END| {
        let query = sqlx::query(sql).bind(id.0).bind(status).bind(now.millis());
        query.execute(pool).await.map(drop)?;
    });
    Ok(())
}

/// A repository's numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub total: i64,
    pub retained: i64,
}

/// Begins the task of a repository, or begins it anew.
pub(super) async fn begin_task(
    db: &Db,
    (execution, repository): (ExecutionId, &str),
    counts: Counts,
    now: Timestamp,
) -> Result<(), store::Error> {
    write!(db, |pool, sql = TASK_BEGIN| {
        sqlx::query(sql)
            .bind(execution.0)
            .bind(repository)
            .bind(counts.total)
            .bind(counts.retained)
            .bind(now.millis())
            .execute(pool)
            .await
            .map(drop)?;
    });
    Ok(())
}

/// How a task has ended.
pub(super) struct Ended<'a> {
    pub status: &'a str,
    pub retained: i64,
    pub log: &'a str,
    pub now: Timestamp,
}

pub(super) async fn end_task(
    db: &Db,
    (execution, repository): (ExecutionId, &str),
    ended: &Ended<'_>,
) -> Result<(), store::Error> {
    write!(db, |pool, sql = TASK_END| {
        sqlx::query(sql)
            .bind(execution.0)
            .bind(repository)
            .bind(ended.status)
            .bind(ended.retained)
            .bind(ended.now.millis())
            .bind(ended.log)
            .execute(pool)
            .await
            .map(drop)?;
    });
    Ok(())
}

/// The repositories that an execution is done with, and how each ended.
pub(super) async fn done(
    db: &Db,
    execution: ExecutionId,
) -> Result<Vec<(String, String)>, store::Error> {
    Ok(read!(db, |pool, sql = TASKS_DONE| {
        sqlx::query_as(sql)
            .bind(execution.0)
            .fetch_all(pool)
            .await?
    }))
}

pub(super) async fn task_log(
    db: &Db,
    execution: ExecutionId,
    task: TaskId,
) -> Result<Option<String>, store::Error> {
    Ok(read!(db, |pool, sql = TASK_LOG| {
        sqlx::query_scalar(sql)
            .bind(execution.0)
            .bind(task.0)
            .fetch_optional(pool)
            .await?
    }))
}

pub(super) async fn executions(
    db: &Db,
    policy: PolicyId,
    listing: &Listing,
) -> Result<Page<Execution>, store::Error> {
    let fixed = vec![Value::Integer(policy.0)];
    db.page(&EXECUTIONS, fixed, listing).await
}

pub(super) async fn tasks(
    db: &Db,
    execution: ExecutionId,
    listing: &Listing,
) -> Result<Page<Task>, store::Error> {
    let fixed = vec![Value::Integer(execution.0)];
    db.page(&TASKS, fixed, listing).await
}

/// Of one row.
pub(super) fn by_id(id: i64) -> Listing {
    Listing {
        filters: vec![Filter {
            field: "id".to_owned(),
            test: Test::Equals(id.to_string()),
        }],
        ..Listing::default()
    }
}

fn rules_text(spec: &PolicySpec) -> String {
    serde_json::json!(spec.rules).to_string()
}

/// Harbor's number.
const EXECUTIONS_KEPT: i64 = 50;
