use crate::{
    clock::Timestamp,
    inventory::{ArtifactId, Label, LabelId, LabelOf, NewLabel},
    oci::{Digest, RepositoryName},
    store::{self, Db, Field, Selection, read, sqls, write},
};

sqls! {
    LABEL = "select id, name, description, color, scope, project_id, created_ms, updated_ms \
        from labels where id = $1";
    INSERT = "insert into labels (name, description, color, scope, project_id, created_ms, \
        updated_ms) values ($1, $2, $3, $4, $5, $6, $6) returning id";
    UPDATE = "update labels set name = $2, description = $3, color = $4, updated_ms = $5 \
        where id = $1";
    DELETE = "delete from labels where id = $1";
    ATTACH = "insert into artifact_labels (artifact_id, label_id) values ($1, $2)";
    DETACH = "delete from artifact_labels where artifact_id = $1 and label_id = $2";
    LABELS_OF = "select o.artifact_id, l.id, l.name, l.description, l.color, l.scope, \
            l.project_id, l.created_ms, l.updated_ms \
            from artifact_labels o join labels l on l.id = o.label_id \
            where o.artifact_id in (select value from json_each($1)) order by l.id"
        | "select o.artifact_id, l.id, l.name, l.description, l.color, l.scope, \
            l.project_id, l.created_ms, l.updated_ms \
            from artifact_labels o join labels l on l.id = o.label_id \
            where o.artifact_id in (select value::bigint \
            from jsonb_array_elements_text($1::jsonb)) order by l.id";
    NAMES = "with recursive bearers (id, repository_id, subject_digest) as ( \
            select a.id, a.repository_id, a.subject_digest from artifacts a \
            join repositories r on r.id = a.repository_id where r.name = $1 and a.digest = $2 \
            union select a.id, a.repository_id, a.subject_digest from bearers b \
            join artifacts a on a.repository_id = b.repository_id and a.digest = b.subject_digest) \
        select distinct l.name from bearers b join artifact_labels o on o.artifact_id = b.id \
            join labels l on l.id = o.label_id";
    BY_TAG = "select t.name, l.name from repositories r join tags t on t.repository_id = r.id \
        join artifact_labels o on o.artifact_id = t.artifact_id \
        join labels l on l.id = o.label_id where r.name = $1";
}

/// Of the scope `$1` and the project `$2`.
pub(in crate::inventory) const LABELS: Selection = Selection {
    columns: "id, name, description, color, scope, project_id, created_ms, updated_ms",
    from: "labels",
    condition: "scope = $1 and project_id = $2",
    fields: &[
        Field::integer("id", "id"),
        Field::text("name", "name"),
        Field::text("description", "description"),
        Field::text("color", "color"),
        Field::time("creation_time", "created_ms"),
        Field::time("update_time", "updated_ms"),
    ],
    key: "id",
};

pub(in crate::inventory) async fn label(
    db: &Db,
    id: LabelId,
) -> Result<Option<Label>, store::Error> {
    Ok(read!(db, |pool, sql = LABEL| sqlx::query_as(sql)
        .bind(id.0)
        .fetch_optional(pool)
        .await)?)
}

pub(in crate::inventory) async fn insert(
    db: &Db,
    label: &NewLabel,
    now: Timestamp,
) -> Result<LabelId, store::Error> {
    let (scope, project) = label.scope.columns();
    Ok(write!(db, |pool, sql = INSERT| sqlx::query_scalar(sql)
        .bind(&label.name)
        .bind(&label.description)
        .bind(&label.color)
        .bind(scope)
        .bind(project)
        .bind(now.millis())
        .fetch_one(pool)
        .await)?)
}

pub(in crate::inventory) async fn update(
    db: &Db,
    label: &Label,
    now: Timestamp,
) -> Result<(), store::Error> {
    Ok(write!(db, |pool, sql = UPDATE| sqlx::query(sql)
        .bind(label.id.0)
        .bind(&label.name)
        .bind(&label.description)
        .bind(&label.color)
        .bind(now.millis())
        .execute(pool)
        .await
        .map(drop))?)
}

pub(in crate::inventory) async fn delete(db: &Db, id: LabelId) -> Result<(), store::Error> {
    Ok(write!(db, |pool, sql = DELETE| sqlx::query(sql)
        .bind(id.0)
        .execute(pool)
        .await
        .map(drop))?)
}

pub(in crate::inventory) async fn attach(
    db: &Db,
    artifact: ArtifactId,
    label: LabelId,
) -> Result<(), store::Error> {
    Ok(write!(db, |pool, sql = ATTACH| sqlx::query(sql)
        .bind(artifact.0)
        .bind(label.0)
        .execute(pool)
        .await
        .map(drop))?)
}

/// How many rows went.
pub(in crate::inventory) async fn detach(
    db: &Db,
    artifact: ArtifactId,
    label: LabelId,
) -> Result<u64, store::Error> {
    Ok(write!(db, |pool, sql = DETACH| sqlx::query(sql)
        .bind(artifact.0)
        .bind(label.0)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?)
}

/// `artifacts`: a JSON list of ids.
pub(in crate::inventory) async fn labels_of(
    db: &Db,
    artifacts: &str,
) -> Result<Vec<LabelOf>, store::Error> {
    Ok(read!(db, |pool, sql = LABELS_OF| sqlx::query_as(sql)
        .bind(artifacts)
        .fetch_all(pool)
        .await)?)
}

pub(in crate::inventory) async fn names(
    db: &Db,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Vec<String>, store::Error> {
    Ok(read!(db, |pool, sql = NAMES| sqlx::query_scalar(sql)
        .bind(repository.as_str())
        .bind(digest.as_str())
        .fetch_all(pool)
        .await)?)
}

/// Tags and the names of labels.
pub(in crate::inventory) async fn by_tag(
    db: &Db,
    repository: &RepositoryName,
) -> Result<Vec<(String, String)>, store::Error> {
    Ok(read!(db, |pool, sql = BY_TAG| sqlx::query_as(sql)
        .bind(repository.as_str())
        .fetch_all(pool)
        .await)?)
}
