use super::{Error, Event, EventType, Policy, PolicyId, Target};
use crate::{
    auth::ProjectId,
    clock::Timestamp,
    jobs::JobId,
    store::{self, Db, Field, Listing, Page, Selection, Tx, Value, read, row, run, sqls, write},
};

sqls! {
    POLICIES_ENABLED = "select p.id, p.project_id, pr.name as project_name, p.name, p.description, \
        p.creator, p.event_types, p.targets, p.enabled, p.created_ms, p.updated_ms \
        from webhook_policies p join projects pr on pr.id = p.project_id \
        where p.enabled and pr.deleted_ms is null order by p.id";
    POLICY_BY_ID = "select p.id, p.project_id, pr.name as project_name, p.name, p.description, \
        p.creator, p.event_types, p.targets, p.enabled, p.created_ms, p.updated_ms \
        from webhook_policies p join projects pr on pr.id = p.project_id \
        where p.id = $1 and p.project_id = $2";
    POLICY_INSERT = "insert into webhook_policies (name, description, enabled, event_types, \
        targets, updated_ms, created_ms, project_id, creator) \
        values ($1, $2, $3, $4, $5, $6, $6, $7, $8) returning id";
    POLICY_UPDATE = "update webhook_policies set name = $1, description = $2, enabled = $3, \
        event_types = $4, targets = $5, updated_ms = $6 where project_id = $7 and id = $8 \
        returning id";
    POLICY_DELETE = "delete from webhook_policies where id = $1 and project_id = $2";
    POLICY_LIVE_JOBS = "select j.id from webhook_executions e \
        join webhook_tasks t on t.execution_id = e.id join jobs j on j.id = t.job_id \
        where e.policy_id = $1 and j.finished_ms is null";
    MARK = "select value from webhook_marks where name = $1";
    MARK_BUMP = "update webhook_marks set value = value + 1 where name = $1";
    MARK_RAISE = "update webhook_marks set value = $2 where name = $1 and value < $2";
    PROJECT_PUBLIC = "select public from projects where id = $1";
    EXECUTION_INSERT = "insert into webhook_executions (policy_id, event_id, event_type, created_ms) \
        select id, $2, $3, $4 from webhook_policies where id = $1 and enabled and created_ms <= $5 \
        on conflict (policy_id, event_id) do nothing returning id"
      | "insert into webhook_executions (policy_id, event_id, event_type, created_ms) \
        select id, $2, $3, $4::bigint from webhook_policies where id = $1 and enabled and created_ms <= $5 \
        on conflict (policy_id, event_id) do nothing returning id";
    TASK_INSERT = "insert into webhook_tasks (execution_id, job_id, notify_type, address, \
        content_type, body, created_ms) values ($1, $2, $3, $4, $5, $6, $7)";
    DELIVERY_OF_JOB = "select t.notify_type, t.address, t.content_type, t.body, \
        t.created_ms, e.event_id, e.event_type, p.project_id, p.targets, p.enabled \
        from webhook_tasks t join webhook_executions e on e.id = t.execution_id \
        join webhook_policies p on p.id = e.policy_id where t.job_id = $1";
    LAST_TRIGGERS = "select event_type, max(created_ms) as last_ms from webhook_executions \
        where policy_id = $1 group by event_type";
    EXECUTION_SWEEP = "delete from webhook_executions where created_ms < $1 \
        and not exists (select 1 from webhook_tasks t join jobs j on j.id = t.job_id \
            where t.execution_id = webhook_executions.id)";
}

row! {
    /// A policy in its columns.
    pub(crate) PolicyRow {
        id: i64,
        project_id: i64,
        project_name: String,
        name: String,
        description: String,
        creator: String,
        event_types: String,
        targets: String,
        enabled: bool,
        created_ms: i64,
        updated_ms: i64,
    }
}

row! {
    /// What a delivery sends, and the policy's targets as they are now.
    pub(crate) DeliveryRow {
        notify_type: String,
        address: String,
        content_type: String,
        body: String,
        created_ms: i64,
        event_id: String,
        event_type: String,
        project_id: i64,
        targets: String,
        enabled: bool,
    }
}

row! {
    /// When a policy last had an event of a type.
    pub(crate) LastRow { event_type: String, last_ms: i64 }
}

