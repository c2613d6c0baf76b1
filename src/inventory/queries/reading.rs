use crate::{
    inventory::{Artifact, ArtifactId, ChildReference, Repository, RepositoryId, Tag},
    oci::{self, Digest, RepositoryName},
    store::{self, Db, Field, Selection, read, sqls},
};

/// Of a [`Repository`].
macro_rules! repository_columns {
    () => {
        "r.id, r.project_id, r.name, r.description, r.pull_count, \
        (select count(*) from artifacts a where a.repository_id = r.id and a.listed = true) \
        as artifact_count, r.created_ms, r.updated_ms"
    };
}

/// Of an [`Artifact`].
macro_rules! artifact_columns {
    () => {
        "a.id, a.project_id, a.repository_id, \
        (select r.name from repositories r where r.id = a.repository_id) as repository_name, \
        a.digest, a.kind, a.media_type, a.config_media_type, a.artifact_type, a.config_digest, \
        a.size_bytes, a.annotations, a.extra_attrs, a.subject_digest, a.accessory_type, \
        a.pushed_ms, a.pushed_again_ms, a.pulled_ms"
    };
}

/// Of a [`Tag`].
macro_rules! tag_columns {
    () => {
        "t.id, t.repository_id, t.artifact_id, t.name, t.pushed_ms, t.pulled_ms"
    };
}

/// Of a [`ChildReference`].
macro_rules! reference_columns {
    () => {
        "r.parent_id, r.child_digest, c.id as child_id, r.platform, r.annotations, r.urls"
    };
}

sqls! {
    REPOSITORY = ("select ", repository_columns!(), " from repositories r where r.name = $1");
    REPOSITORY_COUNTS = "select project_id, count(*) as repositories from repositories \
        group by project_id";
    REPOSITORIES_OF = "select count(*) from repositories where project_id = $1";
    KNOWN = "select count(*) from artifacts a join repositories r on r.id = a.repository_id \
        where r.name = $1 and a.digest = $2";
    TAGGED_DIGEST = "select a.digest from repositories r \
        join tags t on t.repository_id = r.id join artifacts a on a.id = t.artifact_id \
        where r.name = $1 and t.name = $2";
    ARTIFACT_DIGEST = ("select ", artifact_columns!(), " \
        from repositories r join artifacts a on a.repository_id = r.id \
        where r.name = $1 and a.digest = $2");
    ARTIFACT_TAG = ("select ", artifact_columns!(), " \
        from repositories r join tags t on t.repository_id = r.id \
        join artifacts a on a.id = t.artifact_id where r.name = $1 and t.name = $2");
    TAGS_OF = ("select ", tag_columns!(), " from tags t \
            where t.artifact_id in (select value from json_each($1)) order by t.id")
        | ("select ", tag_columns!(), " from tags t \
            where t.artifact_id in (select value::bigint \
            from jsonb_array_elements_text($1::jsonb)) order by t.id");
    REFERENCES_OF = ("select ", reference_columns!(), " from artifact_references r \
            join artifacts p on p.id = r.parent_id left join artifacts c \
            on c.repository_id = p.repository_id and c.digest = r.child_digest \
            where r.parent_id in (select value from json_each($1)) and r.position < $2 \
            order by r.parent_id, r.position")
        | ("select ", reference_columns!(), " from artifact_references r \
            join artifacts p on p.id = r.parent_id left join artifacts c \
            on c.repository_id = p.repository_id and c.digest = r.child_digest \
            where r.parent_id in (select value::bigint \
            from jsonb_array_elements_text($1::jsonb)) and r.position < $2 \
            order by r.parent_id, r.position");
    ACCESSORIES_OF = ("select ", artifact_columns!(), " \
            from artifacts s join artifacts a on a.repository_id = s.repository_id \
            and a.subject_digest = s.digest \
            where s.id in (select value from json_each($1)) \
            and a.accessory_type <> $2 order by a.id")
        | ("select ", artifact_columns!(), " \
            from artifacts s join artifacts a on a.repository_id = s.repository_id \
            and a.subject_digest = s.digest \
            where s.id in (select value::bigint from jsonb_array_elements_text($1::jsonb)) \
            and a.accessory_type <> $2 order by a.id");
    PARENTS_OF = "select p.digest from artifact_references r join artifacts p \
        on p.id = r.parent_id where r.child_digest = $2 and p.repository_id = $1 order by p.id";
    // What could not be parsed has no annotations, not even none of them.
    UNREAD_IN = "select digest from artifacts where repository_id = $1 and annotations = 'null' \
        order by id limit 1";
    PARTS_IN = "select r.child_digest, p.digest from artifacts p join artifact_references r \
        on r.parent_id = p.id where p.repository_id = $1";
    KNOWN_REFERENCES = "select name from tags where repository_id = $1 \
        union all select digest from artifacts a where a.repository_id = $1 \
            and not exists (select 1 from tags t where t.artifact_id = a.id)";
    REPOSITORY_NAMES = "select name from repositories where name > $1 and name <= $2 \
        and (name = $3 or substr(name, 1, length($3) + 1) = $3 || '/' or $3 = '') order by name";
    DIGESTS_OF = "select digest from artifacts where repository_id = $1 order by id desc";
    HAS_PROJECT = "select count(*) from projects where name = $1 and deleted_ms is null";
    WALK = "select last_repository, finished_ms from inventory_walks where scope = $1";
}

