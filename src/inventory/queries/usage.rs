use serde_json::json;

use crate::{
    auth::ProjectId,
    inventory::ArtifactId,
    oci::Digest,
    store::{self, Db, Tx, read, run, sqls},
};

sqls! {
    // First of all: changes of one project wait for each other here, and count nothing twice.
    LOCK_USAGE = "insert into project_usage (project_id, used_bytes) values ($1, 0) \
        on conflict (project_id) do update set used_bytes = project_usage.used_bytes";
    ADD_HOLDERS = "insert into project_blobs (project_id, digest, size_bytes, holders) \
            select $1, value ->> 'digest', value ->> 'size', value ->> 'holders' \
            from json_each($2) where true \
            on conflict (project_id, digest) do update \
            set holders = project_blobs.holders + excluded.holders \
            returning digest, size_bytes, holders"
        | "insert into project_blobs (project_id, digest, size_bytes, holders) \
            select $1, item ->> 'digest', (item ->> 'size')::bigint, (item ->> 'holders')::bigint \
            from jsonb_array_elements($2::jsonb) item \
            on conflict (project_id, digest) do update \
            set holders = project_blobs.holders + excluded.holders \
            returning digest, size_bytes, holders";
    REMOVE_HOLDERS = "update project_blobs set holders = project_blobs.holders - gone.holders \
            from (select digest, count(*) as holders from (\
                select a.digest from artifacts a \
                where a.id in (select value from json_each($2)) \
                union all select b.digest from artifact_blobs b \
                where b.artifact_id in (select value from json_each($2))) held \
                group by digest) gone \
            where project_blobs.project_id = $1 and project_blobs.digest = gone.digest \
            returning digest, size_bytes, holders"
        | "update project_blobs set holders = project_blobs.holders - gone.holders \
            from (select digest, count(*) as holders from (\
                select a.digest from artifacts a where a.id in (\
                    select value::bigint from jsonb_array_elements_text($2::jsonb)) \
                union all select b.digest from artifact_blobs b where b.artifact_id in (\
                    select value::bigint from jsonb_array_elements_text($2::jsonb))) held \
                group by digest) gone \
            where project_blobs.project_id = $1 and project_blobs.digest = gone.digest \
            returning project_blobs.digest, size_bytes, project_blobs.holders";
    DROP_BLOBS = "delete from project_blobs where project_id = $1 \
            and digest in (select value from json_each($2))"
        | "delete from project_blobs where project_id = $1 \
            and digest in (select jsonb_array_elements_text($2::jsonb))";
    // What manifests say of sizes may be absurd; the sum stays a number.
    CHANGE_USAGE = "update project_usage \
            set used_bytes = max(0, min(used_bytes + $2, 9223372036854775807)) \
            where project_id = $1"
        | "update project_usage set used_bytes = \
            greatest(0, least(used_bytes::numeric + $2, 9223372036854775807))::bigint \
            where project_id = $1";
    USAGE = "select coalesce(max(used_bytes), 0) as used_bytes, \
            (select json_group_object(digest, size_bytes) from project_blobs where project_id = $1 \
                and digest in (select value from json_each($2))) as held \
            from project_usage where project_id = $1"
        | "select coalesce(max(used_bytes), 0) as used_bytes, \
            (select coalesce(jsonb_object_agg(digest, size_bytes), '{}')::text from project_blobs \
                where project_id = $1 \
                and digest in (select jsonb_array_elements_text($2::jsonb))) as held \
            from project_usage where project_id = $1";
    STORED = "select cast(min(total(size_bytes), 9e18) as integer) from (\
            select max(size_bytes) as size_bytes from project_blobs group by digest) stored"
        | "select least(coalesce(sum(size_bytes), 0), 9223372036854775807)::bigint from (\
            select max(size_bytes) as size_bytes from project_blobs group by digest) stored";
    HAS_DRIFTED = "with counted as (select digest, count(*) as holders from (\
                select digest from artifacts where project_id = $1 union all \
                select b.digest from artifact_blobs b join artifacts a on a.id = b.artifact_id \
                where a.project_id = $1) held group by digest), \
            kept as (select digest, holders from project_blobs where project_id = $1) \
            select exists (select * from counted except select * from kept) \
            or exists (select * from kept except select * from counted) \
            or coalesce((select used_bytes from project_usage where project_id = $1), 0) <> \
                (select cast(min(total(size_bytes), 9e18) as integer) from project_blobs \
                where project_id = $1)"
        | "with counted as (select digest, count(*) as holders from (\
                select digest from artifacts where project_id = $1 union all \
                select b.digest from artifact_blobs b join artifacts a on a.id = b.artifact_id \
                where a.project_id = $1) held group by digest), \
            kept as (select digest, holders from project_blobs where project_id = $1) \
            select exists (select * from counted except select * from kept) \
            or exists (select * from kept except select * from counted) \
            or coalesce((select used_bytes from project_usage where project_id = $1), 0) <> \
                (select coalesce(sum(size_bytes), 0) from project_blobs where project_id = $1)";
    FORGET_BLOBS = "delete from project_blobs where project_id = $1";
    COUNT_BLOBS = "insert into project_blobs (project_id, digest, size_bytes, holders) \
        select $1, digest, max(size_bytes), count(*) from (\
            select digest, manifest_bytes as size_bytes from artifacts where project_id = $1 \
            union all select b.digest, b.size_bytes \
            from artifact_blobs b join artifacts a on a.id = b.artifact_id \
            where a.project_id = $1) held group by digest";
    SUM_USAGE = "update project_usage set used_bytes = (\
            select cast(min(total(size_bytes), 9e18) as integer) from project_blobs \
            where project_id = $1) where project_id = $1"
        | "update project_usage set used_bytes = (\
            select least(coalesce(sum(size_bytes), 0), 9223372036854775807)::bigint \
            from project_blobs where project_id = $1) where project_id = $1";
    // `$1`: a JSON list of ids of artifacts.
    BYTES_ONLY_IN = "select cast(coalesce(sum(size_bytes), 0) as bigint) from (\
            select digest, max(size_bytes) as size_bytes from artifact_blobs b \
            where artifact_id in (select value from json_each($1)) and not exists (\
                select 1 from artifact_blobs o where o.digest = b.digest \
                and o.artifact_id not in (select value from json_each($1))) group by digest) own"
        | "select cast(coalesce(sum(size_bytes), 0) as bigint) from (\
            select digest, max(size_bytes) as size_bytes from artifact_blobs b \
            where artifact_id in (\
                select value::bigint from jsonb_array_elements_text($1::jsonb)) \
            and not exists (\
                select 1 from artifact_blobs o where o.digest = b.digest \
                and o.artifact_id not in (\
                    select value::bigint from jsonb_array_elements_text($1::jsonb))) \
            group by digest) own";
    PROJECTS = "select id from projects where deleted_ms is null and ($1 = '' or name = $1)";
}

