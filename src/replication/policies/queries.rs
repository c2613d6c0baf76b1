use crate::{
    clock::Timestamp,
    replication::{
        Error, PolicyId, RegistryId,
        policy::{DeletionLimit, Namespace, Policy, PolicySpec, Replace, Trigger},
    },
    store::{self, Db, Field, Listing, Page, Selection, Tx, read, row, run, sqls},
};

sqls! {
    POLICY_ALL = "select id, name, description, source_id, destination_id, trigger_kind, cron, \
        filters, namespace, replace_count, deletion, overwrite, enabled, speed_kbps, \
        copy_by_chunk, single_active, bidirectional, tee, runs_delete, max_deletions, \
        max_deletions_percent, copy_foreign_layers, created_ms, updated_ms \
        from replication_policies order by id";
    POLICY_BY_ID = "select id, name, description, source_id, destination_id, trigger_kind, cron, \
        filters, namespace, replace_count, deletion, overwrite, enabled, speed_kbps, \
        copy_by_chunk, single_active, bidirectional, tee, runs_delete, max_deletions, \
        max_deletions_percent, copy_foreign_layers, created_ms, updated_ms \
        from replication_policies \
        where id = $1";
    POLICY_INSERT = "insert into replication_policies (name, description, source_id, \
        destination_id, trigger_kind, cron, filters, namespace, replace_count, deletion, \
        overwrite, enabled, speed_kbps, copy_by_chunk, single_active, updated_ms, created_ms, \
        bidirectional, tee, runs_delete, max_deletions, max_deletions_percent, \
        copy_foreign_layers) \
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16, $17, \
        $18, $19, $20, $21, $22) \
        returning id";
    POLICY_UPDATE = "update replication_policies set name = $1, description = $2, \
        source_id = $3, destination_id = $4, trigger_kind = $5, cron = $6, filters = $7, \
        namespace = $8, replace_count = $9, deletion = $10, overwrite = $11, enabled = $12, \
        speed_kbps = $13, copy_by_chunk = $14, single_active = $15, updated_ms = $16, \
        bidirectional = $17, tee = $18, runs_delete = $19, max_deletions = $20, \
        max_deletions_percent = $21, copy_foreign_layers = $22 where id = $23 returning id";
    POLICY_EXISTS = "select id from replication_policies where id = $1";
    POLICY_DELETE = "delete from replication_policies where id = $1";
    REVISION = "select revision from replication_revision where id = 1";
    REVISION_BUMP = "update replication_revision set revision = revision + 1 where id = 1";
}

row! {
    /// A policy in its columns.
    pub(crate) PolicyRow {
        id: i64,
        name: String,
        description: String,
        source_id: Option<i64>,
        destination_id: Option<i64>,
        trigger_kind: String,
        cron: String,
        filters: String,
        namespace: String,
        replace_count: i64,
        deletion: bool,
        overwrite: bool,
        enabled: bool,
        speed_kbps: Option<i64>,
        copy_by_chunk: bool,
        single_active: bool,
        bidirectional: bool,
        tee: bool,
        runs_delete: bool,
        max_deletions: Option<i64>,
        max_deletions_percent: Option<i64>,
        copy_foreign_layers: bool,
        created_ms: i64,
        updated_ms: i64,
    }
}

/// What of a policy can be filtered and sorted by, under Harbor's names.
pub(super) const POLICIES: Selection = Selection {
    columns: "id, name, description, source_id, destination_id, trigger_kind, cron, filters, \
        namespace, replace_count, deletion, overwrite, enabled, speed_kbps, copy_by_chunk, \
        single_active, bidirectional, tee, runs_delete, max_deletions, max_deletions_percent, \
        copy_foreign_layers, created_ms, updated_ms",
    from: "replication_policies",
    condition: "1 = 1",
    fields: &[
        Field::integer("id", "id"),
        Field::text("name", "name"),
        Field::boolean("enabled", "enabled"),
        Field::text("trigger", "trigger_kind"),
        Field::integer("src_registry_id", "coalesce(source_id, 0)"),
        Field::integer("dest_registry_id", "coalesce(destination_id, 0)"),
        Field::time("creation_time", "created_ms"),
        Field::time("update_time", "updated_ms"),
    ],
    key: "id",
};

impl TryFrom<PolicyRow> for Policy {
    type Error = Error;

    fn try_from(row: PolicyRow) -> Result<Self, Error> {
        let damaged = |problem: String| Error::Row {
            table: "replication_policies",
            id: row.id,
            problem,
        };
        let trigger = match row.trigger_kind.as_str() {
            "manual" => Trigger::Manual,
            "scheduled" => Trigger::Scheduled { cron: row.cron },
            "event_based" => Trigger::EventBased,
            other => return Err(damaged(format!("`{other}` is not a trigger"))),
        };
        let replace = i8::try_from(row.replace_count)
            .ok()
            .and_then(Replace::from_count)
            .ok_or_else(|| damaged(format!("replace_count {}", row.replace_count)))?;
        let registry = |id: Option<i64>| id.map_or(RegistryId::LOCAL, RegistryId);
        Ok(Self {
            id: PolicyId(row.id),
            spec: PolicySpec {
                filters: serde_json::from_str(&row.filters)
                    .map_err(|error| damaged(format!("filters: {error}")))?,
                name: row.name,
                description: row.description,
                source: registry(row.source_id),
                destination: registry(row.destination_id),
                trigger,
                namespace: Namespace {
                    path: row.namespace,
                    replace,
                },
                deletion: row.deletion,
                overwrite: row.overwrite,
                enabled: row.enabled,
                speed_kbps: row.speed_kbps.and_then(|speed| u32::try_from(speed).ok()),
                copy_by_chunk: row.copy_by_chunk,
                single_active: row.single_active,
                bidirectional: row.bidirectional,
                tee: row.tee,
                runs_delete: row.runs_delete,
                deletion_limit: DeletionLimit {
                    count: row.max_deletions.and_then(|most| u32::try_from(most).ok()),
                    percent: row
                        .max_deletions_percent
                        .and_then(|most| u8::try_from(most).ok()),
                },
                copy_foreign_layers: row.copy_foreign_layers,
            },
            created: Timestamp::from_millis(row.created_ms),
            updated: Timestamp::from_millis(row.updated_ms),
        })
    }
}

