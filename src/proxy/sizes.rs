//! Of phase 4: what a manifest says of the sizes of its blobs is what its project will count, so
//! where the project has a limit it is held against what the registry behind has.

use futures_util::{StreamExt, stream};
use http::{Method, Response, StatusCode, header::CONTENT_ENCODING};
use quick_cache::sync::Cache;

use super::{
    Inner, Refusal,
    parse::Asked,
    upstream::{Blob, length},
};
use crate::{
    oci::{Digest, ErrorCode, RepositoryName, Route},
    wire::Body,
};

/// The sizes of the blobs that were asked for last; a blob never changes.
pub(super) struct Sizes(Cache<Digest, u64>);

impl Sizes {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Cache::new(capacity))
    }

    /// Remembers what the registry behind says to a client that asks for a blob.
    pub(super) fn note(&self, asked: &Asked, answer: &Response<Body>) {
        if let Route::Blob { digest, .. } = &asked.route
            && asked.method == Method::HEAD
            && answer.status() == StatusCode::OK
            && !answer.headers().contains_key(CONTENT_ENCODING)
            && let Some(size_bytes) = length(answer)
        {
            self.0.insert(digest.clone(), size_bytes);
        }
    }
}

impl Inner {
    /// Refuses a manifest whose blobs, with the sizes that it says, are not there or have others.
    /// Where the registry behind does not say what they have, the manifest is believed.
    pub(super) async fn check_sizes(
        &self,
        repository: &RepositoryName,
        blobs: &[(Digest, u64)],
    ) -> Result<(), Refusal> {
        let asked = stream::iter(blobs.to_vec()).map(|(digest, said)| async move {
            let found = self.measure(repository, &digest).await;
            (digest, said, found)
        });
        let mut asked = std::pin::pin!(asked.buffer_unordered(AT_ONCE));
        while let Some((digest, said, found)) = asked.next().await {
            match found? {
                Blob::Missing => return Err(missing(repository, &digest)),
                Blob::Here {
                    size_bytes: Some(size_bytes),
                } if size_bytes != said => return Err(wrong(&digest, said, size_bytes)),
                Blob::Here { .. } | Blob::Unsaid => {}
            }
        }
        Ok(())
    }

    /// A blob of the repository, or a size that is known already.
    async fn measure(&self, repository: &RepositoryName, digest: &Digest) -> Result<Blob, Refusal> {
        if let Some(size_bytes) = self.sizes.0.get(digest) {
            let size_bytes = Some(size_bytes);
            return Ok(Blob::Here { size_bytes });
        }
        let found = self.parts.upstream.blob(repository, digest).await?;
        if let Blob::Here {
            size_bytes: Some(size_bytes),
        } = found
        {
            self.sizes.0.insert(digest.clone(), size_bytes);
        }
        Ok(found)
    }
}

fn missing(repository: &RepositoryName, digest: &Digest) -> Refusal {
    let message = format!(
        "the manifest refers to content that repository {repository} does not have: {digest}; \
         push it first"
    );
    Refusal::new(ErrorCode::ManifestBlobUnknown, message)
}

fn wrong(digest: &Digest, said: u64, size_bytes: u64) -> Refusal {
    let message = format!(
        "the manifest announces {said} bytes for {digest}, the blob has {size_bytes}; push it \
         with the size that the blob has"
    );
    Refusal::new(ErrorCode::ManifestInvalid, message)
}

/// Blobs of one manifest that the registry behind is asked for at once; most manifests have
/// fewer.
const AT_ONCE: usize = 8;