store::row! {
    /// A blob or manifest of a project, after its holders have changed.
    pub(in crate::inventory) Held { digest: String, size_bytes: i64, holders: i64 }
}

store::row! {
    /// `held` is a JSON object: sizes by digest.
    pub(in crate::inventory) UsageRow { used_bytes: i64, held: String }
}

/// `artifacts`: a JSON list of ids.
pub(in crate::inventory) async fn bytes_only_in(
    db: &Db,
    artifacts: &str,
) -> Result<i64, store::Error> {
    Ok(read!(db, |pool, sql = BYTES_ONLY_IN| sqlx::query_scalar(
        sql
    )
    .bind(artifacts)
    .fetch_one(pool)
    .await)?)
}

/// A statement about one project that gives nothing back.
async fn change(tx: &mut Tx, sql: store::Sql, project: ProjectId) -> Result<(), store::Error> {
    Ok(run!(tx, |connection, sql = sql| sqlx::query(sql)
        .bind(project.0)
        .execute(connection)
        .await
        .map(drop))?)
}

/// Waits for other changes of the project's usage; holds until the transaction ends.
pub(in crate::inventory) async fn lock(
    tx: &mut Tx,
    project: ProjectId,
) -> Result<(), store::Error> {
    change(tx, LOCK_USAGE, project).await
}

