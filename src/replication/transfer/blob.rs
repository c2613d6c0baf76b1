use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::{copy::Copy, queries, throttle::Throttled};
use crate::{
    failpoint,
    jobs::Failure,
    oci::{Descriptor, Digest},
    registry::{Kind, Mounted, Upload, verified},
    replication::metrics::{Arrival, BlobLabels},
    wire::Body,
};

impl Copy<'_> {
    /// Brings the blobs of a manifest to the destination, several at once.
    pub(super) async fn copy_blobs(&self, blobs: &[Descriptor]) -> Result<(), Failure> {
        let mut wanted: Vec<&Descriptor> = Vec::with_capacity(blobs.len());
        for blob in blobs {
            if blob.is_foreign() {
                self.log
                    .line(format!("blob {}: foreign, not copied", blob.digest));
            } else if !wanted.iter().any(|other| other.digest == blob.digest) {
                wanted.push(blob);
            }
        }
        let mut copies = Vec::with_capacity(wanted.len());
        for blob in wanted {
            copies.push(self.copy_blob(blob));
        }
        let present: Vec<Option<Digest>> = stream::iter(copies)
            .buffer_unordered(self.shared.config.parallel_blobs.max(1))
            .try_collect()
            .await?;
        self.remember(&present.into_iter().flatten().collect::<Vec<_>>())
            .await;
        Ok(())
    }

    /// The digest, if the destination had the blob and nobody has written that down.
    async fn copy_blob(&self, blob: &Descriptor) -> Result<Option<Digest>, Failure> {
        let digest = &blob.digest;
        let stopped = |_closed| Failure::Stopped;
        let _slot = self.slots.acquire().await.map_err(stopped)?;
        let flights = &self.shared.flights;
        let _turn = flights.turn(self.destination.registry, digest).await;
        let begun = Instant::now();
        let arrival = if self.destination.has_blob(digest).await? {
            Arrival::Present
        } else {
            self.bring(blob).await?
        };
        let metrics = &self.shared.metrics;
        metrics.blobs.get_or_create(&BlobLabels { arrival }).inc();
        let (size, ms) = (size_text(blob.size), begun.elapsed().as_millis());
        match arrival {
            Arrival::Present => {
                self.log
                    .line(format!("blob {digest}: {size}, at the destination"));
                return Ok(Some(digest.clone()));
            }
            Arrival::Mounted => {
                self.log
                    .line(format!("blob {digest}: {size}, mounted in {ms} ms"));
            }
            Arrival::Uploaded => {
                self.log
                    .line(format!("blob {digest}: {size}, copied in {ms} ms"));
            }
        }
        // Before the turn ends, so that whoever waits for it mounts.
        self.remember(std::slice::from_ref(digest)).await;
        failpoint::hit("replication.blob_remembered");
        Ok(None)
    }

    async fn bring(&self, blob: &Descriptor) -> Result<Arrival, Failure> {
        match self.mount(&blob.digest).await? {
            Some(Mounted::Done) => {
                failpoint::hit("replication.blob_mounted");
                Ok(Arrival::Mounted)
            }
            Some(Mounted::Session(upload)) => self.upload(upload, blob).await,
            None => {
                let end = &self.destination;
                let upload = end.client.start_upload(&end.repository).await;
                let upload = upload.map_err(|error| end.failure(&error))?;
                self.upload(upload, blob).await
            }
        }
    }

    /// Tries to mount from where the blob was last seen. `None`: begin an upload instead.
    async fn mount(&self, digest: &Digest) -> Result<Option<Mounted>, Failure> {
        let end = &self.destination;
        let db = &self.shared.db;
        let from = queries::elsewhere(db, end.registry, digest, &end.repository)
            .await
            .map_err(|error| Failure::retryable(error.to_string()))?;
        let Some(from) = from.and_then(|name| name.parse().ok()) else {
            return Ok(None);
        };
        match end.client.mount(&end.repository, digest, Some(&from)).await {
            Ok(mounted) => Ok(Some(mounted)),
            Err(error) if is_no_to_mounting(error.kind()) => Ok(None),
            Err(error) => Err(end.failure(&error)),
        }
    }

    /// Streams the blob from the source into the session; the bytes are verified on the way.
    async fn upload(&self, upload: Upload, blob: &Descriptor) -> Result<Arrival, Failure> {
        self.open_uploads().push(upload.clone());
        failpoint::hit("replication.upload_started");
        let source = &self.source;
        let found = source.client.blob(&source.repository, &blob.digest).await;
        let body = found.map_err(|error| source.failure(&error))?.body;
        let body = verified(body, &blob.digest, blob.size);
        let body = match &self.bucket {
            Some(bucket) => Body::boxed(Throttled::new(body, bucket.clone())),
            None => body,
        };
        let end = &self.destination;
        end.client
            .put_upload(&upload, &blob.digest, blob.size, body)
            .await
            .map_err(|error| end.failure(&error))?;
        failpoint::hit("replication.blob_uploaded");
        self.shared.metrics.uploaded_bytes.inc_by(blob.size);
        self.open_uploads().retain(|open| *open != upload);
        Ok(Arrival::Uploaded)
    }

    /// A hint that is not written costs an upload where a mount would have done.
    async fn remember(&self, digests: &[Digest]) {
        let end = &self.destination;
        if digests.is_empty() || end.registry.is_local() {
            return;
        }
        let now = self.shared.clock.now();
        let written =
            queries::seen(&self.shared.db, end.registry, &end.repository, digests, now).await;
        if let Err(error) = written {
            tracing::debug!(%error, "the places of blobs were not written down");
        }
    }
}

/// Answers that mean "upload it", from registries that cannot or will not mount.
fn is_no_to_mounting(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::NotFound | Kind::Unauthorized | Kind::Denied | Kind::Unsupported | Kind::Invalid
    )
}

/// Bytes as people read them, in units of 1024.
fn size_text(bytes: u64) -> String {
    let mut whole = bytes;
    let mut tenths = 0;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if whole < 1024 {
            return match unit {
                "bytes" => format!("{whole} bytes"),
                _ => format!("{whole}.{tenths} {unit}"),
            };
        }
        tenths = (whole % 1024) * 10 / 1024;
        whole /= 1024;
    }
    format!("{whole}.{tenths} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_for_people() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (104_857_600, "100.0 MiB"),
            (5 * 1024 * 1024 * 1024 + 1, "5.0 GiB"),
            (2 * 1024_u64.pow(4), "2.0 TiB"),
        ] {
            assert_eq!(size_text(bytes), text);
        }
    }
}
