use std::{ops::Range, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::end::End;
use crate::{
    oci::{Digest, RepositoryName},
    registry::{Blob, BlobRange, Client, Error},
    wire::{Body, BoxError},
};

/// A blob on its way from the source. Where the source breaks off it is asked for the rest.
struct Download {
    client: Client,
    repository: RepositoryName,
    digest: Digest,
    size_bytes: u64,
    body: Body,
    /// Handed on so far.
    got_bytes: u64,
    /// Bytes that come once more, from a source that does not know ranges.
    skip_bytes: u64,
    /// Breaks in a row without any byte between them.
    breaks: u32,
}

/// The bytes of a blob from a place in it to its end, not yet verified. Silence is bounded by the
/// client, the whole is not.
pub(super) async fn download(
    source: &End,
    digest: &Digest,
    bytes: Range<u64>,
) -> Result<Body, Error> {
    let (client, repository) = (&source.client, &source.repository);
    let blob = match bytes.start {
        0 => client.blob(repository, digest).await?,
        start => {
            let range = BlobRange { start, end: None };
            client.blob_range(repository, digest, range).await?
        }
    };
    let download = Download {
        client: source.client.clone(),
        repository: source.repository.clone(),
        digest: digest.clone(),
        size_bytes: bytes.end,
        body: blob.body,
        got_bytes: bytes.start,
        skip_bytes: bytes.start.saturating_sub(blob.start_bytes),
        breaks: 0,
    };
    let frames = stream::try_unfold(download, |mut download| async move {
        let next = download.next().await?;
        Ok::<_, BoxError>(next.map(|data| (Frame::data(data), download)))
    });
    Ok(Body::boxed(StreamBody::new(Box::pin(frames))))
}

impl Download {
    /// The next bytes; `None` at the blob's end, or where the source always ends it.
    async fn next(&mut self) -> Result<Option<Bytes>, BoxError> {
        loop {
            let broken = match self.body.frame().await {
                Some(Ok(frame)) => match self.fresh(frame) {
                    Some(data) => return Ok(Some(data)),
                    None => continue,
                },
                None if self.got_bytes >= self.size_bytes => return Ok(None),
                None => None,
                Some(Err(error)) => Some(error),
            };
            if self.breaks == MAX_BREAKS {
                return broken.map_or(Ok(None), Err);
            }
            tokio::time::sleep(PAUSE * self.breaks).await;
            self.breaks += 1;
            self.go_on().await?;
        }
    }

    /// What of a frame was not handed on before.
    fn fresh(&mut self, frame: Frame<Bytes>) -> Option<Bytes> {
        let mut data = frame.into_data().ok()?;
        let old = usize::try_from(self.skip_bytes).map_or(data.len(), |skip| skip.min(data.len()));
        self.skip_bytes -= old as u64;
        let data = data.split_off(old);
        if data.is_empty() {
            return None;
        }
        self.breaks = 0;
        self.got_bytes += data.len() as u64;
        Some(data)
    }

    async fn go_on(&mut self) -> Result<(), Error> {
        let range = BlobRange {
            start: self.got_bytes,
            end: None,
        };
        let rest = self
            .client
            .blob_range(&self.repository, &self.digest, range)
            .await;
        match rest {
            Ok(Blob {
                body, start_bytes, ..
            }) => {
                self.skip_bytes = self.got_bytes.saturating_sub(start_bytes);
                self.body = body;
                Ok(())
            }
            // The next look at the empty body counts as a break.
            Err(error) if error.retryable() => {
                self.body = Body::Empty;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Breaks without progress before the attempt is given up; the job makes others.
const MAX_BREAKS: u32 = 4;
/// Grows with each break; all of them are far below the silence that a destination bears.
const PAUSE: Duration = Duration::from_millis(500);
