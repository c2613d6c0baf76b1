use std::path::Path;

use serde_json::{Value, json};
use tidegate::oci::{Digest, media_type};

/// A small image as an OCI layout on disk, made of the given layers' bytes.
pub struct Image {
    directory: tempfile::TempDir,
    pub digest: Digest,
}

impl Image {
    pub fn new(layers: &[&[u8]]) -> Self {
        // podman takes only lower-case paths.
        let name = format!(
            "image-{}",
            hex::encode(tidegate::secret::random_bytes::<8>())
        );
        let directory = tempfile::Builder::new()
            .prefix(&name)
            .rand_bytes(0)
            .tempdir()
            .unwrap();
        let blobs = directory.path().join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let layers: Vec<Vec<u8>> = layers
            .iter()
            .map(|content| tar("content", content))
            .collect();
        let layer_descriptors: Vec<Value> = layers
            .iter()
            .map(|layer| store(&blobs, "application/vnd.oci.image.layer.v1.tar", layer))
            .collect();
        let diff_ids: Vec<String> = layers
            .iter()
            .map(|layer| Digest::sha256(layer).to_string())
            .collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = store(
            &blobs,
            media_type::OCI_CONFIG,
            config.to_string().as_bytes(),
        );
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": layer_descriptors,
        });
        let manifest = manifest.to_string();
        let descriptor = store(&blobs, media_type::OCI_MANIFEST, manifest.as_bytes());
        let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
        std::fs::write(directory.path().join("index.json"), index.to_string()).unwrap();
        std::fs::write(
            directory.path().join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )
        .unwrap();
        Self {
            directory,
            digest: Digest::sha256(manifest.as_bytes()),
        }
    }

    /// As skopeo names it.
    pub fn source(&self) -> String {
        format!("oci:{}", self.directory.path().display())
    }
}

fn store(blobs: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let digest = Digest::sha256(bytes);
    std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
    json!({ "mediaType": media_type, "digest": digest.as_str(), "size": bytes.len() })
}

/// A tar archive (POSIX ustar) with one file.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    header[136..148].copy_from_slice(b"00000000000\0");
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}
