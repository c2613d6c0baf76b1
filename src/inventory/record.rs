use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    ArtifactId, Change, Error, Inventory, RepositoryId,
    describe::{self, Attachment},
    journal::{Reach, Standing},
    queries::writing::{self as queries, ArtifactRow, OwnedArtifact},
    shown::{self, Space},
    usage::{Gained, discount},
};
use crate::{
    auth::ProjectId,
    oci::{Digest, Manifest, Reference, RepositoryName, Tag},
    store::Tx,
};

/// A manifest that the registry has.
#[derive(Debug, Clone)]
pub struct Pushed {
    pub repository: RepositoryName,
    pub digest: Digest,
    pub media_type: String,
    /// Of the manifest itself.
    pub size_bytes: u64,
    /// None: it cannot be read here, though the registry took it.
    pub manifest: Option<Arc<Manifest>>,
    /// Those that point to it from now on.
    pub tags: Vec<Tag>,
}

/// How a change ended.
#[derive(Debug, Clone)]
pub enum Ended {
    Pushed(Pushed),
    /// What [`Change::reference`] names is gone; a digest takes its tags along.
    Deleted,
    /// The registry refused it.
    Refused,
    /// Nobody knows; the registry is asked.
    Unknown,
}

impl Inventory {
    /// A change begins that the registry may make from now on. Does not wait.
    pub fn begin(&self, change: &Change, reach: Reach) {
        self.0.journal.begin(change, reach);
    }

    /// The change is over. Returns when the index shows it, or after [`PATIENCE`]: then the
    /// registry is asked later what came of it.
    pub async fn conclude(&self, change: &Change, reach: Reach, ended: Ended) {
        let is_away = self.0.is_away.load(Ordering::Relaxed);
        let written = match &ended {
            Ended::Refused => Some(Ok(())),
            Ended::Unknown => None,
            // Nobody waits for a database that somebody else has waited for in vain.
            _ if is_away => None,
            Ended::Pushed(pushed) => timeout(PATIENCE, self.record(pushed)).await.ok(),
            Ended::Deleted => timeout(PATIENCE, self.forget(change)).await.ok(),
        };
        if let Some(Err(error)) = &written {
            tracing::warn!(
                repository.name = %change.repository,
                "a change is not in the index yet: {error}"
            );
        }
        let is_certain = matches!(written, Some(Ok(())));
        if !is_certain && !matches!(ended, Ended::Unknown) {
            self.0.is_away.store(true, Ordering::Relaxed);
        }
        self.0.looks.ask_again(change);
        if !is_certain {
            self.look_later(change.clone());
        }
        let standing = self.0.journal.end(change, reach);
        if is_certain && standing == Some(Standing::Overlapped) {
            self.look_later(change.clone());
        }
    }

    /// Writes down what the registry has. A repository whose project does not exist is nobody's.
    pub(super) async fn record(&self, pushed: &Pushed) -> Result<(), Error> {
        let now = self.0.clock.now();
        let mut tx = self.0.db.begin().await?;
        let Some(repository) = queries::put_repository(&mut tx, &pushed.repository, now).await?
        else {
            return Ok(());
        };
        let mut touched = BTreeSet::from([pushed.digest.to_string()]);
        let row = row(pushed);
        let mut gained = Gained::default();
        let inserted = queries::insert_artifact(&mut tx, &repository, &row, now).await?;
        let OwnedArtifact {
            id: artifact,
            project_id: project,
        } = match inserted {
            Some(inserted) => {
                gained.add(pushed.digest.to_string(), row.manifest_bytes);
                inserted
            }
            None => queries::attach_artifact(&mut tx, repository.id, &row, now).await?,
        };
        if let Some(manifest) = &pushed.manifest {
            let blobs = manifest.held_blobs();
            if !blobs.is_empty() {
                let new = queries::put_blobs(&mut tx, artifact, &blobs_json(&blobs)).await?;
                for (digest, size_bytes) in new {
                    gained.add(digest, size_bytes);
                }
            }
            if !manifest.children.is_empty() {
                let references = references_json(manifest);
                queries::put_references(&mut tx, artifact, &references).await?;
                let children = manifest.children.iter();
                touched.extend(children.map(|child| child.digest.to_string()));
            }
        }
        for tag in &pushed.tags {
            touched.extend(queries::tagged(&mut tx, repository.id, tag).await?);
            queries::put_tag(&mut tx, repository.id, (tag, artifact), now).await?;
        }
        list_again(&mut tx, repository.id, &touched).await?;
        gained.count(&mut tx, project).await?;
        Ok(tx.commit().await?)
    }