store::row! { pub(in crate::inventory) Count { project_id: i64, repositories: i64 } }
store::row! { pub(in crate::inventory) Walk { last_repository: String, finished_ms: Option<i64> } }

const ARTIFACT_FIELDS: &[Field] = &[
    Field::integer("id", "a.id"),
    Field::integer("project_id", "a.project_id"),
    Field::integer("repository_id", "a.repository_id"),
    Field::text("digest", "a.digest"),
    Field::text("type", "a.kind"),
    Field::text("media_type", "a.config_media_type"),
    Field::text("manifest_media_type", "a.media_type"),
    Field::text("artifact_type", "a.artifact_type"),
    Field::integer("size", "a.size_bytes"),
    Field::time("push_time", "a.pushed_ms"),
    Field::time("pull_time", "a.pulled_ms"),
    Field::boolean(
        "tagged",
        "(exists (select 1 from tags t where t.artifact_id = a.id))",
    ),
    // The repository is named for PostgreSQL, which else reads all tags there are.
    Field::text("tags", "t.name")
        .of_any("tags t where t.artifact_id = a.id and t.repository_id = a.repository_id"),
    Field::integer("labels", "o.label_id").of_any("artifact_labels o where o.artifact_id = a.id"),
];

const fn artifacts_where(condition: &'static str) -> Selection {
    Selection {
        columns: artifact_columns!(),
        from: "artifacts a",
        condition,
        fields: ARTIFACT_FIELDS,
        key: "a.id desc",
    }
}

/// Of the repository `$1`.
pub(in crate::inventory) const REPOSITORY_ARTIFACTS: Selection =
    artifacts_where("a.repository_id = $1 and a.listed = true");
/// Of the project `$1`.
pub(in crate::inventory) const PROJECT_ARTIFACTS: Selection =
    artifacts_where("a.project_id = $1 and a.listed = true");
/// The newest of each repository of the project `$1`.
pub(in crate::inventory) const LATEST_ARTIFACTS: Selection = artifacts_where(
    "a.project_id = $1 and a.listed = true and a.id = (select max(n.id) from artifacts n \
     where n.repository_id = a.repository_id and n.listed = true)",
);
/// Of the repository `$1`, held by nothing and not used since `$2`.
pub(in crate::inventory) const LOOSE_ARTIFACTS: Selection = artifacts_where(
    "a.repository_id = $1 and a.pushed_ms < $2 and coalesce(a.pushed_again_ms, 0) < $2 \
     and coalesce(a.pulled_ms, 0) < $2 \
     and not exists (select 1 from tags t where t.artifact_id = a.id) \
     and not exists (select 1 from artifact_references r join artifacts p on p.id = r.parent_id \
        where r.child_digest = a.digest and p.repository_id = a.repository_id) \
     and not exists (select 1 from artifacts s \
        where s.repository_id = a.repository_id and s.digest = a.subject_digest)",
);
/// Attached to the digest `$2` in the repository `$1`; `$3` is no accessory.
pub(in crate::inventory) const ACCESSORIES: Selection = Selection {
    fields: &[
        Field::integer("id", "a.id"),
        Field::text("digest", "a.digest"),
        Field::text("type", "a.accessory_type"),
        Field::integer("size", "a.size_bytes"),
        Field::time("creation_time", "a.pushed_ms"),
    ],
    ..artifacts_where("a.repository_id = $1 and a.subject_digest = $2 and a.accessory_type <> $3")
};

