use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::api_path;
use crate::{
    api::{Api, ROOT, error::Error, labels::LabelShape},
    auth::immutable::Immutable,
    clock::Timestamp,
    inventory::{AdditionKind, Artifact, ArtifactId, ChildReference, Label, RepositoryId, Tag},
    oci::RepositoryName,
};

/// A manifest, its tags and what is attached to it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Artifact")]
pub(super) struct ArtifactShape {
    id: i64,
    #[serde(rename = "type")]
    kind: String,
    media_type: String,
    manifest_media_type: String,
    artifact_type: String,
    project_id: i64,
    repository_id: i64,
    repository_name: String,
    digest: String,
    size: i64,
    push_time: Timestamp,
    pull_time: Timestamp,
    #[schemars(with = "BTreeMap<String, Value>")]
    extra_attrs: Value,
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    annotations: Value,
    /// The children of an index, `null` without any.
    references: Option<Vec<ReferenceShape>>,
    /// `null` when there are none or nobody asked.
    tags: Option<Vec<TagShape>>,
    addition_links: BTreeMap<&'static str, Link>,
    /// `null` when there are none or nobody asked.
    labels: Option<Vec<LabelShape>>,
    accessories: Option<Vec<AccessoryShape>>,
}

/// A child of an index.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Reference")]
struct ReferenceShape {
    parent_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    child_id: Option<i64>,
    child_digest: String,
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    platform: Option<Value>,
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    annotations: Option<Value>,
    #[schemars(with = "Option<Vec<String>>")]
    urls: Value,
}

/// A tag of an artifact.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Tag")]
pub(super) struct TagShape {
    id: i64,
    repository_id: i64,
    artifact_id: i64,
    name: String,
    push_time: Timestamp,
    pull_time: Timestamp,
    immutable: bool,
}

/// A signature, or something else that is attached to an artifact.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Accessory")]
pub(super) struct AccessoryShape {
    id: i64,
    artifact_id: i64,
    subject_artifact_id: i64,
    subject_artifact_digest: String,
    subject_artifact_repo: String,
    size: i64,
    digest: String,
    #[serde(rename = "type")]
    kind: String,
    icon: &'static str,
    creation_time: Timestamp,
}

/// Where an addition of an artifact is.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AdditionLink")]
struct Link {
    absolute: bool,
    href: String,
}

/// What the caller wants to see of each artifact.
#[derive(Debug, Clone, Copy)]
pub(super) struct With {
    tags: bool,
    labels: bool,
    accessories: bool,
}

