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
///
/// Headers are taken as they are: long names and attributes, which stand in entries of their own
/// that would be read whole, are passed over.
pub(super) fn root_file(archive: &[u8], name: &str) -> io::Result<Option<Bytes>> {
    let mut archive = tar::Archive::new(GzDecoder::new(archive).take(MAX_UNPACKED_BYTES));
    for entry in archive.entries()?.raw(true) {
        let entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
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
    use flate2::{Compression, write::GzEncoder};
    use tar::EntryType;

    use super::*;

    type Archive = tar::Builder<GzEncoder<Vec<u8>>>;

    fn chart(files: &[(&str, &str)]) -> Vec<u8> {
        packed(|archive| {
            for (path, text) in files {
                add(archive, EntryType::Regular, path, text.as_bytes());
            }
        })
    }

    fn packed(fill: impl FnOnce(&mut Archive)) -> Vec<u8> {
        let packed = GzEncoder::new(Vec::new(), Compression::fast());
        let mut archive = tar::Builder::new(packed);
        fill(&mut archive);
        archive.into_inner().unwrap().finish().unwrap()
    }

    fn add(archive: &mut Archive, kind: EntryType, path: &str, content: &[u8]) {
        add_long(archive, kind, path, content.len() as u64, content);
    }

    fn add_long(archive: &mut Archive, kind: EntryType, path: &str, size: u64, content: impl Read) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        archive.append_data(&mut header, path, content).unwrap();
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

    /// Zeros: a thousand bytes of them are packed into one.
    #[test]
    fn an_archive_that_unpacks_to_more_than_a_chart_is_read_so_far_only() {
        let bomb = packed(|archive| {
            let size = MAX_UNPACKED_BYTES;
            let zeros = io::repeat(0).take(size);
            add_long(archive, EntryType::Regular, "web/zeros", size, zeros);
            add(archive, EntryType::Regular, "web/README.md", b"behind it");
        });
        assert!(bomb.len() < MAX_CHART_BYTES);
        let found = root_file(&bomb, "readme.md");
        assert!(!matches!(found, Ok(Some(_))), "{found:?}");

        let large = packed(|archive| {
            let size = 2 * MAX_FILE_BYTES;
            let zeros = io::repeat(0).take(size);
            add_long(archive, EntryType::Regular, "web/README.md", size, zeros);
        });
        let found = root_file(&large, "readme.md").unwrap().unwrap();
        assert_eq!(found.len() as u64, MAX_FILE_BYTES);
    }

    /// Names and attributes in entries of their own may be as large as the archive.
    #[test]
    fn long_names_and_attributes_are_not_read() {
        for kind in [
            EntryType::GNULongName,
            EntryType::GNULongLink,
            EntryType::XHeader,
            EntryType::XGlobalHeader,
        ] {
            let archive = packed(|archive| {
                add(archive, kind, "meta/README.md", &vec![b'x'; 64 << 10]);
                add(archive, EntryType::Regular, "web/README.md", b"the chart's");
            });
            let found = root_file(&archive, "readme.md").unwrap();
            assert_eq!(found.as_deref(), Some("the chart's".as_bytes()), "{kind:?}");
        }
    }
}
