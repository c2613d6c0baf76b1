use std::sync::Arc;

use http::{
    HeaderMap, Method, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE},
    request::Parts,
};

use crate::{
    embedded::{
        Registry,
        answer::{Answer, Draft, UPLOAD_UUID, created},
        error::{Failure, Refusal},
        upload::{Lease, Progress, receive},
    },
    oci::{Algorithm, Digest, ErrorCode, Mount, RepositoryName, UploadId},
    wire::Body,
};

/// An upload in progress, as a request names it.
#[derive(Debug)]
pub(in crate::embedded) struct Upload {
    pub(in crate::embedded) name: RepositoryName,
    pub(in crate::embedded) id: UploadId,
}

impl Registry {
    /// `POST …/blobs/uploads/?mount=<digest>&from=<name>`: end-11. `None` when there is nothing
    /// to mount: the client gets an upload session then. Without `from` that is so always, for
    /// whoever knows a digest must not get what lies in a repository he cannot read.
    pub(in crate::embedded) async fn mount(
        &self,
        name: &RepositoryName,
        mount: Option<Mount>,
    ) -> Result<Option<Response<Body>>, Failure> {
        let Some(Mount {
            digest,
            from: Some(from),
        }) = mount
        else {
            return Ok(None);
        };
        let answer = created(name, "blobs", &digest);
        let (disk, name) = (Arc::clone(&self.disk), name.clone());
        let mounted = self
            .threads
            .run(move || disk.mount_blob(&from, &digest, &name))
            .await?;
        Ok(mounted.then(|| answer.empty()))
    }

    /// `POST …/blobs/uploads/`: end-4a.
    pub(in crate::embedded) async fn start_upload(
        &self,
        name: RepositoryName,
        algorithm: Option<Algorithm>,
    ) -> Answer {
        let algorithm = algorithm.unwrap_or(Algorithm::Sha256);
        let progress = self.start(&name, algorithm).await?.rest()?;
        Ok(describe(StatusCode::ACCEPTED, &name, &progress).empty())
    }

    /// `POST …/blobs/uploads/?digest=<digest>`: end-4b. Nothing is left when it fails, for
    /// nobody knows the session.
    pub(in crate::embedded) async fn upload_at_once(
        &self,
        name: RepositoryName,
        digest: Digest,
        body: Body,
    ) -> Answer {
        let lease = self.start(&name, digest.algorithm()).await?;
        let lease = receive(lease.for_one_request(), body, None, &self.threads).await?;
        self.commit(lease, name, digest).await
    }

    pub(in crate::embedded) async fn uploads(
        &self,
        upload: Upload,
        digest: Option<Digest>,
        request: &Parts,
        body: Body,
    ) -> Answer {
        let headers = &request.headers;
        match (&request.method, digest) {
            (&Method::PATCH, _) => self.patch_upload(upload, headers, body).await,
            (&Method::PUT, Some(digest)) => self.finish_upload(upload, digest, headers, body).await,
            (&Method::PUT, None) => Err(Failure::refused(
                ErrorCode::DigestInvalid,
                "an upload is finished with its digest as the query parameter `digest`",
            )),
            (&Method::DELETE, _) => self.cancel_upload(upload).await,
            _ => self.upload_status(upload).await,
        }
    }

    /// `GET` and `HEAD` of an upload: end-13.
    async fn upload_status(&self, upload: Upload) -> Answer {
        let Upload { name, id } = upload;
        let (sessions, asked) = (Arc::clone(&self.sessions), name.clone());
        let progress = self
            .threads
            .run(move || sessions.progress(&asked, &id))
            .await?;
        Ok(describe(StatusCode::NO_CONTENT, &name, &progress).empty())
    }

    /// `PATCH` of an upload: end-5.
    async fn patch_upload(&self, upload: Upload, headers: &HeaderMap, body: Body) -> Answer {
        let Upload { name, id } = upload;
        let lease = self.lease(&name, id).await?;
        let declared = declared_length(headers, &name, &lease.progress())?;
        let lease = receive(lease, body, declared, &self.threads).await?;
        let progress = lease.rest()?;
        Ok(describe(StatusCode::ACCEPTED, &name, &progress).empty())
    }

    /// `PUT` of an upload, with or without a last chunk: end-6.
    async fn finish_upload(
        &self,
        upload: Upload,
        digest: Digest,
        headers: &HeaderMap,
        body: Body,
    ) -> Answer {
        let Upload { name, id } = upload;
        let mut lease = self.lease(&name, id).await?;
        let declared = declared_length(headers, &name, &lease.progress())?;
        let algorithm = digest.algorithm();
        let lease = self
            .threads
            .run(move || lease.hash_with(algorithm).map(|()| lease))
            .await?;
        let lease = receive(lease, body, declared, &self.threads).await?;
        self.commit(lease, name, digest).await
    }