const REPOSITORY_FIELDS: &[Field] = &[
    Field::integer("id", "r.id"),
    Field::integer("repository_id", "r.id"),
    Field::integer("project_id", "r.project_id"),
    Field::text("name", "r.name"),
    Field::text("description", "r.description"),
    Field::integer("pull_count", "r.pull_count"),
    Field::time("creation_time", "r.created_ms"),
    Field::time("update_time", "r.updated_ms"),
];

const fn repositories_where(condition: &'static str) -> Selection {
    Selection {
        columns: repository_columns!(),
        from: "repositories r",
        condition,
        fields: REPOSITORY_FIELDS,
        key: "r.id",
    }
}

pub(in crate::inventory) const ALL_REPOSITORIES: Selection = repositories_where("1 = 1");
pub(in crate::inventory) const PROJECT_REPOSITORIES: Selection =
    repositories_where("r.project_id = $1");

/// Of the artifact `$1`.
pub(in crate::inventory) const TAGS: Selection = Selection {
    columns: tag_columns!(),
    from: "tags t",
    condition: "t.artifact_id = $1",
    fields: &[
        Field::integer("id", "t.id"),
        Field::integer("repository_id", "t.repository_id"),
        Field::integer("artifact_id", "t.artifact_id"),
        Field::text("name", "t.name"),
        Field::time("push_time", "t.pushed_ms"),
        Field::time("pull_time", "t.pulled_ms"),
    ],
    key: "t.id desc",
};

pub(in crate::inventory) async fn repository(
    db: &Db,
    name: &RepositoryName,
) -> Result<Option<Repository>, store::Error> {
    Ok(read!(db, |pool, sql = REPOSITORY| sqlx::query_as(sql)
        .bind(name.as_str())
        .fetch_optional(pool)
        .await)?)
}

pub(in crate::inventory) async fn repository_counts(db: &Db) -> Result<Vec<Count>, store::Error> {
    Ok(read!(
        db,
        |pool, sql = REPOSITORY_COUNTS| sqlx::query_as(sql).fetch_all(pool).await
    )?)
}

pub(in crate::inventory) async fn repositories_of(
    db: &Db,
    project: i64,
) -> Result<i64, store::Error> {
    Ok(read!(
        db,
        |pool, sql = REPOSITORIES_OF| sqlx::query_scalar(sql)
            .bind(project)
            .fetch_one(pool)
            .await
    )?)
}

