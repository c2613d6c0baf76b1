use http::{HeaderName, HeaderValue, Method, StatusCode, header};

use super::{
    Client,
    call::{Answer, Call},
    verified,
};
use crate::{
    oci::{Digest, Mount, RepositoryName, Route, media_type},
    registry::Error,
    wire::Body,
};

/// An upload session. Every step gives a new one; the old one is spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub name: RepositoryName,
    /// Path and query at the registry, or the absolute URL of a storage. Whoever has it may
    /// write to the session: keep it out of logs.
    pub location: String,
    /// Bytes that the registry has.
    pub offset_bytes: u64,
    /// The registry wants chunks of at least this size, the last one excepted.
    pub min_chunk_bytes: Option<u64>,
}

/// What became of a mount.
#[derive(Debug)]
pub enum Mounted {
    /// The blob is there now.
    Done,
    /// The registry did not mount; this session may take the bytes.
    Session(Upload),
}

impl Client {
    /// Opens an upload session (end-4a).
    pub async fn start_upload(&self, name: &RepositoryName) -> Result<Upload, Error> {
        let answer = self.send(start(name, None)).await?;
        let answer = answer.expect(&[StatusCode::ACCEPTED]).await?;
        Upload::read(name, &answer)
    }

    /// Asks for a blob that the registry has in `from`, or anywhere (end-11). Costs no more than
    /// opening a session, for that is what the registry does when it cannot mount.
    pub async fn mount(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<Mounted, Error> {
        let mount = Mount {
            digest: digest.clone(),
            from: from.cloned(),
        };
        let statuses = [StatusCode::CREATED, StatusCode::ACCEPTED];
        let answer = self
            .send(start(name, Some(mount)))
            .await?
            .expect(&statuses)
            .await?;
        if answer.status() == StatusCode::CREATED {
            return Ok(Mounted::Done);
        }
        Ok(Mounted::Session(Upload::read(name, &answer)?))
    }

    /// Stores a blob in two requests: POST, then PUT of all its bytes (end-4a, end-6).
    pub async fn put_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        size_bytes: u64,
        body: Body,
    ) -> Result<(), Error> {
        let upload = self.start_upload(name).await?;
        self.put_upload(&upload, digest, size_bytes, body).await
    }

    /// [`Client::put_blob`] that breaks off before its last bytes when `body` is not what
    /// `digest` and `size_bytes` say.
    pub async fn put_blob_verified(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        size_bytes: u64,
        body: Body,
    ) -> Result<(), Error> {
        let body = verified(body, digest, size_bytes);
        self.put_blob(name, digest, size_bytes, body).await
    }

    /// Ends a session with the `size_bytes` that it still lacks, all of them if it is new
    /// (end-6). A web page answers 200 as well: that is believed once the blob is there.
    pub async fn put_upload(
        &self,
        upload: &Upload,
        digest: &Digest,
        size_bytes: u64,
        body: Body,
    ) -> Result<(), Error> {
        let separator = if upload.location.contains('?') {
            '&'
        } else {
            '?'
        };
        let digest_parameter = digest.as_str().replace(':', "%3A");
        let target = format!("{}{separator}digest={digest_parameter}", upload.location);
        let call = Call::new(Method::PUT, &target)
            .uploads_to(&upload.name)
            .header(header::CONTENT_TYPE, OCTET_STREAM)
            .body(size_bytes, body);
        let statuses = [
            StatusCode::CREATED,
            StatusCode::NO_CONTENT,
            StatusCode::ACCEPTED,
            StatusCode::OK,
        ];
        let answer = self.send(call).await?.expect(&statuses).await?;
        if answer.status() == StatusCode::OK
            && self.head_blob(&upload.name, digest).await?.is_none()
        {
            let missing = "the registry took the blob, but does not have it";
            return Err(Error::malformed(&answer.operation, missing));
        }
        match answer
            .digest()
            .filter(|stored| stored.algorithm() == digest.algorithm())
        {
            Some(stored) if stored != *digest => Err(Error::Stored {
                operation: answer.operation,
                expected: digest.clone(),
                actual: stored,
            }),
            _ => Ok(()),
        }
    }

