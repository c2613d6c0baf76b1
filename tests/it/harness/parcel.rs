use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tidegate::oci::{Digest, media_type};

use super::{Answer, Http, http::Broken};

/// A manifest with its blobs, in memory.
#[derive(Debug)]
pub struct Parcel {
    pub blobs: Vec<String>,
    pub media_type: &'static str,
    pub manifest: String,
}

impl Parcel {
    /// An image of one small layer.
    pub fn new(seed: &str) -> Self {
        Self::with_layer(seed, format!("a layer of {seed}"))
    }

    pub fn with_layer(seed: &str, layer: String) -> Self {
        let blobs = vec![format!("{{\"of\":\"{seed}\"}}"), layer];
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
            "config": descriptor(media_type::OCI_CONFIG, &blobs[0]),
            "layers": [descriptor(media_type::OCI_LAYER_GZIP, &blobs[1])],
        });
        Self {
            blobs,
            media_type: media_type::OCI_MANIFEST,
            manifest: manifest.to_string(),
        }
    }

    pub fn index(children: &[Self]) -> Self {
        let entry = |child: &Self| descriptor(child.media_type, &child.manifest);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
            "manifests": children.iter().map(entry).collect::<Vec<_>>(),
        });
        Self {
            blobs: Vec::new(),
            media_type: media_type::OCI_INDEX,
            manifest: manifest.to_string(),
        }
    }

    pub fn referrer(seed: &str, subject: &Self) -> Self {
        let mut parcel = Self::new(&format!("a signature of {seed}"));
        let mut manifest: Value = serde_json::from_str(&parcel.manifest).unwrap();
        manifest["artifactType"] = "application/x-signature".into();
        manifest["subject"] = descriptor(subject.media_type, &subject.manifest);
        parcel.manifest = manifest.to_string();
        parcel
    }

    pub fn digest(&self) -> String {
        Digest::sha256(self.manifest.as_bytes()).to_string()
    }

    /// The answer to the last request of the upload: 201 when all went well.
    pub async fn put_blob(
        registry: &Http,
        repository: &str,
        content: &str,
    ) -> Result<Answer, Broken> {
        let path = format!("/v2/{repository}/blobs/uploads/");
        let begun = registry.try_send(Method::POST, &path, &[], Bytes::new());
        let begun = begun.await?;
        if begun.status != 202 {
            return Ok(begun);
        }
        let location = begun.header("location");
        let separator = if location.contains('?') { '&' } else { '?' };
        let digest = Digest::sha256(content.as_bytes());
        let path = format!("{location}{separator}digest={digest}");
        let body = Bytes::from(content.to_owned());
        registry.try_send(Method::PUT, &path, &[], body).await
    }

    pub async fn put_manifest(
        &self,
        registry: &Http,
        repository: &str,
        reference: &str,
    ) -> Result<Answer, Broken> {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let headers = [("content-type", self.media_type)];
        let body = Bytes::from(self.manifest.clone());
        registry.try_send(Method::PUT, &path, &headers, body).await
    }
}

fn descriptor(media_type: &str, content: &str) -> Value {
    let digest = Digest::sha256(content.as_bytes());
    json!({ "mediaType": media_type, "digest": digest.as_str(), "size": content.len() })
}
