use std::collections::BTreeMap;

use super::{
    Artifact, ArtifactId, Error, Inventory,
    queries::{labels as queries, reading},
};
use crate::{
    auth::ProjectId,
    oci::{Digest, RepositoryName},
    store::{self, Listing, Page, Value, ids},
};

ids! {
    /// A label.
    LabelId;
}

store::row! {
    /// A label, of all projects or of one.
    pub Label {
        id: LabelId,
        name: String,
        description: String,
        color: String,
        /// `g` of all projects, `p` of one.
        scope: String,
        /// 0 for all projects.
        project_id: i64,
        created_ms: i64,
        updated_ms: i64,
    }
}

store::row! {
    /// A label on an artifact.
    pub(super) LabelOf {
        artifact_id: ArtifactId,
        id: LabelId,
        name: String,
        description: String,
        color: String,
        scope: String,
        project_id: i64,
        created_ms: i64,
        updated_ms: i64,
    }
}

/// A label to be made.
#[derive(Debug, Clone)]
pub struct NewLabel {
    pub name: String,
    pub description: String,
    pub color: String,
    pub scope: LabelScope,
}

/// Whose label it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelScope {
    Global,
    Project(ProjectId),
}

impl LabelScope {
    pub(super) const fn columns(self) -> (&'static str, i64) {
        match self {
            Self::Global => ("g", 0),
            Self::Project(id) => ("p", id.0),
        }
    }
}

impl Label {
    pub fn scope(&self) -> LabelScope {
        match self.project_id {
            0 => LabelScope::Global,
            id => LabelScope::Project(ProjectId(id)),
        }
    }
}

impl Inventory {
    /// Labels by fields `id`, `name`, `description`, `color`, `creation_time`, `update_time`.
    pub async fn labels(&self, scope: LabelScope, listing: &Listing) -> Result<Page<Label>, Error> {
        let (scope, project) = scope.columns();
        let fixed = vec![Value::Text(scope.to_owned()), Value::Integer(project)];
        Ok(self.0.db.page(&queries::LABELS, fixed, listing).await?)
    }

    pub async fn label(&self, id: LabelId) -> Result<Label, Error> {
        let found = queries::label(&self.0.db, id).await?;
        found.ok_or(Error::NoLabel(id))
    }

    pub async fn create_label(&self, label: &NewLabel) -> Result<LabelId, Error> {
        let now = self.0.clock.now();
        let made = queries::insert(&self.0.db, label, now).await;
        made.map_err(|error| taken(error, &label.name))
    }

    /// Changes name, description and colour.
    pub async fn update_label(&self, label: &Label) -> Result<(), Error> {
        let now = self.0.clock.now();
        let updated = queries::update(&self.0.db, label, now).await;
        updated.map_err(|error| taken(error, &label.name))
    }

    /// Deletes a label, also from the artifacts that bear it.
    pub async fn delete_label(&self, id: LabelId) -> Result<(), Error> {
        Ok(queries::delete(&self.0.db, id).await?)
    }

    pub async fn attach_label(&self, artifact: ArtifactId, label: LabelId) -> Result<(), Error> {
        let attached = queries::attach(&self.0.db, artifact, label).await;
        attached.map_err(|error| match error {
            store::Error::Duplicate => {
                Error::Duplicate(format!("the artifact bears the label {label} already"))
            }
            // Deleted meanwhile.
            store::Error::Referenced => Error::NoLabel(label),
            other => other.into(),
        })
    }

    pub async fn detach_label(&self, artifact: ArtifactId, label: LabelId) -> Result<(), Error> {
        match queries::detach(&self.0.db, artifact, label).await? {
            0 => Err(Error::NoLabel(label)),
            _ => Ok(()),
        }
    }

    /// The names of the labels that an artifact bears; what is attached to another, as a
    /// signature is, bears those of that one as well.
    pub async fn label_names(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Vec<String>, Error> {
        Ok(queries::names(&self.0.db, repository, digest).await?)
    }

    /// The names of the labels at each tag of a repository; tags without any are left out.
    pub async fn labels_by_tag(
        &self,
        repository: &RepositoryName,
    ) -> Result<BTreeMap<String, Vec<String>>, Error> {
        let mut labels: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (tag, label) in queries::by_tag(&self.0.db, repository).await? {
            labels.entry(tag).or_default().push(label);
        }
        Ok(labels)
    }

    /// The labels of each of some artifacts.
    pub async fn labels_of(
        &self,
        artifacts: &[Artifact],
    ) -> Result<BTreeMap<ArtifactId, Vec<Label>>, Error> {
        let rows = queries::labels_of(&self.0.db, &reading::ids(artifacts)).await?;
        let mut labels: BTreeMap<ArtifactId, Vec<Label>> = BTreeMap::new();
        for row in rows {
            labels.entry(row.artifact_id).or_default().push(Label {
                id: row.id,
                name: row.name,
                description: row.description,
                color: row.color,
                scope: row.scope,
                project_id: row.project_id,
                created_ms: row.created_ms,
                updated_ms: row.updated_ms,
            });
        }
        Ok(labels)
    }
}

fn taken(error: store::Error, name: &str) -> Error {
    match error {
        store::Error::Duplicate => Error::Duplicate(format!("there is a label {name} already")),
        other => other.into(),
    }
}
