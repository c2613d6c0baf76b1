use futures_util::{StreamExt, stream};
use serde_json::{Map, Value, json};

use super::{Artifact, Error, Inventory, queries::writing as queries, shown::Space};
use crate::wire::collect;

impl Inventory {
    /// Reads what the configs of these artifacts say of them, where nobody has yet, and keeps it.
    /// When the registry does not answer, it stays unknown for this time.
    pub async fn fill_attributes(&self, artifacts: &mut [Artifact]) {
        let unknown = artifacts
            .iter_mut()
            .filter(|artifact| artifact.extra_attrs.is_none() && artifact.config_digest.is_some());
        stream::iter(unknown)
            .for_each_concurrent(READS_AT_ONCE, |artifact| async move {
                match self.read_attributes(artifact).await {
                    Ok(attributes) => artifact.extra_attrs = Some(attributes),
                    Err(error) => tracing::debug!(
                        repository.name = artifact.repository_name,
                        digest = artifact.digest,
                        "the config could not be read: {error}"
                    ),
                }
            })
            .await;
    }

    async fn read_attributes(&self, artifact: &Artifact) -> Result<String, Error> {
        let attributes = match self.config(artifact).await? {
            Some(config) => Space::new().members(&attributes(&artifact.kind, config)),
            None => Map::new(),
        };
        let json = Value::from(attributes).to_string();
        queries::set_extra(&self.0.db, artifact.id, &json).await?;
        Ok(json)
    }

    /// The config as JSON; `None` when there is none, or it is none of JSON or too large.
    pub(super) async fn config(&self, artifact: &Artifact) -> Result<Option<Value>, Error> {
        let Some(digest) = &artifact.config_digest else {
            return Ok(None);
        };
        let bytes = self.read_blob(artifact, digest, MAX_CONFIG_BYTES).await?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// A blob of an artifact; `None` when it is larger than `limit` bytes.
    pub(super) async fn read_blob(
        &self,
        artifact: &Artifact,
        digest: &str,
        limit: usize,
    ) -> Result<Option<bytes::Bytes>, Error> {
        let (repository, _) = artifact.parsed()?;
        let Ok(digest) = digest.parse() else {
            return Ok(None);
        };
        let blob = self.0.registry.blob(&repository, &digest).await?;
        Ok(collect(blob.body, limit).await.ok())
    }
}

/// What Harbor shows of a config: of an image where it runs and who made it, of a chart its
/// `Chart.yaml`, of others everything.
fn attributes(kind: &str, config: Value) -> Map<String, Value> {
    let Value::Object(config) = config else {
        return Map::new();
    };
    if kind != "IMAGE" {
        return config;
    }
    let shown = ["architecture", "author", "config", "created", "os"];
    let of_image = shown.map(|name| {
        let value = config.get(name).cloned();
        (name.to_owned(), value.unwrap_or_else(|| json!("")))
    });
    let present = of_image.into_iter();
    present
        .filter(|(name, value)| name != "config" || value.is_object())
        .collect()
}

const READS_AT_ONCE: usize = 8;

/// Configs are some kilobytes; larger ones are no configs for people.
const MAX_CONFIG_BYTES: usize = 1024 * 1024;