/// `held`: a JSON list of `{digest, size, holders}`, each digest once.
pub(in crate::inventory) async fn add_holders(
    tx: &mut Tx,
    project: ProjectId,
    held: &str,
) -> Result<Vec<Held>, store::Error> {
    Ok(run!(tx, |connection, sql = ADD_HOLDERS| sqlx::query_as(sql)
        .bind(project.0)
        .bind(held)
        .fetch_all(connection)
        .await)?)
}

/// Of the artifacts in the JSON list of ids, while they are still there.
pub(in crate::inventory) async fn remove_holders(
    tx: &mut Tx,
    project: ProjectId,
    artifacts: &[ArtifactId],
) -> Result<Vec<Held>, store::Error> {
    let artifacts = json!(artifacts).to_string();
    Ok(
        run!(tx, |connection, sql = REMOVE_HOLDERS| sqlx::query_as(sql)
            .bind(project.0)
            .bind(&artifacts)
            .fetch_all(connection)
            .await)?,
    )
}

pub(in crate::inventory) async fn drop_blobs(
    tx: &mut Tx,
    project: ProjectId,
    digests: &[&str],
) -> Result<(), store::Error> {
    let digests = json!(digests).to_string();
    Ok(run!(tx, |connection, sql = DROP_BLOBS| sqlx::query(sql)
        .bind(project.0)
        .bind(&digests)
        .execute(connection)
        .await
        .map(drop))?)
}

pub(in crate::inventory) async fn change_usage(
    tx: &mut Tx,
    project: ProjectId,
    bytes: i64,
) -> Result<(), store::Error> {
    Ok(run!(tx, |connection, sql = CHANGE_USAGE| sqlx::query(sql)
        .bind(project.0)
        .bind(bytes)
        .execute(connection)
        .await
        .map(drop))?)
}

/// The usage, and which of these digests it holds with which sizes, at one moment.
pub(in crate::inventory) async fn usage(
    db: &Db,
    project: ProjectId,
    digests: &[&Digest],
) -> Result<UsageRow, store::Error> {
    let digests = json!(digests).to_string();
    Ok(read!(db, |pool, sql = USAGE| sqlx::query_as(sql)
        .bind(project.0)
        .bind(&digests)
        .fetch_one(pool)
        .await)?)
}

pub(in crate::inventory) async fn stored_bytes(db: &Db) -> Result<i64, store::Error> {
    Ok(read!(db, |pool, sql = STORED| sqlx::query_scalar(sql)
        .fetch_one(pool)
        .await)?)
}

/// Whether what is kept differs from what the artifacts say.
pub(in crate::inventory) async fn has_drifted(
    db: &Db,
    project: ProjectId,
) -> Result<bool, store::Error> {
    Ok(read!(db, |pool, sql = HAS_DRIFTED| sqlx::query_scalar(sql)
        .bind(project.0)
        .fetch_one(pool)
        .await)?)
}

/// Counts anew; the project's usage is locked.
pub(in crate::inventory) async fn count_again(
    tx: &mut Tx,
    project: ProjectId,
) -> Result<(), store::Error> {
    for statement in [FORGET_BLOBS, COUNT_BLOBS, SUM_USAGE] {
        change(tx, statement, project).await?;
    }
    Ok(())
}

/// The project of this name; all of them when it is empty.
pub(in crate::inventory) async fn projects(
    db: &Db,
    name: &str,
) -> Result<Vec<ProjectId>, store::Error> {
    Ok(read!(db, |pool, sql = PROJECTS| sqlx::query_scalar(sql)
        .bind(name)
        .fetch_all(pool)
        .await)?)
}
