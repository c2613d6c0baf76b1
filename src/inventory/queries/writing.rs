use crate::{
    auth::ProjectId,
    clock::Timestamp,
    inventory::{ArtifactId, RepositoryId},
    oci::{Digest, RepositoryName, Tag},
    store::{self, Tx, run, sqls},
};

sqls! {
    // Touches the row first of all: changes of one repository wait for each other here.
    PUT_REPOSITORY = "insert into repositories (project_id, name, created_ms, updated_ms) \
        select id, $1, $3, $3 from projects where name = $2 and deleted_ms is null \
        on conflict (name) do update set project_id = excluded.project_id, \
            updated_ms = excluded.updated_ms \
        returning id, project_id";
    LOCK_REPOSITORY = "update repositories set updated_ms = $2 where name = $1 returning id";
    DELETE_REPOSITORY = "delete from repositories where id = $1";
    INSERT_ARTIFACT = "insert into artifacts (project_id, repository_id, digest, kind, \
            media_type, config_media_type, artifact_type, config_digest, size_bytes, \
            annotations, subject_digest, accessory_type, manifest_bytes, listed, pushed_ms) \
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, false, $14) \
        on conflict (repository_id, digest) do nothing returning id, project_id";
    ATTACH_ARTIFACT = "update artifacts set subject_digest = coalesce($3, subject_digest), \
            accessory_type = coalesce($4, accessory_type), pushed_again_ms = $5 \
        where repository_id = $1 and digest = $2 returning id, project_id";
    ARTIFACT = "select id, project_id from artifacts where repository_id = $1 and digest = $2";
    ARTIFACTS = "select id, project_id from artifacts where repository_id = $1";
    PUT_BLOBS = "insert into artifact_blobs (artifact_id, digest, size_bytes) \
            select $1, value ->> 'digest', value ->> 'size' from json_each($2) where true \
            on conflict (artifact_id, digest) do nothing returning digest, size_bytes"
        | "insert into artifact_blobs (artifact_id, digest, size_bytes) \
            select $1, item ->> 'digest', (item ->> 'size')::bigint \
            from jsonb_array_elements($2::jsonb) item \
            on conflict (artifact_id, digest) do nothing returning digest, size_bytes";
    PUT_REFERENCES = "insert into artifact_references \
            (parent_id, position, child_digest, platform, annotations, urls) \
            select $1, key, value ->> 'digest', value ->> 'platform', value ->> 'annotations', \
                value ->> 'urls' from json_each($2) where true \
            on conflict (parent_id, position) do nothing"
        | "insert into artifact_references \
            (parent_id, position, child_digest, platform, annotations, urls) \
            select $1, position - 1, item ->> 'digest', item ->> 'platform', \
                item ->> 'annotations', item ->> 'urls' \
            from jsonb_array_elements($2::jsonb) with ordinality as listed (item, position) \
            on conflict (parent_id, position) do nothing";
    TAGGED = "select a.digest from tags t join artifacts a on a.id = t.artifact_id \
        where t.repository_id = $1 and t.name = $2";
    PUT_TAG = "insert into tags (repository_id, artifact_id, name, pushed_ms) \
        values ($1, $2, $3, $4) on conflict (repository_id, name) do update set \
            artifact_id = excluded.artifact_id, pushed_ms = excluded.pushed_ms";
    DELETE_TAG = "delete from tags where repository_id = $1 and name = $2";
    CHILDREN = "select r.child_digest from artifact_references r join artifacts a \
        on a.id = r.parent_id where a.repository_id = $1 and a.digest = $2";
    DELETE_ARTIFACT = "delete from artifacts where id = $1";
    // An index hides its parts unless they have tags of their own.
    LIST_AGAIN = "update artifacts set listed = accessory_type is null and (\
            exists (select 1 from tags t where t.artifact_id = artifacts.id) or not exists (\
                select 1 from artifact_references r join artifacts p on p.id = r.parent_id \
                where r.child_digest = artifacts.digest \
                    and p.repository_id = artifacts.repository_id)) \
            where repository_id = $1 and digest in (select value from json_each($2))"
        | "update artifacts set listed = accessory_type is null and (\
            exists (select 1 from tags t where t.artifact_id = artifacts.id) or not exists (\
                select 1 from artifact_references r join artifacts p on p.id = r.parent_id \
                where r.child_digest = artifacts.digest \
                    and p.repository_id = artifacts.repository_id)) \
            where repository_id = $1 \
                and digest in (select jsonb_array_elements_text($2::jsonb))";
    SET_EXTRA = "update artifacts set extra_attrs = $2 where id = $1";
    DESCRIBE = "update repositories set description = $2, updated_ms = $3 where id = $1";
    // A part of an index that is pulled with it counts no second time. `cross join`: SQLite is to
    // look for what was pulled, not through the repository.
    COUNT_PULLS = "update repositories set pull_count = pull_count + (\
            select coalesce(sum(pulled.value ->> 'times'), 0) from json_each($2) pulled \
            cross join artifacts a on a.digest = pulled.value ->> 'digest' \
            where a.repository_id = repositories.id and a.listed = true) \
            where name = $1 returning id"
        | "update repositories set pull_count = pull_count + (\
            select coalesce(sum((pulled ->> 'times')::bigint), 0) \
            from jsonb_array_elements($2::jsonb) pulled \
            join artifacts a on a.digest = pulled ->> 'digest' \
            where a.repository_id = repositories.id and a.listed = true) \
            where name = $1 returning id";
    NOTE_PULL = "update artifacts set pulled_ms = $3 where repository_id = $1 and digest = $2 \
        and (pulled_ms is null or pulled_ms < $3)";
    NOTE_TAG_PULL = "update tags set pulled_ms = $3 where repository_id = $1 and name = $2 \
        and (pulled_ms is null or pulled_ms < $3)";
    BEGIN_WALK = "insert into inventory_walks (scope, last_repository, started_ms) \
        values ($1, '', $2) on conflict (scope) do update set last_repository = '', \
        started_ms = excluded.started_ms, finished_ms = null";
    ADVANCE_WALK = "update inventory_walks set last_repository = $2 where scope = $1";
    FINISH_WALK = "update inventory_walks set finished_ms = $2 where scope = $1";
}