    /// Forgets a tag, or a digest with its tags.
    pub(super) async fn forget(&self, gone: &Change) -> Result<(), Error> {
        let mut tx = self.0.db.begin().await?;
        let now = self.0.clock.now();
        let Some(repository) = queries::lock_repository(&mut tx, &gone.repository, now).await?
        else {
            return Ok(());
        };
        let mut touched = BTreeSet::new();
        match &gone.reference {
            Reference::Tag(tag) => {
                touched.extend(queries::tagged(&mut tx, repository, tag).await?);
                queries::delete_tag(&mut tx, repository, tag).await?;
            }
            Reference::Digest(digest) => {
                touched.extend(queries::children(&mut tx, repository, digest).await?);
                if let Some(artifact) = queries::artifact(&mut tx, repository, digest).await? {
                    discount(&mut tx, artifact.project_id, &[artifact.id]).await?;
                    queries::delete_artifact(&mut tx, artifact.id).await?;
                }
            }
        }
        list_again(&mut tx, repository, &touched).await?;
        Ok(tx.commit().await?)
    }

    /// Forgets a repository with all that it held.
    pub async fn forget_repository(&self, name: &RepositoryName) -> Result<(), Error> {
        let mut tx = self.0.db.begin().await?;
        let now = self.0.clock.now();
        let Some(repository) = queries::lock_repository(&mut tx, name, now).await? else {
            return Ok(());
        };
        let mut left: BTreeMap<ProjectId, Vec<ArtifactId>> = BTreeMap::new();
        for artifact in queries::artifacts(&mut tx, repository).await? {
            left.entry(artifact.project_id)
                .or_default()
                .push(artifact.id);
        }
        for (project, artifacts) in left {
            discount(&mut tx, project, &artifacts).await?;
        }
        queries::delete_repository(&mut tx, repository).await?;
        Ok(tx.commit().await?)
    }
}

async fn list_again(
    tx: &mut Tx,
    repository: RepositoryId,
    digests: &BTreeSet<String>,
) -> Result<(), Error> {
    if !digests.is_empty() {
        queries::list_again(tx, repository, &json!(digests).to_string()).await?;
    }
    Ok(())
}

fn row(pushed: &Pushed) -> ArtifactRow<'_> {
    let manifest = pushed.manifest.as_deref();
    let config = manifest.and_then(|manifest| manifest.config.as_ref());
    let attachment = manifest.and_then(|manifest| describe::attachment(manifest, &pushed.tags));
    let annotations = manifest.map(|manifest| Space::new().members(&manifest.annotations));
    let parts = manifest.map_or(0, |manifest| {
        let children = manifest.children.iter();
        children.fold(manifest.blob_bytes(), |sum, child| {
            sum.saturating_add(child.size)
        })
    });
    let (subject, accessory_type) = attachment.map_or((None, None), |attachment: Attachment| {
        (Some(attachment.subject), Some(attachment.kind))
    });
    ArtifactRow {
        digest: &pushed.digest,
        kind: manifest.map_or_else(|| "UNKNOWN".to_owned(), describe::kind),
        media_type: shown::media_type(&pushed.media_type),
        config_media_type: shown::media_type(
            config.map_or(&pushed.media_type, |config| &config.media_type),
        ),
        artifact_type: manifest
            .and_then(|manifest| manifest.artifact_type.as_deref())
            .map_or_else(String::new, shown::media_type),
        config_digest: config.map(|config| &config.digest),
        size_bytes: bigint(pushed.size_bytes.saturating_add(parts)),
        annotations: json!(annotations).to_string(),
        subject,
        accessory_type,
        manifest_bytes: bigint(pushed.size_bytes),
    }
}

fn blobs_json(blobs: &[&crate::oci::Descriptor]) -> String {
    let blobs = blobs
        .iter()
        .map(|blob| json!({ "digest": blob.digest, "size": bigint(blob.size) }));
    blobs.collect::<Value>().to_string()
}

/// Platform, annotations and URLs are texts of JSON, so that both databases give them back as
/// they were.
fn references_json(manifest: &Manifest) -> String {
    let mut space = Space::new();
    let children = manifest.children.iter().map(|child| {
        let platform = child.platform.as_ref().map(|platform| json!(platform));
        let annotations = child
            .annotations
            .as_ref()
            .map(|annotations| json!(annotations));
        let mut text = |json: Value| space.text(json.to_string());
        json!({
            "digest": child.digest,
            "platform": platform.and_then(&mut text),
            "annotations": annotations.and_then(&mut text),
            "urls": text(json!(child.urls)).unwrap_or_else(|| "[]".to_owned()),
        })
    });
    children.collect::<Value>().to_string()
}

/// A size as the database holds it; no registry holds more.
fn bigint(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// How long a push waits for the index before it is answered all the same.
const PATIENCE: Duration = Duration::from_secs(2);