row! {
    /// An execution with its tasks counted.
    pub(crate) ExecutionRow {
        id: i64,
        policy_id: i64,
        event_type: String,
        notify_type: Option<String>,
        body: Option<String>,
        created_ms: i64,
        finished_ms: i64,
        total: i64,
        failed: i64,
        succeed: i64,
        in_progress: i64,
        stopped: i64,
        status: String,
        message: Option<String>,
    }
}

row! {
    /// A task with the state of its job.
    pub(crate) TaskRow {
        id: i64,
        execution_id: i64,
        job_id: i64,
        event_type: String,
        notify_type: String,
        address: String,
        body: String,
        status: String,
        message: Option<String>,
        run_count: i64,
        created_ms: i64,
        updated_ms: i64,
        started_ms: Option<i64>,
        finished_ms: Option<i64>,
    }
}

/// The policies of a project (`$1`).
const POLICIES: Selection = Selection {
    columns: "id, project_id, project_name, name, description, creator, event_types, targets, \
        enabled, created_ms, updated_ms",
    from: "(select p.*, pr.name as project_name from webhook_policies p \
        join projects pr on pr.id = p.project_id) x",
    condition: "project_id = $1",
    fields: &[
        Field::integer("id", "id"),
        Field::text("name", "name"),
        Field::text("description", "description"),
        Field::text("creator", "creator"),
        Field::boolean("enabled", "enabled"),
        Field::time("creation_time", "created_ms"),
        Field::time("update_time", "updated_ms"),
    ],
    key: "id",
};

/// The executions of a policy (`$1`), their state derived from that of their jobs.
const EXECUTIONS: Selection = Selection {
    columns: "id, policy_id, event_type, notify_type, body, created_ms, finished_ms, total, \
        failed, succeed, in_progress, stopped, status, message",
    from: "(select c.*, case when in_progress > 0 then 'Running' when failed > 0 then 'Error' \
            when stopped > 0 then 'Stopped' else 'Success' end as status \
        from (select e.id, e.policy_id, e.event_type, e.created_ms, \
            (select f.notify_type from webhook_tasks f where f.execution_id = e.id \
                order by f.id limit 1) as notify_type, \
            (select f.body from webhook_tasks f where f.execution_id = e.id \
                order by f.id limit 1) as body, \
            min(case when j.state = 'failed' then j.error end) as message, \
            coalesce(max(j.finished_ms), e.created_ms) as finished_ms, \
            count(t.id) as total, \
            count(case when j.state = 'failed' then 1 end) as failed, \
            count(case when j.state = 'done' then 1 end) as succeed, \
            count(case when j.state in ('ready', 'running', 'retry') then 1 end) as in_progress, \
            count(case when j.state = 'stopped' then 1 end) as stopped \
            from webhook_executions e left join webhook_tasks t on t.execution_id = e.id \
            left join jobs j on j.id = t.job_id where e.policy_id = $1 group by e.id) c) x",
    condition: "policy_id = $1",
    fields: &[
        Field::integer("id", "id"),
        Field::integer("vendor_id", "policy_id"),
        Field::text("event_type", "event_type"),
        Field::text("status", "status"),
        Field::time("start_time", "created_ms"),
        Field::time("end_time", "finished_ms"),
        Field::time("creation_time", "created_ms"),
        Field::time("update_time", "finished_ms"),
    ],
    key: "id desc",
};

/// The tasks of an execution (`$1`); their states are those of their jobs. A task whose job is
/// forgotten is shown until its execution is.
const TASKS: Selection = Selection {
    columns: "id, execution_id, job_id, event_type, notify_type, address, body, status, message, \
        run_count, created_ms, updated_ms, started_ms, finished_ms",
    from: "(select t.id, t.execution_id, t.job_id, e.event_type, t.notify_type, t.address, t.body, \
        t.created_ms, coalesce(j.updated_ms, t.created_ms) as updated_ms, j.started_ms, \
        j.finished_ms, coalesce(j.attempts, 0) as run_count, j.error as message, \
        case j.state when 'ready' then 'Pending' when 'running' then 'Running' \
            when 'retry' then 'Running' when 'done' then 'Success' when 'failed' then 'Error' \
            else 'Stopped' end as status \
        from webhook_tasks t join webhook_executions e on e.id = t.execution_id \
        join jobs j on j.id = t.job_id) x",
    condition: "execution_id = $1",
    fields: &[
        Field::integer("id", "id"),
        Field::text("status", "status"),
        Field::time("creation_time", "created_ms"),
        Field::time("update_time", "updated_ms"),
        Field::time("start_time", "started_ms"),
        Field::time("end_time", "finished_ms"),
    ],
    key: "id",
};

