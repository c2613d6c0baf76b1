use std::io::{self, Read};

use bytes::Bytes;
use flate2::read::GzDecoder;

use super::{Artifact, Error, Inventory, describe::HELM_CONFIG};
use crate::oci::{Manifest, Reference};

/// What is shown of an artifact beside its facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdditionKind {
    /// The commands that an image was built with, JSON.
    BuildHistory,
    /// A chart's `values.yaml`.
    Values,
    /// A chart's `README.md`.
    Readme,
    /// What a chart depends on, JSON.
    Dependencies,
}

/// An addition's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition {
    pub content_type: &'static str,
    pub content: Bytes,
}

impl AdditionKind {
    const ALL: [Self; 4] = [
        Self::BuildHistory,
        Self::Values,
        Self::Readme,
        Self::Dependencies,
    ];

    /// Harbor's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BuildHistory => "build_history",
            Self::Values => "values.yaml",
            Self::Readme => "readme.md",
            Self::Dependencies => "dependencies",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Those that an artifact has.
    pub fn of(artifact: &Artifact) -> &'static [Self] {
        match artifact.kind.as_str() {
            "IMAGE" if artifact.config_digest.is_some() => &[Self::BuildHistory],
            "CHART" => &[Self::Values, Self::Readme, Self::Dependencies],
            _ => &[],
        }
    }
}

impl Inventory {
    /// Reads an addition from the registry.
    pub async fn addition(
        &self,
        artifact: &Artifact,
        kind: AdditionKind,
    ) -> Result<Addition, Error> {
        let absent = || Error::NoAddition(kind.name().to_owned());
        if !AdditionKind::of(artifact).contains(&kind) {
            return Err(absent());
        }
        match kind {
            AdditionKind::BuildHistory => {
                let config = self.config(artifact).await?.unwrap_or_default();
                Ok(json(&config["history"]))
            }
            AdditionKind::Dependencies => {
                let config = self.config(artifact).await?.unwrap_or_default();
                Ok(json(&config["dependencies"]))
            }
            AdditionKind::Values => {
                let file = self.chart_file(artifact, "values.yaml").await?;
                Ok(text("text/plain; charset=utf-8", file.ok_or_else(absent)?))
            }
            AdditionKind::Readme => {
                let file = self.chart_file(artifact, "readme.md").await?;
                Ok(text(
                    "text/markdown; charset=utf-8",
                    file.ok_or_else(absent)?,
                ))
            }
        }
    }

    /// A file at the root of a chart, whatever the case of its name.
    async fn chart_file(
        &self,
        artifact: &Artifact,
        name: &'static str,
    ) -> Result<Option<Bytes>, Error> {
        let Some(layer) = self.chart_layer(artifact).await? else {
            return Ok(None);
        };
        // Never closed.
        let _turn = self.0.charts.acquire().await.ok();
        let Some(archive) = self.read_blob(artifact, &layer, MAX_CHART_BYTES).await? else {
            return Ok(None);
        };
        let read = tokio::task::spawn_blocking(move || root_file(&archive, name)).await;
        Ok(read.ok().and_then(Result::ok).flatten())
    }

    async fn chart_layer(&self, artifact: &Artifact) -> Result<Option<String>, Error> {
        let (repository, digest) = artifact.parsed()?;
        let reference = Reference::Digest(digest);
        let remote = self.0.registry.manifest(&repository, &reference).await?;
        let manifest = Manifest::parse(&remote.media_type, &remote.bytes).ok();
        let blobs = manifest.map(|manifest| manifest.blobs).unwrap_or_default();
        let mut layers = blobs
            .into_iter()
            .filter(|blob| blob.media_type != HELM_CONFIG);
        Ok(layers
            .find(|blob| blob.media_type.contains("helm.chart.content"))
            .map(|blob| blob.digest.to_string()))
    }
}

/// `<chart>/<name>` of a chart's archive, whose files lie in one folder (Helm, "Charts").
fn root_file(archive: &[u8], name: &str) -> io::Result<Option<Bytes>> {
    let mut archive = tar::Archive::new(GzDecoder::new(archive).take(MAX_UNPACKED_BYTES));
    for entry in archive.entries()? {
        let entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let is_wanted = path
            .split_once('/')
            .is_some_and(|(_folder, file)| file.eq_ignore_ascii_case(name));
        if is_wanted {
            let mut content = Vec::new();
            entry.take(MAX_FILE_BYTES).read_to_end(&mut content)?;
            return Ok(Some(content.into()));
        }
    }
    Ok(None)
}

/// A list of the config as JSON, empty where there is none.
fn json(list: &serde_json::Value) -> Addition {
    let content = if list.is_array() {
        list.to_string()
    } else {
        "[]".to_owned()
    };
    text("application/json", content.into())
}

fn text(content_type: &'static str, content: Bytes) -> Addition {
    Addition {
        content_type,
        content,
    }
}

/// Charts are some hundred kilobytes; Helm itself reads at most 20 MiB.
const MAX_CHART_BYTES: usize = 20 * 1024 * 1024;
const MAX_UNPACKED_BYTES: u64 = 100 * 1024 * 1024;
const MAX_FILE_BYTES: u64 = 5 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn chart(files: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            archive
                .append_data(&mut header, path, text.as_bytes())
                .unwrap();
        }
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&archive.into_inner().unwrap()).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn a_file_at_the_root_of_a_chart_is_found_whatever_its_case() {
        let archive = chart(&[
            ("web/charts/db/README.md", "of a part"),
            ("web/README.md", "the chart's"),
        ]);
        let found = root_file(&archive, "readme.md").unwrap();
        assert_eq!(found.as_deref(), Some("the chart's".as_bytes()));
        assert_eq!(root_file(&archive, "values.yaml").unwrap(), None);
        assert!(root_file(b"no archive", "values.yaml").is_err());
    }
}