store::row! { pub(in crate::inventory) Owned { id: RepositoryId, project_id: ProjectId } }
store::row! { pub(in crate::inventory) OwnedArtifact { id: ArtifactId, project_id: ProjectId } }

/// The repository's row, made where it is missing, and its project; `None` without the project.
pub(in crate::inventory) async fn put_repository(
    tx: &mut Tx,
    name: &RepositoryName,
    now: Timestamp,
) -> Result<Option<Owned>, store::Error> {
    let row = run!(tx, |connection, sql = PUT_REPOSITORY| sqlx::query_as(sql)
        .bind(name.as_str())
        .bind(name.project())
        .bind(now.millis())
        .fetch_optional(connection)
        .await)?;
    Ok(row)
}

pub(in crate::inventory) async fn lock_repository(
    tx: &mut Tx,
    name: &RepositoryName,
    now: Timestamp,
) -> Result<Option<RepositoryId>, store::Error> {
    let id: Option<RepositoryId> = run!(tx, |connection, sql = LOCK_REPOSITORY| sqlx::query_scalar(
            sql
        )
        .bind(name.as_str())
        .bind(now.millis())
        .fetch_optional(connection)
        .await)?;
    Ok(id)
}

pub(in crate::inventory) async fn delete_repository(
    tx: &mut Tx,
    id: RepositoryId,
) -> Result<(), store::Error> {
    Ok(
        run!(tx, |connection, sql = DELETE_REPOSITORY| sqlx::query(sql)
            .bind(id.0)
            .execute(connection)
            .await
            .map(drop))?,
    )
}

/// A row of `artifacts` to write.
#[derive(Debug)]
pub(in crate::inventory) struct ArtifactRow<'a> {
    pub digest: &'a Digest,
    pub kind: String,
    pub media_type: String,
    pub config_media_type: String,
    pub artifact_type: String,
    pub config_digest: Option<&'a Digest>,
    pub size_bytes: i64,
    pub annotations: String,
    pub subject: Option<Digest>,
    pub accessory_type: Option<&'static str>,
    pub manifest_bytes: i64,
}

