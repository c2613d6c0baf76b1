use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::Digest;

/// Media types of manifests and indexes.
pub mod media_type {
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    pub const OCTET_STREAM: &str = "application/octet-stream";

    /// Whether a manifest of this type lists others.
    pub fn is_index(media_type: &str) -> bool {
        matches!(media_type, OCI_INDEX | DOCKER_LIST)
    }
}

/// Every manifest media type, as an `Accept` value must list them: distribution answers 404 for
/// an OCI manifest when the type is not named.
pub const MANIFEST_MEDIA_TYPES: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.oci.artifact.manifest.v1+json, */*";

/// What a manifest points to; its bytes stay with whoever holds them, for the digest is theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub media_type: String,
    pub artifact_type: Option<String>,
    /// Of an image; also the first of `blobs`.
    pub config: Option<Descriptor>,
    /// Config and layers of an image, in order; the config first.
    pub blobs: Vec<Descriptor>,
    /// Manifests of an index, in order.
    pub children: Vec<Descriptor>,
    pub subject: Option<Descriptor>,
    pub annotations: BTreeMap<String, String>,
}

/// A content descriptor (OCI image-spec, "OCI Content Descriptors"); size in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default)]
    pub artifact_type: Option<String>,
    #[serde(default)]
    pub urls: Vec<String>,
    /// What an index's child runs on.
    #[serde(default)]
    pub platform: Option<Platform>,
    #[serde(default)]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// What an image runs on (OCI image-spec, "Image Index", `platform`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub os: String,
    #[serde(
        default,
        rename = "os.version",
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    #[serde(default, rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum InvalidManifest {
    #[error("the manifest is not valid JSON of its kind: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the manifest's media type is `{inside}`, its Content-Type `{outside}`")]
    MediaType { inside: String, outside: String },
    #[error("`{0}` is not a manifest media type")]
    Unsupported(String),
}

impl Manifest {
    /// Parses the bytes of a manifest that came with `content_type` (parameters are ignored).
    pub fn parse(content_type: &str, bytes: &[u8]) -> Result<Self, InvalidManifest> {
        serde_json::from_slice::<Spellings>(bytes)?;
        let raw: RawManifest = serde_json::from_slice(bytes)?;
        let outside = content_type.split(';').next().unwrap_or_default().trim();
        if let Some(inside) = raw.media_type.filter(|inside| inside != outside) {
            return Err(InvalidManifest::MediaType {
                inside,
                outside: outside.into(),
            });
        }
        if !is_manifest_type(outside) {
            return Err(InvalidManifest::Unsupported(outside.into()));
        }
        let artifact_type = raw
            .artifact_type
            .or_else(|| raw.config.as_ref().map(|config| config.media_type.clone()));
        Ok(Self {
            media_type: outside.into(),
            artifact_type,
            config: raw.config.clone(),
            blobs: raw
                .config
                .into_iter()
                .chain(raw.layers)
                .chain(raw.blobs)
                .collect(),
            children: raw.manifests,
            subject: raw.subject,
            annotations: raw.annotations.unwrap_or_default(),
        })
    }
}

impl Manifest {
    /// What its blobs weigh together, without those that registries do not hold.
    pub fn blob_bytes(&self) -> u64 {
        let held = self.blobs.iter().filter(|blob| !blob.is_foreign());
        held.fold(0, |sum, blob| sum.saturating_add(blob.size))
    }

    /// The blobs that a registry holds for it, each once.
    pub fn held_blobs(&self) -> Vec<&Descriptor> {
        let held = self.blobs.iter().filter(|blob| !blob.is_foreign());
        let mut blobs: Vec<&Descriptor> = held.collect();
        blobs.sort_by(|a, b| a.digest.as_str().cmp(b.digest.as_str()));
        blobs.dedup_by(|a, b| a.digest == b.digest);
        blobs
    }
}

impl Descriptor {
    /// Layers that registries must not hold and clients fetch elsewhere
    /// (OCI image-spec, "Non-Distributable Layers"; Docker "foreign" layers).
    pub fn is_foreign(&self) -> bool {
        self.media_type.contains("nondistributable") || self.media_type.contains(".foreign.")
    }
}

fn is_manifest_type(media_type: &str) -> bool {
    MANIFEST_MEDIA_TYPES
        .split(", ")
        .any(|known| known == media_type && known != "*/*")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawManifest {
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    /// Of the withdrawn OCI artifact manifest.
    #[serde(default)]
    blobs: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

