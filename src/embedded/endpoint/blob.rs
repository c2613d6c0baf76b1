use std::sync::Arc;

use http::{
    HeaderMap, Method, StatusCode,
    header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, ETAG},
    request::Parts,
};

use super::{
    conditional::{Wanted, etag, is_known},
    reading::FileBody,
};
use crate::{
    embedded::{
        Registry,
        answer::{Answer, CONTENT_DIGEST, Draft},
        error::Failure,
    },
    oci::{Digest, ErrorCode, RepositoryName, media_type::OCTET_STREAM},
    wire::Body,
};

impl Registry {
    pub(in crate::embedded) async fn blobs(
        &self,
        name: RepositoryName,
        digest: Digest,
        request: &Parts,
    ) -> Answer {
        match request.method {
            Method::DELETE => self.delete_blob(name, digest).await,
            Method::HEAD => self.head_blob(name, digest, &request.headers).await,
            _ => self.blob(name, digest, &request.headers).await,
        }
    }

    /// `GET /v2/<name>/blobs/<digest>`: end-2.
    async fn blob(&self, name: RepositoryName, digest: Digest, headers: &HeaderMap) -> Answer {
        let disk = Arc::clone(&self.disk);
        let asked = digest.clone();
        let found = self
            .threads
            .run(move || disk.open_blob(&name, &asked))
            .await?;
        let (file, size) = found.ok_or_else(|| unknown(&digest))?;
        if is_known(headers, &digest) {
            return Ok(describe(StatusCode::NOT_MODIFIED, &digest).empty());
        }
        let (draft, first, length) = match Wanted::parse(headers, &digest, size) {
            Wanted::Whole => (describe(StatusCode::OK, &digest), 0, size),
            Wanted::Part { first, last } => (
                describe(StatusCode::PARTIAL_CONTENT, &digest)
                    .header(CONTENT_RANGE, &format!("bytes {first}-{last}/{size}")),
                first,
                last - first + 1,
            ),
            Wanted::Unsatisfiable => return Err(unsatisfiable(size)),
        };
        let draft = draft.header(CONTENT_TYPE, OCTET_STREAM);
        if length == 0 {
            return Ok(draft.empty());
        }
        let counter = self.metrics.read_bytes.clone();
        let body = FileBody::new(file, first, length, &self.threads, counter);
        Ok(draft.body(length, Body::boxed(body)))
    }

    /// `HEAD /v2/<name>/blobs/<digest>`.
    async fn head_blob(&self, name: RepositoryName, digest: Digest, headers: &HeaderMap) -> Answer {
        let disk = Arc::clone(&self.disk);
        let asked = digest.clone();
        let found = self
            .threads
            .run(move || disk.promise_blob(&name, &asked))
            .await?;
        let size = found.ok_or_else(|| unknown(&digest))?;
        if is_known(headers, &digest) {
            return Ok(describe(StatusCode::NOT_MODIFIED, &digest).empty());
        }
        let draft = describe(StatusCode::OK, &digest).header(CONTENT_TYPE, OCTET_STREAM);
        Ok(draft.body(size, Body::Empty))
    }

    /// `DELETE /v2/<name>/blobs/<digest>`: end-10. The content stays until it is collected.
    async fn delete_blob(&self, name: RepositoryName, digest: Digest) -> Answer {
        let disk = Arc::clone(&self.disk);
        let asked = digest.clone();
        let deleted = self
            .threads
            .run(move || disk.unlink_blob(&name, &asked))
            .await?;
        if deleted {
            Ok(Draft::new(StatusCode::ACCEPTED).empty())
        } else {
            Err(unknown(&digest))
        }
    }
}

fn describe(status: StatusCode, digest: &Digest) -> Draft {
    Draft::new(status)
        .header(CONTENT_DIGEST, digest.as_str())
        .header(ETAG, &etag(digest))
        .header(ACCEPT_RANGES, "bytes")
        // Content never changes under its digest.
        .header(CACHE_CONTROL, "max-age=31536000")
}

fn unknown(digest: &Digest) -> Failure {
    Failure::refused(
        ErrorCode::BlobUnknown,
        format!("the repository has no blob {digest}"),
    )
}

fn unsatisfiable(size: u64) -> Failure {
    Failure::refused(
        ErrorCode::RangeInvalid,
        format!("the range lies outside of the blob, which has {size} bytes"),
    )
    .with_header(CONTENT_RANGE, &format!("bytes */{size}"))
    .with_header(ACCEPT_RANGES, "bytes")
}
