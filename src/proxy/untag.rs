//! Deletes a tag where the registry behind can delete digests only, as distribution 2 can.

use http::{Response, StatusCode};
use serde_json::json;

use super::Inner;
use crate::{
    oci::{Digest, Reference, RepositoryName, Tag, media_type},
    registry::{Client, Deletion, Error},
    secret,
    wire::Body,
};

/// Whether an answer to the delete of a tag says that only digests can be deleted: 405
/// `UNSUPPORTED`, or distribution's 400 `DIGEST_INVALID`.
pub(super) fn is_unsupported(answer: &Response<Body>) -> bool {
    matches!(
        answer.status(),
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::BAD_REQUEST
    )
}

impl Inner {
    /// Moves the tag to a manifest that nothing else points to, and deletes that. `None` when
    /// the registry behind deletes nothing at all: then the tag is where it was.
    pub(super) async fn untag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<Deletion>, Error> {
        let registry = Client::new(self.parts.upstream.exchange.clone());
        let reference = Reference::Tag(tag.clone());
        if registry.head_manifest(name, &reference).await?.is_none() {
            return Ok(Some(Deletion::Absent));
        }
        let config = Digest::sha256(EMPTY);
        if registry.head_blob(name, &config).await?.is_none() {
            let body = Body::from(EMPTY.to_vec());
            registry
                .put_blob(name, &config, EMPTY.len() as u64, body)
                .await?;
        }
        // First a manifest that no tag has, to see whether deletes work.
        for is_tagged in [false, true] {
            let (digest, bytes) = throwaway(&config);
            let digest = Reference::Digest(digest);
            let target = if is_tagged { &reference } else { &digest };
            registry
                .put_manifest(name, target, media_type::OCI_MANIFEST, bytes.into())
                .await?;
            match registry.delete_manifest(name, &digest).await {
                Err(error) if !is_tagged && !error.retryable() => {
                    tracing::debug!("the registry behind deletes nothing: {error}");
                    return Ok(None);
                }
                deleted => deleted?,
            };
        }
        Ok(Some(Deletion::Deleted))
    }
}

/// A manifest that exists nowhere else.
fn throwaway(config: &Digest) -> (Digest, Vec<u8>) {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": {
            "mediaType": media_type::OCI_EMPTY, "digest": config, "size": EMPTY.len(),
        },
        "layers": [],
        "annotations": { "dev.tidegate.untag": secret::random_token() },
    });
    let bytes = manifest.to_string().into_bytes();
    (Digest::sha256(&bytes), bytes)
}

/// OCI image-spec, "Guidance for an Empty Descriptor".
const EMPTY: &[u8] = b"{}";
