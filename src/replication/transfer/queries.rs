//! Where registries were last seen to hold blobs: hints for mounting, never trusted.

use crate::{
    clock::Timestamp,
    oci::{Digest, RepositoryName},
    replication::RegistryId,
    store::{Db, Error, read, run, sqls},
};

sqls! {
    BLOB_ELSEWHERE = "select repository from replication_blobs \
        where registry_id = $1 and digest = $2 and repository <> $3 \
        order by seen_ms desc limit 1";
    BLOB_SEEN = "insert into replication_blobs (registry_id, digest, repository, seen_ms) \
        select id, $2, $3, $4 from registries where id = $1 \
        on conflict (registry_id, digest, repository) do update set seen_ms = excluded.seen_ms";
}

/// Another repository of the registry that should hold the blob.
pub(super) async fn elsewhere(
    db: &Db,
    registry: RegistryId,
    digest: &Digest,
    not: &RepositoryName,
) -> Result<Option<String>, Error> {
    Ok(read!(db, |pool, sql = BLOB_ELSEWHERE| {
        sqlx::query_scalar(sql)
            .bind(registry.0)
            .bind(digest.as_str())
            .bind(not.as_str())
            .fetch_optional(pool)
            .await?
    }))
}

/// Remembers that the registry's repository holds the blobs.
pub(super) async fn seen(
    db: &Db,
    registry: RegistryId,
    repository: &RepositoryName,
    digests: &[Digest],
    now: Timestamp,
) -> Result<(), Error> {
    let mut tx = db.begin().await?;
    for digest in digests {
        run!(&mut tx, |connection, sql = BLOB_SEEN| {
            sqlx::query(sql)
                .bind(registry.0)
                .bind(digest.as_str())
                .bind(repository.as_str())
                .bind(now.millis())
                .execute(connection)
                .await
                .map(drop)?;
        });
    }
    tx.commit().await
}