pub(in crate::inventory) async fn knows(
    db: &Db,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<bool, store::Error> {
    let found: i64 = read!(db, |pool, sql = KNOWN| sqlx::query_scalar(sql)
        .bind(repository.as_str())
        .bind(digest.as_str())
        .fetch_one(pool)
        .await)?;
    Ok(found > 0)
}

pub(in crate::inventory) async fn tagged_digest(
    db: &Db,
    repository: &RepositoryName,
    tag: &oci::Tag,
) -> Result<Option<String>, store::Error> {
    Ok(read!(db, |pool, sql = TAGGED_DIGEST| sqlx::query_scalar(
        sql
    )
    .bind(repository.as_str())
    .bind(tag.as_str())
    .fetch_optional(pool)
    .await)?)
}

pub(in crate::inventory) async fn artifact(
    db: &Db,
    repository: &RepositoryName,
    reference: &oci::Reference,
) -> Result<Option<Artifact>, store::Error> {
    let statement = match reference {
        oci::Reference::Digest(_) => ARTIFACT_DIGEST,
        oci::Reference::Tag(_) => ARTIFACT_TAG,
    };
    Ok(read!(db, |pool, sql = statement| sqlx::query_as(sql)
        .bind(repository.as_str())
        .bind(reference.as_str())
        .fetch_optional(pool)
        .await)?)
}

/// `artifacts`: a JSON list of ids, here and below.
pub(in crate::inventory) async fn tags_of(
    db: &Db,
    artifacts: &str,
) -> Result<Vec<Tag>, store::Error> {
    Ok(read!(db, |pool, sql = TAGS_OF| sqlx::query_as(sql)
        .bind(artifacts)
        .fetch_all(pool)
        .await)?)
}

/// The first `limit` of each.
pub(in crate::inventory) async fn references_of(
    db: &Db,
    artifacts: &str,
    limit: i64,
) -> Result<Vec<ChildReference>, store::Error> {
    Ok(read!(db, |pool, sql = REFERENCES_OF| sqlx::query_as(sql)
        .bind(artifacts)
        .bind(limit)
        .fetch_all(pool)
        .await)?)
}

pub(in crate::inventory) async fn accessories_of(
    db: &Db,
    artifacts: &str,
    except: &str,
) -> Result<Vec<Artifact>, store::Error> {
    Ok(read!(db, |pool, sql = ACCESSORIES_OF| sqlx::query_as(sql)
        .bind(artifacts)
        .bind(except)
        .fetch_all(pool)
        .await)?)
}

/// The digests of the indexes that list this one.
pub(in crate::inventory) async fn parents_of(
    db: &Db,
    repository: RepositoryId,
    digest: &str,
) -> Result<Vec<String>, store::Error> {
    Ok(read!(db, |pool, sql = PARENTS_OF| sqlx::query_scalar(sql)
        .bind(repository.0)
        .bind(digest)
        .fetch_all(pool)
        .await)?)
}

/// The digest of a manifest that could not be parsed.
pub(in crate::inventory) async fn unread_in(
    db: &Db,
    repository: RepositoryId,
) -> Result<Option<String>, store::Error> {
    Ok(read!(db, |pool, sql = UNREAD_IN| sqlx::query_scalar(sql)
        .bind(repository.0)
        .fetch_optional(pool)
        .await)?)
}

/// Of every part in a repository its digest and that of its index.
pub(in crate::inventory) async fn parts_in(
    db: &Db,
    repository: RepositoryId,
) -> Result<Vec<(String, String)>, store::Error> {
    Ok(read!(db, |pool, sql = PARTS_IN| sqlx::query_as(sql)
        .bind(repository.0)
        .fetch_all(pool)
        .await)?)
}

/// The newest first, so that an index comes before its parts.
pub(in crate::inventory) async fn digests_of(
    db: &Db,
    repository: RepositoryId,
) -> Result<Vec<String>, store::Error> {
    Ok(read!(db, |pool, sql = DIGESTS_OF| sqlx::query_scalar(sql)
        .bind(repository.0)
        .fetch_all(pool)
        .await)?)
}

/// Every tag, and the digests that have none.
pub(in crate::inventory) async fn known_references(
    db: &Db,
    repository: RepositoryId,
) -> Result<Vec<String>, store::Error> {
    Ok(read!(
        db,
        |pool, sql = KNOWN_REFERENCES| sqlx::query_scalar(sql)
            .bind(repository.0)
            .fetch_all(pool)
            .await
    )?)
}

/// Names after `(from` and up to `to]` within a project; of all projects when it is empty.
pub(in crate::inventory) async fn repository_names(
    db: &Db,
    (from, to): (&str, &str),
    project: &str,
) -> Result<Vec<String>, store::Error> {
    Ok(read!(
        db,
        |pool, sql = REPOSITORY_NAMES| sqlx::query_scalar(sql)
            .bind(from)
            .bind(to)
            .bind(project)
            .fetch_all(pool)
            .await
    )?)
}

pub(in crate::inventory) async fn has_project(db: &Db, name: &str) -> Result<bool, store::Error> {
    let found: i64 = read!(db, |pool, sql = HAS_PROJECT| sqlx::query_scalar(sql)
        .bind(name)
        .fetch_one(pool)
        .await)?;
    Ok(found > 0)
}

pub(in crate::inventory) async fn walk(db: &Db, scope: &str) -> Result<Option<Walk>, store::Error> {
    Ok(read!(db, |pool, sql = WALK| sqlx::query_as(sql)
        .bind(scope)
        .fetch_optional(pool)
        .await)?)
}

/// An artifact's id, for the batched reads.
pub(in crate::inventory) fn ids(artifacts: &[Artifact]) -> String {
    let ids: Vec<ArtifactId> = artifacts.iter().map(|artifact| artifact.id).collect();
    serde_json::json!(ids).to_string()
}