impl TryFrom<PolicyRow> for Policy {
    type Error = Error;

    fn try_from(row: PolicyRow) -> Result<Self, Error> {
        let damaged = |column: &str, problem: String| Error::Row {
            table: "webhook_policies",
            id: row.id,
            problem: format!("{column}: {problem}"),
        };
        let names: Vec<String> = serde_json::from_str(&row.event_types)
            .map_err(|error| damaged("event_types", error.to_string()))?;
        let event_types = names
            .iter()
            .map(|name| EventType::parse(name).ok_or_else(|| damaged("event_types", name.clone())))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            id: PolicyId(row.id),
            project: ProjectId(row.project_id),
            event_types,
            targets: serde_json::from_str(&row.targets)
                .map_err(|error| damaged("targets", error.to_string()))?,
            name: row.name,
            description: row.description,
            creator: row.creator,
            enabled: row.enabled,
            created: Timestamp::from_millis(row.created_ms),
            updated: Timestamp::from_millis(row.updated_ms),
        })
    }
}

pub(super) async fn enabled(db: &Db) -> Result<Vec<PolicyRow>, store::Error> {
    Ok(read!(db, |pool, sql = POLICIES_ENABLED| {
        sqlx::query_as(sql).fetch_all(pool).await?
    }))
}

pub(super) async fn policies(
    db: &Db,
    project: ProjectId,
    listing: &Listing,
) -> Result<Page<PolicyRow>, store::Error> {
    db.page(&POLICIES, vec![Value::Integer(project.0)], listing)
        .await
}

pub(super) async fn policy(
    db: &Db,
    project: ProjectId,
    id: PolicyId,
) -> Result<Option<PolicyRow>, store::Error> {
    Ok(read!(db, |pool, sql = POLICY_BY_ID| {
        sqlx::query_as(sql)
            .bind(id.0)
            .bind(project.0)
            .fetch_optional(pool)
            .await?
    }))
}

/// What of a policy a person decides, in its columns.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub enabled: bool,
    pub event_types: &'a [EventType],
    pub targets: &'a [Target],
    pub now: Timestamp,
    pub project: ProjectId,
}

/// Binds `$1` to `$7` of the statements that write a policy.
macro_rules! bind_columns {
    ($query:expr, $columns:expr) => {
        $query
            .bind($columns.name)
            .bind($columns.description)
            .bind($columns.enabled)
            .bind(json_of(&$columns.event_types))
            .bind(json_of(&$columns.targets))
            .bind($columns.now.millis())
            .bind($columns.project.0)
    };
}

pub(super) async fn insert_policy(
    tx: &mut Tx,
    columns: &Columns<'_>,
    creator: &str,
) -> Result<PolicyId, store::Error> {
    let id = run!(tx, |connection, sql = POLICY_INSERT| {
        bind_columns!(sqlx::query_scalar(sql), columns)
            .bind(creator)
            .fetch_one(connection)
            .await?
    });
    Ok(PolicyId(id))
}

/// Whether there was one to update.
pub(super) async fn update_policy(
    tx: &mut Tx,
    columns: &Columns<'_>,
    id: PolicyId,
) -> Result<bool, store::Error> {
    let updated: Option<i64> = run!(tx, |connection, sql = POLICY_UPDATE| {
        bind_columns!(sqlx::query_scalar(sql), columns)
            .bind(id.0)
            .fetch_optional(connection)
            .await?
    });
    Ok(updated.is_some())
}

/// Whether there was one to delete.
pub(super) async fn delete_policy(
    tx: &mut Tx,
    project: ProjectId,
    id: PolicyId,
) -> Result<bool, store::Error> {
    Ok(run!(tx, |connection, sql = POLICY_DELETE| {
        let query = sqlx::query(sql).bind(id.0).bind(project.0);
        query.execute(connection).await?.rows_affected() == 1
    }))
}

/// The jobs of a policy that are not over.
pub(super) async fn live_jobs(db: &Db, id: PolicyId) -> Result<Vec<JobId>, store::Error> {
    let ids: Vec<i64> = read!(db, |pool, sql = POLICY_LIVE_JOBS| {
        sqlx::query_scalar(sql).bind(id.0).fetch_all(pool).await?
    });
    Ok(ids.into_iter().map(JobId).collect())
}