pub(super) async fn list(db: &Db, listing: &Listing) -> Result<Page<PolicyRow>, store::Error> {
    db.page(&POLICIES, Vec::new(), listing).await
}

pub(in crate::replication) async fn all(db: &Db) -> Result<Vec<PolicyRow>, store::Error> {
    Ok(read!(db, |pool, sql = POLICY_ALL| {
        sqlx::query_as(sql).fetch_all(pool).await?
    }))
}

pub(in crate::replication) async fn by_id(
    db: &Db,
    id: PolicyId,
) -> Result<Option<PolicyRow>, store::Error> {
    Ok(read!(db, |pool, sql = POLICY_BY_ID| {
        sqlx::query_as(sql).bind(id.0).fetch_optional(pool).await?
    }))
}

/// Binds `$1` to `$22` of the statements that write a policy.
macro_rules! bind_spec {
    ($query:expr, $spec:expr, $now:expr) => {{
        let (spec, filters) = ($spec, filters_text(&$spec.filters));
        let registry = |id: RegistryId| (!id.is_local()).then_some(id.0);
        let cron = match &spec.trigger {
            Trigger::Scheduled { cron } => cron.clone(),
            Trigger::Manual | Trigger::EventBased => String::new(),
        };
        $query
            .bind(spec.name.clone())
            .bind(spec.description.clone())
            .bind(registry(spec.source))
            .bind(registry(spec.destination))
            .bind(spec.trigger.name())
            .bind(cron)
            .bind(filters)
            .bind(spec.namespace.path.clone())
            .bind(i64::from(spec.namespace.replace.count()))
            .bind(spec.deletion)
            .bind(spec.overwrite)
            .bind(spec.enabled)
            .bind(spec.speed_kbps.map(i64::from))
            .bind(spec.copy_by_chunk)
            .bind(spec.single_active)
            .bind($now.millis())
            .bind(spec.bidirectional)
            .bind(spec.tee)
            .bind(spec.runs_delete)
            .bind(spec.deletion_limit.count.map(i64::from))
            .bind(spec.deletion_limit.percent.map(i64::from))
            .bind(spec.copy_foreign_layers)
    }};
}

pub(super) async fn insert(
    tx: &mut Tx,
    spec: &PolicySpec,
    now: Timestamp,
) -> Result<PolicyId, store::Error> {
    let id = run!(tx, |connection, sql = POLICY_INSERT| {
        bind_spec!(sqlx::query_scalar(sql), spec, now)
            .fetch_one(connection)
            .await?
    });
    Ok(PolicyId(id))
}

/// Whether there was one to update.
pub(in crate::replication) async fn update(
    tx: &mut Tx,
    id: PolicyId,
    spec: &PolicySpec,
    now: Timestamp,
) -> Result<bool, store::Error> {
    let updated: Option<i64> = run!(tx, |connection, sql = POLICY_UPDATE| {
        bind_spec!(sqlx::query_scalar(sql), spec, now)
            .bind(id.0)
            .fetch_optional(connection)
            .await?
    });
    Ok(updated.is_some())
}

/// Whether there was one to delete.
pub(super) async fn delete(tx: &mut Tx, id: PolicyId) -> Result<bool, store::Error> {
    Ok(run!(tx, |connection, sql = POLICY_DELETE| {
        let done = sqlx::query(sql).bind(id.0).execute(connection).await?;
        done.rows_affected() == 1
    }))
}

pub(in crate::replication) async fn exists(
    tx: &mut Tx,
    id: PolicyId,
) -> Result<bool, store::Error> {
    let found: Option<i64> = run!(tx, |connection, sql = POLICY_EXISTS| {
        sqlx::query_scalar(sql)
            .bind(id.0)
            .fetch_optional(connection)
            .await?
    });
    Ok(found.is_some())
}

pub(super) async fn revision(db: &Db) -> Result<i64, store::Error> {
    Ok(read!(db, |pool, sql = REVISION| {
        sqlx::query_scalar(sql).fetch_one(pool).await?
    }))
}

/// Tells every instance that policies or registries have changed.
pub(in crate::replication) async fn bump_revision(tx: &mut Tx) -> Result<(), store::Error> {
    run!(tx, |connection, sql = REVISION_BUMP| {
        sqlx::query(sql).execute(connection).await.map(drop)?;
    });
    Ok(())
}

fn filters_text(filters: &[crate::replication::policy::Filter]) -> String {
    serde_json::to_string(filters).unwrap_or_else(|_never| "[]".to_owned())
}
