//! A small image, made here and pushed through the gateway as a client would.

use std::path::Path;

use bytes::Bytes;
use serde_json::json;

use super::scene::Scene;
use crate::{
    oci::{Digest, RepositoryName, media_type},
    registry::{self, Client, Credential, Endpoint, Remote},
    wire::Body,
};

/// Pushes the sample image and returns its digest.
pub(super) async fn push(
    host: &str,
    ca_certificate: &Path,
    scene: &Scene,
) -> anyhow::Result<Digest> {
    let endpoint = Endpoint {
        credential: Some(Credential::Basic {
            username: scene.user.clone(),
            password: scene.password.clone(),
        }),
        ca_certificate: Some(std::fs::read_to_string(ca_certificate)?),
        ..Endpoint::new(format!("https://{host}").parse()?)
    };
    let remote = Remote::challenged(&endpoint, &registry::Config::default())?;
    let client = Client::new(remote.exchange());
    let repository: RepositoryName = scene.repository.parse()?;

    let layer = tar("hello.txt", b"This image went through Tidegate.\n");
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": ["/hello.txt"] },
        "rootfs": { "type": "layers", "diff_ids": [Digest::sha256(&layer)] },
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": descriptor(media_type::OCI_CONFIG, &config),
        "layers": [descriptor(LAYER, &layer)],
    });
    for blob in [layer, config] {
        let (digest, size) = (Digest::sha256(&blob), blob.len() as u64);
        client
            .put_blob(&repository, &digest, size, Body::from(blob))
            .await?;
    }
    let manifest = Bytes::from(manifest.to_string());
    let digest = Digest::sha256(&manifest);
    let reference = scene.tag.parse()?;
    client
        .put_manifest(&repository, &reference, media_type::OCI_MANIFEST, manifest)
        .await?;
    Ok(digest)
}

fn descriptor(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    json!({ "mediaType": media_type, "digest": Digest::sha256(bytes), "size": bytes.len() })
}

/// A tar archive with one file (POSIX.1-1988 "ustar"): header, content, two empty blocks.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; BLOCK];
    let mut put =
        |at: usize, field: &str| header[at..at + field.len()].copy_from_slice(field.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    archive
}

const BLOCK: usize = 512;
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
