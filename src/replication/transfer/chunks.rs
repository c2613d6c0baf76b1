//! Large blobs go up in chunks, and after a break where they were.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    blob::size_text,
    copy::Copy,
    download::download,
    failure::{from_inner, from_store},
    portions::Portions,
};
use crate::{
    failpoint,
    jobs::Failure,
    oci::Descriptor,
    registry::{Error, Kind, Upload, verified},
    replication::metrics::Arrival,
    wire::{Body, Throttled},
};

impl Copy<'_> {
    /// Whether the blob is worth chunks and the destination takes them.
    pub(super) async fn goes_in_chunks(&self, blob: &Descriptor) -> Result<bool, Failure> {
        let (chunk_bytes, registry) = (self.chunk_bytes(), self.destination.registry);
        if chunk_bytes == 0 || blob.size < CHUNKS_AT_LEAST * chunk_bytes || registry.is_local() {
            return Ok(false);
        }
        let takes = self.shared.takes_chunks(registry).await;
        takes.map_err(|error| from_inner(&error))
    }

    /// The upload that an earlier run of this job has begun, as far as the destination has it.
    pub(super) async fn half_upload(&self, blob: &Descriptor) -> Result<Option<Upload>, Failure> {
        let (digest, end) = (&blob.digest, &self.destination);
        let uploads = &self.shared.uploads;
        let kept = uploads.recall(self.job.id, end.place(), digest).await;
        let Some(kept) = kept.map_err(|error| from_store(&error))? else {
            return Ok(None);
        };
        match end.client.upload_status(&kept).await {
            Ok(upload) if upload.offset_bytes <= blob.size => {
                let (done, size) = (size_text(upload.offset_bytes), size_text(blob.size));
                self.log
                    .line(format!("blob {digest}: goes on at {done} of {size}"));
                self.job.spared(upload.offset_bytes);
                return Ok(Some(upload));
            }
            Ok(_of_something_else) => {}
            Err(error) if error.retryable() => return Err(end.failure(&error)),
            Err(_forgotten) => {}
        }
        self.log.line(format!(
            "blob {digest}: the destination has forgotten the half upload, it begins anew"
        ));
        uploads.forget(self.job.id, digest).await;
        Ok(None)
    }

    /// Sends what the upload lacks, chunk by chunk, each of which is written down.
    ///
    /// The bytes of an upload that begins here are verified on the way. Of one that goes on only
    /// the rest is read, from the source by range: that all of it together is the blob is for the
    /// destination to check, which must refuse to end an upload whose digest is another one (OCI
    /// distribution-spec end-6). What it refuses then begins anew.
    pub(super) async fn upload_in_chunks(
        &self,
        upload: Upload,
        blob: &Descriptor,
    ) -> Result<Arrival, Failure> {
        let from = upload.offset_bytes;
        self.keep_upload(blob, &upload).await;
        let sent = match self.send_chunks(upload, blob).await? {
            Ok(()) => Ok(Arrival::Uploaded),
            Err(error) if from == 0 && is_no_to_chunks(error.kind()) => {
                self.log.line(format!(
                    "blob {}: {error}: it goes up in one piece",
                    blob.digest
                ));
                self.give_up_upload(blob).await;
                return self.upload_whole(self.start_upload().await?, blob).await;
            }
            Err(error) if from > 0 && !error.retryable() => {
                self.give_up_upload(blob).await;
                let message = format!("{error}: the half upload is given up");
                Err(Failure::retryable(message))
            }
            Err(error) => Err(self.destination.failure(&error)),
        };
        if sent.is_ok() {
            self.shared.uploads.forget(self.job.id, &blob.digest).await;
        }
        sent
    }

    /// The outer error is the source's, or a stop; the inner one the destination's.
    async fn send_chunks(
        &self,
        mut upload: Upload,
        blob: &Descriptor,
    ) -> Result<Result<(), Error>, Failure> {
        let client = &self.destination.client;
        let rest = self.rest_of(blob, upload.offset_bytes).await?;
        let least = upload.min_chunk_bytes.unwrap_or(0);
        let mut chunk_bytes = self.chunk_bytes().max(least);
        while upload.offset_bytes < blob.size {
            let bytes = chunk_bytes.min(blob.size - upload.offset_bytes);
            let begun = Instant::now();
            match client.patch_upload(&upload, bytes, rest.next(bytes)).await {
                Ok(next) => upload = next,
                Err(error) => return Ok(Err(error)),
            }
            self.keep_upload(blob, &upload).await;
            self.moved(bytes);
            failpoint::hit("replication.chunk_kept");
            if begun.elapsed() < QUICK {
                chunk_bytes = (2 * chunk_bytes)
                    .min(GROWTH * self.chunk_bytes())
                    .max(least);
            }
        }
        let put = client.put_upload(&upload, &blob.digest, 0, Body::Empty);
        if let Err(error) = put.await {
            return Ok(Err(error));
        }
        self.upload_ended(blob);
        Ok(Ok(()))
    }

    /// The blob's bytes from `from` on.
    async fn rest_of(&self, blob: &Descriptor, from: u64) -> Result<Portions, Failure> {
        if from == blob.size {
            return Ok(Portions::new(Body::Empty));
        }
        let source = &self.source;
        let body = download(source, &blob.digest, from..blob.size).await;
        let body = body.map_err(|error| source.failure(&error))?;
        let body = match from {
            0 => verified(body, &blob.digest, blob.size),
            _ => body,
        };
        let body = Throttled::new(body, self.buckets.clone());
        Ok(Portions::new(Body::boxed(body)))
    }

    async fn keep_upload(&self, blob: &Descriptor, upload: &Upload) {
        self.upload_is_open(blob, upload, true);
        let (uploads, place) = (&self.shared.uploads, self.destination.place());
        uploads
            .remember(self.job.id, place, &blob.digest, upload)
            .await;
    }

    async fn give_up_upload(&self, blob: &Descriptor) {
        if let Some(open) = self.upload_ended(blob) {
            // What is not cancelled expires there.
            let _ = self.destination.client.cancel_upload(&open.upload).await;
        }
        self.shared.uploads.forget(self.job.id, &blob.digest).await;
    }

    fn chunk_bytes(&self) -> u64 {
        u64::from(self.shared.config.chunk_mib) * 1024 * 1024
    }
}

/// Answers to the chunks of a new upload that mean "all at once".
fn is_no_to_chunks(kind: Kind) -> bool {
    matches!(kind, Kind::Unsupported | Kind::Invalid | Kind::NotFound)
}

/// A chunk that takes less is followed by a larger one: neither the wait for its answer nor what is
/// written down with it should count beside its bytes.
const QUICK: Duration = Duration::from_secs(1);
/// How many times as large as the first a chunk may become, for what breaks off is sent again.
const GROWTH: u64 = 16;
/// Blobs of fewer chunks go in one piece: sending them again costs little, and a request less is
/// worth more.
const CHUNKS_AT_LEAST: u64 = 4;
