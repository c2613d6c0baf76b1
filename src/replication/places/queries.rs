use super::{Belief, Place};
use crate::{
    clock::Timestamp,
    oci::{Digest, Reference},
    replication::RegistryId,
    store::{Db, Error, Tx, read, row, run, sqls, write},
};

sqls! {
    BLOBS_KNOWN = "select digest from replication_blobs \
        where registry_id = $1 and repository = $2 \
        and digest in (select value from json_each($3))"
        | "select digest from replication_blobs \
        where registry_id = $1 and repository = $2 \
        and digest in (select json_array_elements_text($3::json))";
    BLOB_ELSEWHERE = "select repository from replication_blobs \
        where registry_id = $1 and digest = $2 and repository <> $3 \
        order by seen_ms desc limit 1";
    BLOBS_SEEN = "insert into replication_blobs (registry_id, digest, repository, seen_ms) \
        select registries.id, wanted.value, $2, $4 from registries, json_each($3) wanted \
        where registries.id = $1 \
        on conflict (registry_id, digest, repository) do update set seen_ms = excluded.seen_ms"
        | "insert into replication_blobs (registry_id, digest, repository, seen_ms) \
        select registries.id, wanted.value, $2, $4 \
        from registries, json_array_elements_text($3::json) wanted (value) \
        where registries.id = $1 \
        on conflict (registry_id, digest, repository) do update set seen_ms = excluded.seen_ms";
    BLOB_FORGET = "delete from replication_blobs \
        where registry_id = $1 and repository = $2 and digest = $3";
    BLOBS_SWEEP = "delete from replication_blobs where seen_ms < $1";
    BLOBS_FORGET = "delete from replication_blobs where registry_id = $1 and repository = $2";
    REFERENCES_FORGET = "delete from replication_references \
        where registry_id = $1 and repository = $2";
    REFERENCE_FORGET = "delete from replication_references \
        where registry_id = $1 and repository = $2 and (reference = $3 or digest = $3)";
    REFERENCE = "select digest, revision from replication_references \
        where registry_id = $1 and repository = $2 and reference = $3";
    REFERENCE_DOUBT = "insert into replication_references \
        (registry_id, repository, reference, digest, revision) \
        select id, $2, $3, null, $4 from registries where id = $1 \
        on conflict (registry_id, repository, reference) do update \
        set digest = null, revision = replication_references.revision + 1 \
        returning revision";
    REFERENCE_SETTLE = "update replication_references \
        set digest = case when revision = $4 then $5 end, revision = revision + 1 \
        where registry_id = $1 and repository = $2 and reference = $3";
    REGISTRY_BLOBS_FORGET = "delete from replication_blobs where registry_id = $1";
    REGISTRY_REFERENCES_FORGET = "delete from replication_references where registry_id = $1";
}

row! {
    /// What is believed of a reference.
    pub(super) ReferenceRow { digest: Option<String>, revision: i64 }
}

impl From<ReferenceRow> for Belief {
    fn from(row: ReferenceRow) -> Self {
        let revision = row.revision;
        match row.digest.and_then(|digest| digest.parse().ok()) {
            Some(digest) => Self::Held { digest, revision },
            None => Self::Doubted { revision },
        }
    }
}

/// Those of the digests whose blobs are there.
pub(super) async fn known(
    db: &Db,
    place: Place<'_>,
    digests: &[&Digest],
) -> Result<Vec<String>, Error> {
    Ok(read!(db, |pool, sql = BLOBS_KNOWN| {
        sqlx::query_scalar(sql)
            .bind(place.registry.0)
            .bind(place.repository.as_str())
            .bind(json(digests))
            .fetch_all(pool)
            .await?
    }))
}

pub(super) async fn elsewhere(
    db: &Db,
    place: Place<'_>,
    digest: &Digest,
) -> Result<Option<String>, Error> {
    Ok(read!(db, |pool, sql = BLOB_ELSEWHERE| {
        sqlx::query_scalar(sql)
            .bind(place.registry.0)
            .bind(digest.as_str())
            .bind(place.repository.as_str())
            .fetch_optional(pool)
            .await?
    }))
}