impl With {
    /// `flag` reads a parameter of the query.
    pub(super) fn asked(
        flag: impl Fn(&'static str) -> Result<Option<bool>, Error>,
    ) -> Result<Self, Error> {
        Ok(Self {
            tags: flag("with_tag")?.unwrap_or(true),
            labels: flag("with_label")?.unwrap_or(false),
            accessories: flag("with_accessory")?.unwrap_or(false),
        })
    }
}

impl TagShape {
    /// A tag of a repository with these rules.
    pub(super) fn new(tag: Tag, rules: Option<&Immutable>) -> Self {
        Self {
            immutable: rules.is_some_and(|rules| rules.holds(&tag.name)),
            id: tag.id.0,
            repository_id: tag.repository_id.0,
            artifact_id: tag.artifact_id.0,
            name: tag.name,
            push_time: Timestamp::from_millis(tag.pushed_ms),
            pull_time: pulled(tag.pulled_ms),
        }
    }
}

/// What clients see of artifacts, in their order.
pub(super) async fn shapes(
    api: &Api,
    mut artifacts: Vec<Artifact>,
    with: With,
) -> Result<Vec<ArtifactShape>, Error> {
    let inventory = &api.inventory;
    inventory.fill_attributes(&mut artifacts).await;
    let mut beside = Beside {
        references: inventory
            .first_references_of(&artifacts, SHOWN_CHILDREN)
            .await?,
        tags: BTreeMap::new(),
        labels: BTreeMap::new(),
        accessories: BTreeMap::new(),
        immutable: BTreeMap::new(),
    };
    if with.tags {
        beside.tags = inventory.tags_of(&artifacts).await?;
    }
    for artifact in artifacts.iter().filter(|_| with.tags) {
        if let Ok((name, _)) = artifact.parsed()
            && !beside.immutable.contains_key(&artifact.repository_id)
        {
            let rules = api.auth.immutable(&name).await?;
            beside.immutable.insert(artifact.repository_id, rules);
        }
    }
    if with.labels {
        beside.labels = inventory.labels_of(&artifacts).await?;
    }
    if with.accessories {
        beside.accessories = inventory.accessories_of(&artifacts).await?;
    }
    Ok(artifacts
        .into_iter()
        .map(|artifact| beside.shape(artifact))
        .collect())
}

/// What a page of artifacts has beside them.
struct Beside {
    references: BTreeMap<ArtifactId, Vec<ChildReference>>,
    tags: BTreeMap<ArtifactId, Vec<Tag>>,
    labels: BTreeMap<ArtifactId, Vec<Label>>,
    immutable: BTreeMap<RepositoryId, Immutable>,
    accessories: BTreeMap<(RepositoryId, String), Vec<Artifact>>,
}

impl Beside {
    fn shape(&mut self, artifact: Artifact) -> ArtifactShape {
        let references = self.references.remove(&artifact.id);
        let tags = self.tags.remove(&artifact.id);
        let labels = self.labels.remove(&artifact.id);
        let rules = self.immutable.get(&artifact.repository_id);
        let subject = (artifact.repository_id, artifact.digest.clone());
        let accessories = self.accessories.remove(&subject).map(|attached| {
            let shapes = attached.into_iter();
            shapes.map(|one| accessory(&artifact, one)).collect()
        });
        ArtifactShape {
            id: artifact.id.0,
            addition_links: links(&artifact),
            kind: artifact.kind,
            media_type: artifact.config_media_type,
            manifest_media_type: artifact.media_type,
            artifact_type: artifact.artifact_type,
            project_id: artifact.project_id.0,
            repository_id: artifact.repository_id.0,
            repository_name: artifact.repository_name,
            digest: artifact.digest,
            size: artifact.size_bytes,
            push_time: Timestamp::from_millis(artifact.pushed_ms),
            pull_time: pulled(artifact.pulled_ms),
            extra_attrs: json(artifact.extra_attrs.as_deref().unwrap_or("{}")),
            annotations: json(&artifact.annotations),
            references: references.map(|references| {
                let references = references.into_iter();
                references.map(ReferenceShape::from).collect()
            }),
            tags: tags.map(|tags| {
                let tags = tags.into_iter();
                tags.map(|tag| TagShape::new(tag, rules)).collect()
            }),
            labels: labels.map(|labels| labels.into_iter().map(LabelShape::from).collect()),
            accessories,
        }
    }
}

impl From<ChildReference> for ReferenceShape {
    fn from(reference: ChildReference) -> Self {
        Self {
            parent_id: reference.parent_id.0,
            child_id: reference.child_id.map(|id| id.0),
            child_digest: reference.child_digest,
            platform: reference.platform.as_deref().map(json),
            annotations: reference.annotations.as_deref().map(json),
            urls: json(&reference.urls),
        }
    }
}

/// What is attached to `subject`.
pub(super) fn accessory(subject: &Artifact, accessory: Artifact) -> AccessoryShape {
    AccessoryShape {
        id: accessory.id.0,
        artifact_id: accessory.id.0,
        subject_artifact_id: subject.id.0,
        subject_artifact_digest: subject.digest.clone(),
        subject_artifact_repo: subject.repository_name.clone(),
        size: accessory.size_bytes,
        digest: accessory.digest,
        kind: accessory.accessory_type.unwrap_or_default(),
        icon: "",
        creation_time: Timestamp::from_millis(accessory.pushed_ms),
    }
}

fn links(artifact: &Artifact) -> BTreeMap<&'static str, Link> {
    let Ok(name) = artifact.repository_name.parse::<RepositoryName>() else {
        return BTreeMap::new();
    };
    let path = format!("{ROOT}{}/artifacts/{}", api_path(&name), artifact.digest);
    let kinds = AdditionKind::of(artifact).iter();
    kinds
        .map(|kind| {
            let link = Link {
                absolute: false,
                href: format!("{path}/additions/{}", kind.name()),
            };
            (kind.name(), link)
        })
        .collect()
}

/// Harbor's word for never is the first instant of the year 1.
fn pulled(at_ms: Option<i64>) -> Timestamp {
    Timestamp::from_millis(at_ms.unwrap_or(NEVER_MS))
}

/// A column's JSON, which the index wrote; `null` where it cannot be read.
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// An image for every platform has some dozens.
const SHOWN_CHILDREN: i64 = 256;
const NEVER_MS: i64 = -62_135_596_800_000;