/// The new artifact; `None` when it is there already.
pub(in crate::inventory) async fn insert_artifact(
    tx: &mut Tx,
    repository: &Owned,
    row: &ArtifactRow<'_>,
    now: Timestamp,
) -> Result<Option<OwnedArtifact>, store::Error> {
    let inserted = run!(tx, |connection, sql = INSERT_ARTIFACT| sqlx::query_as(sql)
        .bind(repository.project_id.0)
        .bind(repository.id.0)
        .bind(row.digest.as_str())
        .bind(&row.kind)
        .bind(&row.media_type)
        .bind(&row.config_media_type)
        .bind(&row.artifact_type)
        .bind(row.config_digest.map(Digest::as_str))
        .bind(row.size_bytes)
        .bind(&row.annotations)
        .bind(row.subject.as_ref().map(Digest::as_str))
        .bind(row.accessory_type)
        .bind(row.manifest_bytes)
        .bind(now.millis())
        .fetch_optional(connection)
        .await)?;
    Ok(inserted)
}

/// The artifact that is there, pushed again; attached to what the row says if it says so.
pub(in crate::inventory) async fn attach_artifact(
    tx: &mut Tx,
    repository: RepositoryId,
    row: &ArtifactRow<'_>,
    now: Timestamp,
) -> Result<OwnedArtifact, store::Error> {
    Ok(
        run!(tx, |connection, sql = ATTACH_ARTIFACT| sqlx::query_as(sql)
            .bind(repository.0)
            .bind(row.digest.as_str())
            .bind(row.subject.as_ref().map(Digest::as_str))
            .bind(row.accessory_type)
            .bind(now.millis())
            .fetch_one(connection)
            .await)?,
    )
}

pub(in crate::inventory) async fn artifact(
    tx: &mut Tx,
    repository: RepositoryId,
    digest: &Digest,
) -> Result<Option<OwnedArtifact>, store::Error> {
    Ok(run!(tx, |connection, sql = ARTIFACT| sqlx::query_as(sql)
        .bind(repository.0)
        .bind(digest.as_str())
        .fetch_optional(connection)
        .await)?)
}

pub(in crate::inventory) async fn artifacts(
    tx: &mut Tx,
    repository: RepositoryId,
) -> Result<Vec<OwnedArtifact>, store::Error> {
    Ok(run!(tx, |connection, sql = ARTIFACTS| sqlx::query_as(sql)
        .bind(repository.0)
        .fetch_all(connection)
        .await)?)
}

/// `blobs`: a JSON list of `{digest, size}`. Those that the artifact did not have.
pub(in crate::inventory) async fn put_blobs(
    tx: &mut Tx,
    artifact: ArtifactId,
    blobs: &str,
) -> Result<Vec<(String, i64)>, store::Error> {
    Ok(run!(tx, |connection, sql = PUT_BLOBS| sqlx::query_as(sql)
        .bind(artifact.0)
        .bind(blobs)
        .fetch_all(connection)
        .await)?)
}

/// `references`: a JSON list of `{digest, platform, annotations, urls}`.
pub(in crate::inventory) async fn put_references(
    tx: &mut Tx,
    artifact: ArtifactId,
    references: &str,
) -> Result<(), store::Error> {
    Ok(run!(tx, |connection, sql = PUT_REFERENCES| sqlx::query(
        sql
    )
    .bind(artifact.0)
    .bind(references)
    .execute(connection)
    .await
    .map(drop))?)
}

/// What a tag points to.
pub(in crate::inventory) async fn tagged(
    tx: &mut Tx,
    repository: RepositoryId,
    tag: &Tag,
) -> Result<Option<String>, store::Error> {
    Ok(run!(tx, |connection, sql = TAGGED| sqlx::query_scalar(sql)
        .bind(repository.0)
        .bind(tag.as_str())
        .fetch_optional(connection)
        .await)?)
}

pub(in crate::inventory) async fn put_tag(
    tx: &mut Tx,
    repository: RepositoryId,
    (tag, artifact): (&Tag, ArtifactId),
    now: Timestamp,
) -> Result<(), store::Error> {
    Ok(run!(tx, |connection, sql = PUT_TAG| sqlx::query(sql)
        .bind(repository.0)
        .bind(artifact.0)
        .bind(tag.as_str())
        .bind(now.millis())
        .execute(connection)
        .await
        .map(drop))?)
}

pub(in crate::inventory) async fn delete_tag(
    tx: &mut Tx,
    repository: RepositoryId,
    tag: &Tag,
) -> Result<(), store::Error> {
    Ok(run!(tx, |connection, sql = DELETE_TAG| sqlx::query(sql)
        .bind(repository.0)
        .bind(tag.as_str())
        .execute(connection)
        .await
        .map(drop))?)
}