pub(super) async fn seen(
    db: &Db,
    place: Place<'_>,
    digests: &[&Digest],
    now: Timestamp,
) -> Result<(), Error> {
    write!(db, |pool, sql = BLOBS_SEEN| {
        sqlx::query(sql)
            .bind(place.registry.0)
            .bind(place.repository.as_str())
            .bind(json(digests))
            .bind(now.millis())
            .execute(pool)
            .await
            .map(drop)?;
    });
    Ok(())
}

pub(super) async fn sweep(db: &Db, before: Timestamp) -> Result<(), Error> {
    write!(db, |pool, sql = BLOBS_SWEEP| {
        sqlx::query(sql)
            .bind(before.millis())
            .execute(pool)
            .await
            .map(drop)?;
    });
    Ok(())
}

pub(super) async fn forget_blob(db: &Db, place: Place<'_>, digest: &Digest) -> Result<(), Error> {
    write!(db, |pool, sql = BLOB_FORGET| {
        sqlx::query(sql)
            .bind(place.registry.0)
            .bind(place.repository.as_str())
            .bind(digest.as_str())
            .execute(pool)
            .await
            .map(drop)?;
    });
    Ok(())
}

pub(super) async fn forget_repository(db: &Db, place: Place<'_>) -> Result<(), Error> {
    let mut tx = db.begin().await?;
    for statement in [BLOBS_FORGET, REFERENCES_FORGET] {
        run!(&mut tx, |connection, sql = statement| {
            sqlx::query(sql)
                .bind(place.registry.0)
                .bind(place.repository.as_str())
                .execute(connection)
                .await
                .map(drop)?;
        });
    }
    tx.commit().await
}

pub(in crate::replication) async fn forget_registry(
    tx: &mut Tx,
    registry: RegistryId,
) -> Result<(), Error> {
    for statement in [REGISTRY_BLOBS_FORGET, REGISTRY_REFERENCES_FORGET] {
        run!(tx, |connection, sql = statement| {
            let query = sqlx::query(sql).bind(registry.0);
            query.execute(connection).await.map(drop)?;
        });
    }
    Ok(())
}

pub(super) async fn reference(
    db: &Db,
    place: Place<'_>,
    reference: &Reference,
) -> Result<Option<ReferenceRow>, Error> {
    Ok(read!(db, |pool, sql = REFERENCE| {
        sqlx::query_as(sql)
            .bind(place.registry.0)
            .bind(place.repository.as_str())
            .bind(reference.as_str())
            .fetch_optional(pool)
            .await?
    }))
}

/// The revision of the doubt; `None` where nothing is kept of the registry.
pub(super) async fn doubt(
    tx: &mut Tx,
    place: Place<'_>,
    reference: &str,
    now: Timestamp,
) -> Result<Option<i64>, Error> {
    Ok(run!(tx, |connection, sql = REFERENCE_DOUBT| {
        sqlx::query_scalar(sql)
            .bind(place.registry.0)
            .bind(place.repository.as_str())
            .bind(reference)
            .bind(now.millis())
            .fetch_optional(connection)
            .await?
    }))
}

pub(super) async fn settle(
    db: &Db,
    place: Place<'_>,
    reference: &Reference,
    (revision, digest): (i64, &Digest),
) -> Result<(), Error> {
    write!(db, |pool, sql = REFERENCE_SETTLE| {
        sqlx::query(sql)
            .bind(place.registry.0)
            .bind(place.repository.as_str())
            .bind(reference.as_str())
            .bind(revision)
            .bind(digest.as_str())
            .execute(pool)
            .await
            .map(drop)?;
    });
    Ok(())
}

/// `reference` itself, and every tag that is known to point to it.
pub(super) async fn forget_reference(
    db: &Db,
    place: Place<'_>,
    reference: &Reference,
) -> Result<(), Error> {
    write!(db, |pool, sql = REFERENCE_FORGET| {
        sqlx::query(sql)
            .bind(place.registry.0)
            .bind(place.repository.as_str())
            .bind(reference.as_str())
            .execute(pool)
            .await
            .map(drop)?;
    });
    Ok(())
}

/// In one order, so that two who write the same rows do not wait for each other in a circle.
fn json(digests: &[&Digest]) -> String {
    let mut texts: Vec<&str> = digests.iter().map(|digest| digest.as_str()).collect();
    texts.sort_unstable();
    texts.dedup();
    serde_json::Value::from(texts).to_string()
}
