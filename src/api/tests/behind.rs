//! The registry behind the API of a test, and its index.

use serde_json::json;

use crate::{
    inventory::{Change, Inventory, Walk},
    oci::{Digest, media_type},
    registry::Client,
    wire::Exchange,
};

/// An embedded registry that people push to behind the API's back.
#[derive(Debug)]
pub(super) struct Behind {
    pub(super) inventory: Inventory,
    pub(super) exchange: Exchange,
}

impl Behind {
    /// Pushes an image of a text, and sees to it that the index knows.
    pub(super) async fn push(&self, repository: &str, tag: &str, text: &str) -> Digest {
        let registry = Client::new(self.exchange.clone());
        let name = repository.parse().unwrap();
        let config = json!({ "os": "linux", "architecture": "arm64", "author": text }).to_string();
        let blob = Digest::sha256(config.as_bytes());
        let size = config.len() as u64;
        let pushed = registry.put_blob(&name, &blob, size, config.into());
        pushed.await.unwrap();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "layers": [],
            "config": { "mediaType": media_type::OCI_CONFIG, "digest": blob, "size": size },
            "annotations": { "text": text },
        });
        let bytes = manifest.to_string();
        let digest = Digest::sha256(bytes.as_bytes());
        let reference = tag.parse().unwrap();
        let pushed =
            registry.put_manifest(&name, &reference, media_type::OCI_MANIFEST, bytes.into());
        pushed.await.unwrap();
        self.look(repository, tag).await;
        digest
    }

    /// Each repository with one image.
    pub(super) async fn hold(&self, repositories: &[&str]) {
        for repository in repositories {
            self.push(repository, "v1", repository).await;
        }
        self.walk().await;
    }

    /// Looks at everything.
    pub(super) async fn walk(&self) {
        self.inventory.walk(&Walk::default(), |_| {}).await.unwrap();
    }

    async fn look(&self, repository: &str, reference: &str) {
        let change = Change {
            repository: repository.parse().unwrap(),
            reference: reference.parse().unwrap(),
        };
        self.inventory.look(&change).await.unwrap();
    }
}