/// Counts the changes of policies.
pub(super) const POLICIES_MARK: &str = "policies";
/// Until when ended replications have been told.
pub(super) const REPLICATION_MARK: &str = "replication";

pub(super) async fn mark(db: &Db, name: &str) -> Result<i64, store::Error> {
    Ok(read!(db, |pool, sql = MARK| {
        sqlx::query_scalar(sql).bind(name).fetch_one(pool).await?
    }))
}

pub(super) async fn bump_mark(tx: &mut Tx, name: &str) -> Result<(), store::Error> {
    run!(tx, |connection, sql = MARK_BUMP| {
        let query = sqlx::query(sql).bind(name);
        query.execute(connection).await.map(drop)?;
    });
    Ok(())
}

pub(super) async fn raise_mark(db: &Db, name: &str, value: i64) -> Result<(), store::Error> {
    write!(db, |pool, sql = MARK_RAISE| {
        let query = sqlx::query(sql).bind(name).bind(value);
        query.execute(pool).await.map(drop)?;
    });
    Ok(())
}

pub(super) async fn is_public(tx: &mut Tx, project: ProjectId) -> Result<bool, store::Error> {
    let public: Option<bool> = run!(tx, |connection, sql = PROJECT_PUBLIC| {
        sqlx::query_scalar(sql)
            .bind(project.0)
            .fetch_optional(connection)
            .await?
    });
    Ok(public.unwrap_or(false))
}

/// `None` when the policy is gone, disabled or newer than the event, or has had it.
pub(super) async fn insert_execution(
    tx: &mut Tx,
    policy: PolicyId,
    event: &Event,
    now: Timestamp,
) -> Result<Option<i64>, store::Error> {
    Ok(run!(tx, |connection, sql = EXECUTION_INSERT| {
        sqlx::query_scalar(sql)
            .bind(policy.0)
            .bind(&event.id)
            .bind(event.kind.name())
            .bind(now.millis())
            .bind(event.at_ms)
            .fetch_optional(connection)
            .await?
    }))
}

/// A new task's columns.
#[derive(Debug)]
pub(super) struct NewTask<'a> {
    pub execution: i64,
    pub job: JobId,
    pub target: &'a Target,
    pub content_type: &'a str,
    pub body: &'a str,
    pub now: Timestamp,
}

pub(super) async fn insert_task(tx: &mut Tx, new: &NewTask<'_>) -> Result<(), store::Error> {
    run!(tx, |connection, sql = TASK_INSERT| {
        sqlx::query(sql)
            .bind(new.execution)
            .bind(new.job.0)
            .bind(new.target.notify_type.name())
            .bind(&new.target.address)
            .bind(new.content_type)
            .bind(new.body)
            .bind(new.now.millis())
            .execute(connection)
            .await
            .map(drop)?;
    });
    Ok(())
}

pub(super) async fn delivery(db: &Db, job: JobId) -> Result<Option<DeliveryRow>, store::Error> {
    Ok(read!(db, |pool, sql = DELIVERY_OF_JOB| {
        sqlx::query_as(sql).bind(job.0).fetch_optional(pool).await?
    }))
}

pub(super) async fn last_triggers(db: &Db, id: PolicyId) -> Result<Vec<LastRow>, store::Error> {
    Ok(read!(db, |pool, sql = LAST_TRIGGERS| {
        sqlx::query_as(sql).bind(id.0).fetch_all(pool).await?
    }))
}

pub(super) async fn executions(
    db: &Db,
    policy: PolicyId,
    listing: &Listing,
) -> Result<Page<ExecutionRow>, store::Error> {
    db.page(&EXECUTIONS, vec![Value::Integer(policy.0)], listing)
        .await
}

pub(super) async fn tasks(
    db: &Db,
    execution: i64,
    listing: &Listing,
) -> Result<Page<TaskRow>, store::Error> {
    db.page(&TASKS, vec![Value::Integer(execution)], listing)
        .await
}

/// Forgets executions before `before` whose jobs are forgotten.
pub(super) async fn sweep(db: &Db, before: Timestamp) -> Result<(), store::Error> {
    write!(db, |pool, sql = EXECUTION_SWEEP| {
        let query = sqlx::query(sql).bind(before.millis());
        query.execute(pool).await.map(drop)?;
    });
    Ok(())
}

fn json_of(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_never| "[]".to_owned())
}
