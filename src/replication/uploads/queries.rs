use crate::{
    clock::Timestamp,
    jobs::JobId,
    oci::Digest,
    replication::{RegistryId, places::Place},
    store::{Db, Error, Tx, read, row, run, sqls, write},
};

sqls! {
    UPLOAD_REMEMBER = "insert into replication_uploads (job_id, digest, registry_id, repository, \
        location, offset_bytes, min_chunk_bytes, saved_ms) \
        select $1, $2, id, $4, $5, $6, $7, $8 from registries where id = $3 \
        on conflict (job_id, digest) do update set registry_id = excluded.registry_id, \
        repository = excluded.repository, location = excluded.location, \
        offset_bytes = excluded.offset_bytes, min_chunk_bytes = excluded.min_chunk_bytes, \
        saved_ms = excluded.saved_ms";
    UPLOAD_RECALL = "select location, offset_bytes, min_chunk_bytes from replication_uploads \
        where job_id = $1 and digest = $2 and registry_id = $3 and repository = $4";
    UPLOAD_FORGET = "delete from replication_uploads where job_id = $1 and digest = $2";
    UPLOADS_FORGET = "delete from replication_uploads where registry_id = $1";
    UPLOADS_ORPHANED = "select u.job_id, u.digest, u.registry_id, u.repository, u.location, \
        u.offset_bytes, u.min_chunk_bytes from replication_uploads u \
        left join jobs j on j.id = u.job_id \
        where u.saved_ms < $1 or j.id is null or j.state in ('done', 'stopped') \
        order by u.saved_ms limit 1000";
}

row! {
    /// An upload under way.
    pub(super) UploadRow {
        location: Vec<u8>,
        offset_bytes: i64,
        min_chunk_bytes: Option<i64>,
    }
}

row! {
    /// An upload under way, and whose.
    pub(super) OrphanRow {
        job_id: i64,
        digest: String,
        registry_id: i64,
        repository: String,
        location: Vec<u8>,
        offset_bytes: i64,
        min_chunk_bytes: Option<i64>,
    }
}

pub(super) async fn remember(
    db: &Db,
    (job, digest): (JobId, &Digest),
    place: Place<'_>,
    upload: &UploadRow,
    now: Timestamp,
) -> Result<(), Error> {
    write!(db, |pool, sql = UPLOAD_REMEMBER| {
        sqlx::query(sql)
            .bind(job.0)
            .bind(digest.as_str())
            .bind(place.registry.0)
            .bind(place.repository.as_str())
            .bind(&upload.location)
            .bind(upload.offset_bytes)
            .bind(upload.min_chunk_bytes)
            .bind(now.millis())
            .execute(pool)
            .await
            .map(drop)?;
    });
    Ok(())
}

pub(super) async fn recall(
    db: &Db,
    (job, digest): (JobId, &Digest),
    place: Place<'_>,
) -> Result<Option<UploadRow>, Error> {
    Ok(read!(db, |pool, sql = UPLOAD_RECALL| {
        sqlx::query_as(sql)
            .bind(job.0)
            .bind(digest.as_str())
            .bind(place.registry.0)
            .bind(place.repository.as_str())
            .fetch_optional(pool)
            .await?
    }))
}

pub(super) async fn forget(db: &Db, job: JobId, digest: &str) -> Result<(), Error> {
    write!(db, |pool, sql = UPLOAD_FORGET| {
        sqlx::query(sql)
            .bind(job.0)
            .bind(digest)
            .execute(pool)
            .await
            .map(drop)?;
    });
    Ok(())
}

/// Forgets all uploads to a registry, which is at another address now.
pub(in crate::replication) async fn forget_registry(
    tx: &mut Tx,
    registry: RegistryId,
) -> Result<(), Error> {
    run!(tx, |connection, sql = UPLOADS_FORGET| {
        sqlx::query(sql)
            .bind(registry.0)
            .execute(connection)
            .await
            .map(drop)?;
    });
    Ok(())
}

/// Uploads of jobs that will not run again, and those that were written down before `before`.
pub(super) async fn orphaned(db: &Db, before: Timestamp) -> Result<Vec<OrphanRow>, Error> {
    Ok(read!(db, |pool, sql = UPLOADS_ORPHANED| {
        sqlx::query_as(sql)
            .bind(before.millis())
            .fetch_all(pool)
            .await?
    }))
}
