use std::collections::{BTreeMap, BTreeSet};

use super::{
    Error, Inventory,
    describe::REFERRERS_LIST,
    queries::{reading as queries, writing},
};
use crate::{
    auth::ProjectId,
    oci::{Reference, RepositoryName},
    store::{self, Filter, Listing, Page, Selection, Test, Value, ids},
};

ids! {
    /// A repository.
    RepositoryId;
    /// An artifact: one digest in one repository.
    ArtifactId;
    /// A tag.
    TagId;
}

store::row! {
    /// A repository. Times are milliseconds since the epoch, here and below.
    pub Repository {
        id: RepositoryId,
        project_id: ProjectId,
        name: String,
        description: String,
        pull_count: i64,
        /// Those that lists show.
        artifact_count: i64,
        created_ms: i64,
        updated_ms: i64,
    }
}

store::row! {
    /// A manifest in a repository. `annotations` and `extra_attrs` are JSON objects.
    pub Artifact {
        id: ArtifactId,
        project_id: ProjectId,
        repository_id: RepositoryId,
        repository_name: String,
        digest: String,
        kind: String,
        media_type: String,
        config_media_type: String,
        artifact_type: String,
        config_digest: Option<String>,
        size_bytes: i64,
        annotations: String,
        extra_attrs: Option<String>,
        subject_digest: Option<String>,
        accessory_type: Option<String>,
        pushed_ms: i64,
        pushed_again_ms: Option<i64>,
        pulled_ms: Option<i64>,
    }
}

store::row! {
    /// A tag.
    pub Tag {
        id: TagId,
        repository_id: RepositoryId,
        artifact_id: ArtifactId,
        name: String,
        pushed_ms: i64,
        pulled_ms: Option<i64>,
    }
}

store::row! {
    /// A child of an index. `platform` and `annotations` are JSON objects, `urls` a list.
    pub ChildReference {
        parent_id: ArtifactId,
        child_digest: String,
        /// None when the child is not in the repository.
        child_id: Option<ArtifactId>,
        platform: Option<String>,
        annotations: Option<String>,
        urls: String,
    }
}

/// Which artifacts a list is of; attached ones and the untagged parts of an index are in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Repository(RepositoryId),
    Project(ProjectId),
    /// The newest of each repository of the project.
    LatestOf(ProjectId),
}

impl Inventory {
    /// Whether the registry, not the index, has repositories under the name of a project.
    pub async fn registry_has_below(&self, project: &str) -> Result<bool, Error> {
        Ok(self.0.registry.has_below(project).await?)
    }

    /// Repositories by fields `repository_id`, `project_id`, `name`, `description`, `pull_count`,
    /// `creation_time`, `update_time`; of all projects, or of those in `projects`.
    pub async fn repositories(
        &self,
        projects: Option<&[ProjectId]>,
        listing: &Listing,
    ) -> Result<Page<Repository>, Error> {
        let (selection, fixed) = match projects {
            Some([one]) => (queries::PROJECT_REPOSITORIES, vec![Value::Integer(one.0)]),
            _ => (queries::ALL_REPOSITORIES, Vec::new()),
        };
        let mut listing = listing.clone();
        if let Some(several) = projects.filter(|projects| projects.len() != 1) {
            listing.filters.push(Filter {
                field: "project_id".to_owned(),
                test: Test::AnyOf(several.iter().map(ToString::to_string).collect()),
            });
        }
        Ok(self.0.db.page(&selection, fixed, &listing).await?)
    }

    pub async fn repository(&self, name: &RepositoryName) -> Result<Repository, Error> {
        let found = queries::repository(&self.0.db, name).await?;
        found.ok_or_else(|| Error::NoRepository(name.to_string()))
    }

    /// How many repositories each project has; projects without any are left out.
    pub async fn repository_counts(&self) -> Result<BTreeMap<ProjectId, i64>, Error> {
        let rows = queries::repository_counts(&self.0.db).await?;
        let counts = rows.into_iter();
        Ok(counts
            .map(|row| (ProjectId(row.project_id), row.repositories))
            .collect())
    }

    pub async fn repositories_of(&self, project: ProjectId) -> Result<i64, Error> {
        Ok(queries::repositories_of(&self.0.db, project.0).await?)
    }

    /// Sets what people read about a repository.
    pub async fn describe(&self, id: RepositoryId, description: &str) -> Result<(), Error> {
        let now = self.0.clock.now();
        Ok(writing::describe(&self.0.db, id, description, now).await?)
    }

    /// Artifacts by fields `id`, `digest`, `type`, `media_type`, `manifest_media_type`,
    /// `artifact_type`, `size`, `push_time`, `pull_time`, `tags`, `labels` (ids); newest first.
    /// `tags` is `*` for those that have any and `nil` for those that have none.
    pub async fn artifacts(
        &self,
        scope: Scope,
        listing: &Listing,
    ) -> Result<Page<Artifact>, Error> {
        let (selection, id) = match scope {
            Scope::Repository(id) => (queries::REPOSITORY_ARTIFACTS, id.0),
            Scope::Project(id) => (queries::PROJECT_ARTIFACTS, id.0),
            Scope::LatestOf(id) => (queries::LATEST_ARTIFACTS, id.0),
        };
        let mut listing = listing.clone();
        for filter in &mut listing.filters {
            ask_whether_tagged(filter);
        }
        self.page(&selection, vec![Value::Integer(id)], &listing)
            .await
    }