/// That no key of a manifest or a descriptor is another spelling of one that is read: registries
/// written in Go take `Layers` for `layers`, and hold what we would not see.
///
/// A pass of its own: serde would keep all that is not read to tell it from what is.
struct Spellings;

impl<'de> Deserialize<'de> for Spellings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Spellings {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a manifest")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while let Some(key) = members.next_key::<Cow<'de, str>>()? {
            if KEYS.iter().any(|known| is_other_spelling(&key, known)) {
                let message = format!("`{key}` is another spelling of a key that has a meaning");
                return Err(de::Error::custom(message));
            }
            if HOLDERS.contains(&&*key) {
                members.next_value::<Self>()?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    // The rest has no keys; what does not belong there is told by who reads it.
    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
}

/// As Go compares keys (`encoding/json`, `fold.go`): the long s and the sign of the kelvin are
/// letters, too.
fn is_other_spelling(key: &str, known: &str) -> bool {
    let fold = |character| match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => char::to_ascii_lowercase(&other),
    };
    key != known && key.chars().map(fold).eq(known.chars().map(fold))
}

/// What says, in a manifest or a descriptor, what is held.
const KEYS: [&str; 9] = [
    "blobs",
    "config",
    "digest",
    "layers",
    "manifests",
    "mediaType",
    "size",
    "subject",
    "urls",
];

/// The keys with descriptors.
const HOLDERS: [&str; 5] = ["blobs", "config", "layers", "manifests", "subject"];

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn descriptor(media_type: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{A}","size":3}}"#)
    }

    #[test]
    fn an_image_lists_its_config_before_its_layers() {
        let json = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
            descriptor(media_type::OCI_CONFIG),
            descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        );
        let manifest = Manifest::parse(media_type::OCI_MANIFEST, json.as_bytes()).unwrap();
        assert_eq!(
            manifest.artifact_type.as_deref(),
            Some(media_type::OCI_CONFIG)
        );
        assert_eq!(manifest.blobs.len(), 2);
        assert!(!manifest.blobs[0].is_foreign() && manifest.blobs[1].is_foreign());
        assert_eq!(manifest.blob_bytes(), 3);
    }

    #[test]
    fn an_index_lists_children_and_subject() {
        let json = format!(
            r#"{{"mediaType":"{t}","manifests":[{d}],"subject":{d}}}"#,
            t = media_type::OCI_INDEX,
            d = descriptor(media_type::OCI_MANIFEST),
        );
        let content_type = format!("{}; charset=utf-8", media_type::OCI_INDEX);
        let manifest = Manifest::parse(&content_type, json.as_bytes()).unwrap();
        assert_eq!(
            (manifest.children.len(), manifest.subject.is_some()),
            (1, true)
        );
    }

    #[test]
    fn keys_that_others_would_read_are_refused() {
        let layers = |key: &str, inner: &str| {
            let json = format!(r#"{{"{key}":[{{"digest":"{A}","size":3,"{inner}":"{A}"}}]}}"#);
            Manifest::parse(media_type::OCI_MANIFEST, json.as_bytes())
        };
        assert_eq!(layers("layers", "x").unwrap().blobs.len(), 1);
        assert!(layers("history", "Digest").is_ok());
        for (key, inner) in [
            ("Layers", "x"),
            ("layer\u{17f}", "x"),
            ("BLOBS", "x"),
            ("manifestS", "x"),
            ("layers", "Digest"),
            ("layers", "\u{17f}ize"),
        ] {
            let error = layers(key, inner).unwrap_err().to_string();
            assert!(error.contains("another spelling"), "{key} {inner}: {error}");
        }
        // The first counts for one, the last for the other.
        assert!(layers("layers", "digest").is_err());
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        assert!(matches!(
            Manifest::parse(media_type::OCI_MANIFEST, b"{"),
            Err(InvalidManifest::Json(_))
        ));
        assert!(matches!(
            Manifest::parse("text/plain", b"{}"),
            Err(InvalidManifest::Unsupported(_))
        ));
        let other = format!(r#"{{"mediaType":"{}"}}"#, media_type::OCI_INDEX);
        assert!(matches!(
            Manifest::parse(media_type::OCI_MANIFEST, other.as_bytes()),
            Err(InvalidManifest::MediaType { .. })
        ));
    }
}