    /// `DELETE` of an upload: end-14.
    async fn cancel_upload(&self, upload: Upload) -> Answer {
        let Upload { name, id } = upload;
        let sessions = Arc::clone(&self.sessions);
        self.threads
            .run(move || sessions.cancel(&name, &id))
            .await?;
        Ok(Draft::new(StatusCode::NO_CONTENT).empty())
    }

    async fn start(&self, name: &RepositoryName, algorithm: Algorithm) -> Result<Lease, Failure> {
        let (sessions, name) = (Arc::clone(&self.sessions), name.clone());
        self.threads
            .run(move || sessions.start(&name, algorithm))
            .await
    }

    /// Refused with where the upload stands when another request has it.
    async fn lease(&self, name: &RepositoryName, id: UploadId) -> Result<Lease, Failure> {
        let (sessions, name) = (Arc::clone(&self.sessions), name.clone());
        let leased = self.threads.run(move || {
            sessions.lease(&name, &id).map_err(|failure| {
                match (&failure, sessions.progress(&name, &id)) {
                    (Failure::Refused(Refusal { code, .. }), Ok(progress))
                        if *code == ErrorCode::RangeInvalid =>
                    {
                        locate(failure, &name, &progress)
                    }
                    _ => failure,
                }
            })
        });
        leased.await
    }

    async fn commit(&self, lease: Lease, name: RepositoryName, digest: Digest) -> Answer {
        let answer = created(&name, "blobs", &digest);
        let size = lease.progress().written;
        self.threads
            .run(move || lease.commit(&name, &digest))
            .await?;
        self.metrics.stored_blobs.inc();
        self.metrics.stored_bytes.inc_by(size);
        Ok(answer.empty())
    }
}

fn describe(status: StatusCode, name: &RepositoryName, progress: &Progress) -> Draft {
    Draft::new(status)
        .header(LOCATION, &location(name, progress))
        .header(RANGE, &range(progress))
        .header(UPLOAD_UUID, progress.id.as_str())
}

fn locate(failure: Failure, name: &RepositoryName, progress: &Progress) -> Failure {
    failure
        .with_header(LOCATION, &location(name, progress))
        .with_header(RANGE, &range(progress))
        .with_header(UPLOAD_UUID, progress.id.as_str())
}

fn location(name: &RepositoryName, progress: &Progress) -> String {
    format!("/v2/{name}/blobs/uploads/{}", progress.id)
}

/// The last byte received. Nothing yet is `0-0` too, as clients know it from distribution.
fn range(progress: &Progress) -> String {
    format!("0-{}", progress.written.saturating_sub(1))
}

/// Checks `Content-Range` against what came before and `Content-Length`; how many bytes it
/// announces. `None` without `Content-Range`: a chunk then goes to the end, however long.
fn declared_length(
    headers: &HeaderMap,
    name: &RepositoryName,
    progress: &Progress,
) -> Result<Option<u64>, Failure> {
    let Some(value) = headers.get(CONTENT_RANGE) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let out_of_order = |message: String| {
        let failure = Failure::refused(ErrorCode::RangeInvalid, message);
        Err(locate(failure, name, progress))
    };
    let Some((first, last)) = chunk_range(text) else {
        return out_of_order(format!("Content-Range `{text}` is not of the form `0-99`"));
    };
    if first != progress.written {
        return out_of_order(format!(
            "the chunk begins at byte {first}, but {} bytes came so far",
            progress.written
        ));
    }
    let length = last - first + 1;
    let sent = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let Some(sent) = sent.filter(|sent| *sent != length) {
        return Err(Failure::refused(
            ErrorCode::SizeInvalid,
            format!("Content-Range announces {length} bytes, Content-Length {sent}"),
        ));
    }
    Ok(Some(length))
}

/// `first-last`, both included (OCI distribution-spec, "Pushing a blob in chunks"), also with the
/// unit and the size that HTTP's own form has.
pub(in crate::embedded) fn chunk_range(text: &str) -> Option<(u64, u64)> {
    let text = text.strip_prefix("bytes ").unwrap_or(text);
    let text = text.split_once('/').map_or(text, |(range, _size)| range);
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    (first <= last && last < u64::MAX).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_ranges_are_read_in_both_forms() {
        for good in ["0-99", "bytes 0-99", "bytes 0-99/*", "0-99/100"] {
            assert_eq!(chunk_range(good), Some((0, 99)), "{good}");
        }
        for bad in [
            "",
            "0",
            "-",
            "5-",
            "-5",
            "9-0",
            "a-b",
            "0-18446744073709551615",
        ] {
            assert_eq!(chunk_range(bad), None, "{bad}");
        }
    }
}