    /// Sends the next `size_bytes`, at least one, of a blob into a session (end-5).
    pub async fn patch_upload(
        &self,
        upload: &Upload,
        size_bytes: u64,
        body: Body,
    ) -> Result<Upload, Error> {
        let start = upload.offset_bytes;
        let last = start + size_bytes.max(1) - 1;
        let call = patch(upload).body(size_bytes, body);
        let call = match HeaderValue::try_from(format!("{start}-{last}")) {
            Ok(range) => call.header(header::CONTENT_RANGE, range),
            Err(_impossible) => call,
        };
        let next = self.patched(upload, call).await?;
        if next.offset_bytes != last + 1 {
            let operation = format!("PATCH of an upload to {}", upload.name);
            let reason = format!(
                "the registry has {} bytes of the {} that were sent",
                next.offset_bytes,
                last + 1
            );
            return Err(Error::malformed(&operation, reason));
        }
        Ok(next)
    }

    /// Sends a whole blob, or all the rest, of unknown size into a session, as docker does.
    pub async fn stream_upload(&self, upload: &Upload, body: Body) -> Result<Upload, Error> {
        self.patched(upload, patch(upload).stream(body)).await
    }

    async fn patched(&self, upload: &Upload, call: Call) -> Result<Upload, Error> {
        // 201 is what Amazon ECR answers.
        let statuses = [StatusCode::ACCEPTED, StatusCode::CREATED];
        let answer = self.send(call).await?.expect(&statuses).await?;
        let next = Upload::read(&upload.name, &answer)?;
        Ok(Upload {
            min_chunk_bytes: next.min_chunk_bytes.or(upload.min_chunk_bytes),
            ..next
        })
    }

    /// How far a session has come (end-13). [`crate::registry::Kind::NotFound`]: it is gone, or
    /// the registry cannot resume (distribution 2.8); begin anew.
    pub async fn upload_status(&self, upload: &Upload) -> Result<Upload, Error> {
        let call = Call::new(Method::GET, &upload.location).uploads_to(&upload.name);
        let statuses = [StatusCode::NO_CONTENT, StatusCode::OK];
        let answer = self.send(call).await?.expect(&statuses).await?;
        let location = answer
            .location()
            .unwrap_or_else(|_none| upload.location.clone());
        Ok(Upload {
            location,
            offset_bytes: offset(&answer),
            ..upload.clone()
        })
    }

    /// Gives a session up (end-14); one that is gone already is fine.
    pub async fn cancel_upload(&self, upload: &Upload) -> Result<(), Error> {
        let call = Call::new(Method::DELETE, &upload.location).uploads_to(&upload.name);
        let statuses = [
            StatusCode::NO_CONTENT,
            StatusCode::ACCEPTED,
            StatusCode::OK,
            StatusCode::NOT_FOUND,
        ];
        self.send(call).await?.expect(&statuses).await.map(drop)
    }
}

impl Upload {
    fn read(name: &RepositoryName, answer: &Answer) -> Result<Self, Error> {
        Ok(Self {
            name: name.clone(),
            location: answer.location()?,
            offset_bytes: offset(answer),
            min_chunk_bytes: answer.header(MIN_CHUNK).and_then(|text| text.parse().ok()),
        })
    }
}

fn patch(upload: &Upload) -> Call {
    Call::new(Method::PATCH, &upload.location)
        .uploads_to(&upload.name)
        .header(header::CONTENT_TYPE, OCTET_STREAM)
}

fn start(name: &RepositoryName, mount: Option<Mount>) -> Call {
    let route = Route::StartUpload {
        name: name.clone(),
        mount,
        digest: None,
        algorithm: None,
    };
    Call::of(Method::POST, &route)
}

/// Bytes the registry has, by `Range: 0-<last>`. An empty session says `0-0`, which is taken for
/// no bytes: a session of one byte is not worth resuming.
fn offset(answer: &Answer) -> u64 {
    let last = answer
        .header(header::RANGE)
        .and_then(|range| range.trim_start_matches("bytes=").split_once('-'))
        .and_then(|(_start, last)| last.parse::<u64>().ok());
    last.filter(|last| *last > 0)
        .map_or(0, |last| last.saturating_add(1))
}

const OCTET_STREAM: HeaderValue = HeaderValue::from_static(media_type::OCTET_STREAM);
const MIN_CHUNK: HeaderName = HeaderName::from_static("oci-chunk-min-length");
