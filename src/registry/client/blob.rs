use http::{HeaderValue, Method, StatusCode, header};

use super::{
    Client, Deletion,
    call::{Answer, Call},
    manifest::deletion,
};
use crate::{
    oci::{Digest, RepositoryName, Route},
    registry::Error,
    wire::Body,
};

/// A blob, or a part of one, on its way here. Its bytes are not checked: see
/// [`super::verified`].
#[derive(Debug)]
pub struct Blob {
    pub body: Body,
    /// Where in the blob the body begins; 0 when the registry ignored the range asked for.
    pub start_bytes: u64,
    /// Length of the body, if the registry says.
    pub size_bytes: Option<u64>,
}

/// A part of a blob, in bytes from its start; without `end` (exclusive) to the blob's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobRange {
    pub start: u64,
    pub end: Option<u64>,
}

impl Client {
    /// Size of a blob; `None` when it is not there (end-2).
    pub async fn head_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<u64>, Error> {
        let answer = self.follow(Call::head(&route(name, digest))).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = answer.expect(&[StatusCode::OK]).await?;
        match answer.length() {
            Some(size_bytes) => Ok(Some(size_bytes)),
            None => Err(Error::malformed(
                &answer.operation,
                "the answer has no Content-Length",
            )),
        }
    }

    /// A blob as a stream (end-2). Redirects are followed without credentials.
    pub async fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Blob, Error> {
        let answer = self.follow(Call::get(&route(name, digest))).await?;
        let answer = answer.expect(&[StatusCode::OK]).await?;
        Ok(Blob::new(0, answer))
    }

    /// A part of a blob. A registry without ranges sends the whole: look at
    /// [`Blob::start_bytes`].
    pub async fn blob_range(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        range: BlobRange,
    ) -> Result<Blob, Error> {
        let last = range.end.map(|end| end.saturating_sub(1).to_string());
        let value = format!("bytes={}-{}", range.start, last.unwrap_or_default());
        let call = Call::get(&route(name, digest));
        let call = match HeaderValue::try_from(value) {
            Ok(value) => call.header(header::RANGE, value),
            Err(_impossible) => call,
        };
        let statuses = [StatusCode::PARTIAL_CONTENT, StatusCode::OK];
        let answer = self.follow(call).await?.expect(&statuses).await?;
        if answer.status() == StatusCode::OK {
            return Ok(Blob::new(0, answer));
        }
        if content_range_start(&answer) != Some(range.start) {
            let reason = "the answer holds another range than asked for";
            return Err(Error::malformed(&answer.operation, reason));
        }
        Ok(Blob::new(range.start, answer))
    }

    /// Deletes a blob from a repository (end-10).
    pub async fn delete_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Deletion, Error> {
        let call = Call::of(Method::DELETE, &route(name, digest));
        deletion(self.send(call).await?).await
    }
}

impl Blob {
    fn new(start_bytes: u64, answer: Answer) -> Self {
        Self {
            start_bytes,
            size_bytes: answer.length(),
            body: answer.response.into_body(),
        }
    }
}

/// The start of `Content-Range: bytes 5-9/10` (RFC 9110 §14.4).
fn content_range_start(answer: &Answer) -> Option<u64> {
    let range = answer
        .header(header::CONTENT_RANGE)?
        .strip_prefix("bytes ")?;
    range.split('-').next()?.trim().parse().ok()
}

fn route(name: &RepositoryName, digest: &Digest) -> Route {
    Route::Blob {
        name: name.clone(),
        digest: digest.clone(),
    }
}