    pub async fn artifact(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Artifact, Error> {
        let found = queries::artifact(&self.0.db, repository, reference).await?;
        found.ok_or_else(|| Error::NoArtifact {
            repository: repository.to_string(),
            reference: reference.to_string(),
        })
    }

    /// The tags of one artifact by fields `id`, `name`, `push_time`, `pull_time`; newest first.
    pub async fn tags(&self, artifact: ArtifactId, listing: &Listing) -> Result<Page<Tag>, Error> {
        self.page(&queries::TAGS, vec![Value::Integer(artifact.0)], listing)
            .await
    }

    /// What is attached to an artifact, by fields `id`, `digest`, `type`, `size`,
    /// `creation_time`.
    pub async fn accessories(
        &self,
        subject: &Artifact,
        listing: &Listing,
    ) -> Result<Page<Artifact>, Error> {
        let fixed = vec![
            Value::Integer(subject.repository_id.0),
            Value::Text(subject.digest.clone()),
            Value::Text(REFERRERS_LIST.to_owned()),
        ];
        self.page(&queries::ACCESSORIES, fixed, listing).await
    }

    /// The tags of each of some artifacts.
    pub async fn tags_of(
        &self,
        artifacts: &[Artifact],
    ) -> Result<BTreeMap<ArtifactId, Vec<Tag>>, Error> {
        let rows = queries::tags_of(&self.0.db, &queries::ids(artifacts)).await?;
        Ok(grouped(rows, |tag| tag.artifact_id))
    }

    /// The children of each index among some artifacts.
    pub async fn references_of(
        &self,
        artifacts: &[Artifact],
    ) -> Result<BTreeMap<ArtifactId, Vec<ChildReference>>, Error> {
        self.first_references_of(artifacts, i64::MAX).await
    }

    /// The first `limit` children of each index among some artifacts.
    pub async fn first_references_of(
        &self,
        artifacts: &[Artifact],
        limit: i64,
    ) -> Result<BTreeMap<ArtifactId, Vec<ChildReference>>, Error> {
        let ids = queries::ids(artifacts);
        let rows = queries::references_of(&self.0.db, &ids, limit).await?;
        Ok(grouped(rows, |reference| reference.parent_id))
    }

    /// What is attached to each of some artifacts, by the subject's repository and digest.
    pub async fn accessories_of(
        &self,
        artifacts: &[Artifact],
    ) -> Result<BTreeMap<(RepositoryId, String), Vec<Artifact>>, Error> {
        let ids = queries::ids(artifacts);
        let rows = queries::accessories_of(&self.0.db, &ids, REFERRERS_LIST).await?;
        Ok(grouped(rows, |accessory| {
            let subject = accessory.subject_digest.clone().unwrap_or_default();
            (accessory.repository_id, subject)
        }))
    }

    /// An artifact, what is attached to it, what is attached to that and so on; each before what
    /// is attached to it.
    pub async fn with_attached(&self, artifact: &Artifact) -> Result<Vec<Artifact>, Error> {
        let mut all = vec![artifact.clone()];
        let mut seen = BTreeSet::from([artifact.id]);
        let mut next = 0;
        while let Some(holder) = all.get(next) {
            let attached = self.accessories_of(std::slice::from_ref(holder)).await?;
            let attached = attached.into_values().flatten();
            all.extend(attached.filter(|accessory| seen.insert(accessory.id)));
            next += 1;
        }
        Ok(all)
    }

    /// The digests of the indexes that list this artifact.
    pub async fn parents_of(&self, artifact: &Artifact) -> Result<Vec<String>, Error> {
        let repository = artifact.repository_id;
        Ok(queries::parents_of(&self.0.db, repository, &artifact.digest).await?)
    }

    /// A manifest in a repository of which nobody knows what it names: it could not be parsed.
    pub async fn unread_in(&self, id: RepositoryId) -> Result<Option<String>, Error> {
        Ok(queries::unread_in(&self.0.db, id).await?)
    }

    /// The parts of all indexes in a repository: the digest of each, and that of its index.
    pub async fn parts_in(&self, id: RepositoryId) -> Result<Vec<(String, String)>, Error> {
        Ok(queries::parts_in(&self.0.db, id).await?)
    }

    async fn page<T>(
        &self,
        selection: &Selection,
        fixed: Vec<Value>,
        listing: &Listing,
    ) -> Result<Page<T>, Error>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow>
            + for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>
            + Send
            + Unpin,
    {
        Ok(self.0.db.page(selection, fixed, listing).await?)
    }
}

/// Harbor's `tags=*` and `tags=nil`.
fn ask_whether_tagged(filter: &mut Filter) {
    let wanted = match &filter.test {
        Test::Equals(text) if filter.field == "tags" && text == "*" => "true",
        Test::Equals(text) if filter.field == "tags" && text == "nil" => "false",
        _ => return,
    };
    *filter = Filter {
        field: "tagged".to_owned(),
        test: Test::Equals(wanted.to_owned()),
    };
}

fn grouped<K: Ord, T>(rows: Vec<T>, key: impl Fn(&T) -> K) -> BTreeMap<K, Vec<T>> {
    let mut groups: BTreeMap<K, Vec<T>> = BTreeMap::new();
    for row in rows {
        groups.entry(key(&row)).or_default().push(row);
    }
    groups
}