pub(in crate::inventory) async fn children(
    tx: &mut Tx,
    repository: RepositoryId,
    digest: &Digest,
) -> Result<Vec<String>, store::Error> {
    Ok(
        run!(tx, |connection, sql = CHILDREN| sqlx::query_scalar(sql)
            .bind(repository.0)
            .bind(digest.as_str())
            .fetch_all(connection)
            .await)?,
    )
}

pub(in crate::inventory) async fn delete_artifact(
    tx: &mut Tx,
    artifact: ArtifactId,
) -> Result<(), store::Error> {
    Ok(run!(tx, |connection, sql = DELETE_ARTIFACT| sqlx::query(
        sql
    )
    .bind(artifact.0)
    .execute(connection)
    .await
    .map(drop))?)
}

/// Decides anew which of these lists show; `digests` is a JSON list.
pub(in crate::inventory) async fn list_again(
    tx: &mut Tx,
    repository: RepositoryId,
    digests: &str,
) -> Result<(), store::Error> {
    Ok(run!(tx, |connection, sql = LIST_AGAIN| sqlx::query(sql)
        .bind(repository.0)
        .bind(digests)
        .execute(connection)
        .await
        .map(drop))?)
}

pub(in crate::inventory) async fn set_extra(
    db: &store::Db,
    artifact: ArtifactId,
    json: &str,
) -> Result<(), store::Error> {
    Ok(store::write!(db, |pool, sql = SET_EXTRA| sqlx::query(sql)
        .bind(artifact.0)
        .bind(json)
        .execute(pool)
        .await
        .map(drop))?)
}

pub(in crate::inventory) async fn describe(
    db: &store::Db,
    repository: RepositoryId,
    description: &str,
    now: Timestamp,
) -> Result<(), store::Error> {
    Ok(store::write!(db, |pool, sql = DESCRIBE| sqlx::query(sql)
        .bind(repository.0)
        .bind(description)
        .bind(now.millis())
        .execute(pool)
        .await
        .map(drop))?)
}

/// `pulls`: a JSON list of `{digest, times}`. The repository's id, if it is known.
pub(in crate::inventory) async fn count_pulls(
    tx: &mut Tx,
    name: &RepositoryName,
    pulls: &str,
) -> Result<Option<RepositoryId>, store::Error> {
    Ok(
        run!(tx, |connection, sql = COUNT_PULLS| sqlx::query_scalar(sql)
            .bind(name.as_str())
            .bind(pulls)
            .fetch_optional(connection)
            .await)?,
    )
}

pub(in crate::inventory) async fn note_pull(
    tx: &mut Tx,
    repository: RepositoryId,
    digest: &Digest,
    at: Timestamp,
) -> Result<(), store::Error> {
    Ok(run!(tx, |connection, sql = NOTE_PULL| sqlx::query(sql)
        .bind(repository.0)
        .bind(digest.as_str())
        .bind(at.millis())
        .execute(connection)
        .await
        .map(drop))?)
}

pub(in crate::inventory) async fn note_tag_pull(
    tx: &mut Tx,
    repository: RepositoryId,
    tag: &Tag,
    at: Timestamp,
) -> Result<(), store::Error> {
    Ok(run!(tx, |connection, sql = NOTE_TAG_PULL| sqlx::query(sql)
        .bind(repository.0)
        .bind(tag.as_str())
        .bind(at.millis())
        .execute(connection)
        .await
        .map(drop))?)
}

pub(in crate::inventory) async fn begin_walk(
    db: &store::Db,
    scope: &str,
    now: Timestamp,
) -> Result<(), store::Error> {
    Ok(store::write!(db, |pool, sql = BEGIN_WALK| sqlx::query(sql)
        .bind(scope)
        .bind(now.millis())
        .execute(pool)
        .await
        .map(drop))?)
}

pub(in crate::inventory) async fn advance_walk(
    db: &store::Db,
    scope: &str,
    last: &RepositoryName,
) -> Result<(), store::Error> {
    Ok(
        store::write!(db, |pool, sql = ADVANCE_WALK| sqlx::query(sql)
            .bind(scope)
            .bind(last.as_str())
            .execute(pool)
            .await
            .map(drop))?,
    )
}

pub(in crate::inventory) async fn finish_walk(
    db: &store::Db,
    scope: &str,
    now: Timestamp,
) -> Result<(), store::Error> {
    Ok(store::write!(db, |pool, sql = FINISH_WALK| sqlx::query(sql)
        .bind(scope)
        .bind(now.millis())
        .execute(pool)
        .await
        .map(drop))?)
}
