use std::{collections::HashSet, time::Duration};

use tokio::time::{Instant, timeout};

use super::{
    copy::{Copy, Trust},
    download::download,
    failure::from_store,
    side_by_side::side_by_side,
};
use crate::{
    failpoint,
    jobs::Failure,
    oci::{Descriptor, Digest},
    registry::{Kind, Mounted, Upload, verified},
    replication::{
        metrics::{Arrival, BlobLabels},
        places::Place,
    },
    wire::{Body, Throttled},
};

impl Copy<'_> {
    /// Brings the blobs of a manifest to the destination, several at once; those that it is known
    /// to have need nothing.
    pub(super) async fn copy_blobs(
        &self,
        blobs: &[Descriptor],
        trust: Trust,
    ) -> Result<(), Failure> {
        let mut wanted: Vec<&Descriptor> = Vec::with_capacity(blobs.len());
        for blob in blobs {
            let is_new = !wanted.iter().any(|other| other.digest == blob.digest);
            if is_new && (!blob.is_foreign() || self.takes_foreign(blob).await?) {
                wanted.push(blob);
            }
        }
        let bytes = wanted.iter().map(|blob| blob.size);
        let bytes = bytes.fold(0, u64::saturating_add);
        self.job.expects(bytes, wanted.len() as u64);
        let known = self.known(&wanted, trust).await?;
        let mut copies = Vec::with_capacity(wanted.len());
        for blob in wanted {
            if known.contains(&blob.digest) {
                self.arrived(blob, Arrival::Present, "known at the destination");
            } else {
                copies.push(self.copy_blob(blob, trust));
            }
        }
        side_by_side(copies, self.shared.config.parallel_blobs).await
    }

    /// Registries need not hold such a layer, clients fetch it from where its manifest says. We
    /// do not go there: what a manifest names may be any address.
    async fn takes_foreign(&self, blob: &Descriptor) -> Result<bool, Failure> {
        let reason = if !self.policy.spec.copy_foreign_layers {
            "not copied"
        } else if self.source.has_blob(&blob.digest).await? {
            return Ok(true);
        } else {
            "the source does not hold it"
        };
        self.log
            .line(format!("blob {}: foreign, {reason}", blob.digest));
        Ok(false)
    }

    async fn known(&self, blobs: &[&Descriptor], trust: Trust) -> Result<HashSet<Digest>, Failure> {
        if trust == Trust::Ask {
            return Ok(HashSet::new());
        }
        let digests: Vec<&Digest> = blobs.iter().map(|blob| &blob.digest).collect();
        let places = &self.shared.places;
        let known = places.known(self.destination.place(), &digests).await;
        known.map_err(|error| from_store(&error))
    }

    async fn copy_blob(&self, blob: &Descriptor, trust: Trust) -> Result<(), Failure> {
        let digest = &blob.digest;
        let stopped = |_closed| Failure::Stopped;
        let _slot = self.slots.acquire().await.map_err(stopped)?;
        let flights = &self.shared.flights;
        // Who sends it already may take for ever: a push is as fast as its client.
        let turn = flights.turn(self.destination.registry, digest);
        let _turn = timeout(TURN_WITHIN, turn).await.ok();
        let begun = Instant::now();
        // Whoever had the turn before may have brought it here.
        if self.known(&[blob], trust).await?.contains(digest) {
            self.arrived(blob, Arrival::Present, "brought by another copy");
            return Ok(());
        }
        let (arrival, what) = if trust == Trust::Ask && self.destination.has_blob(digest).await? {
            (Arrival::Present, "at the destination")
        } else {
            match self.bring(blob).await? {
                Arrival::Uploaded => (Arrival::Uploaded, "copied"),
                arrival => (arrival, "mounted"),
            }
        };
        let ms = begun.elapsed().as_millis();
        self.arrived(blob, arrival, &format!("{what} in {ms} ms"));
        // Before the turn ends, so that whoever waits for it mounts.
        let places = &self.shared.places;
        places.saw_blobs(self.destination.place(), &[digest]).await;
        failpoint::hit("replication.blob_remembered");
        Ok(())
    }

    fn arrived(&self, blob: &Descriptor, arrival: Arrival, how: &str) {
        let metrics = &self.shared.metrics;
        metrics.blobs.get_or_create(&BlobLabels { arrival }).inc();
        if arrival != Arrival::Uploaded {
            self.job.spared(blob.size);
        }
        self.job.did_part();
        let (digest, size) = (&blob.digest, size_text(blob.size));
        self.log.line(format!("blob {digest}: {size}, {how}"));
    }

    async fn bring(&self, blob: &Descriptor) -> Result<Arrival, Failure> {
        let in_chunks = self.goes_in_chunks(blob).await?;
        if in_chunks && let Some(upload) = self.half_upload(blob).await? {
            return self.upload_in_chunks(upload, blob).await;
        }
        let upload = match self.mount(&blob.digest).await? {
            Some(Mounted::Done) => {
                failpoint::hit("replication.blob_mounted");
                return Ok(Arrival::Mounted);
            }
            Some(Mounted::Session(upload)) => upload,
            None => self.start_upload().await?,
        };
        if in_chunks {
            self.upload_in_chunks(upload, blob).await
        } else {
            self.upload_whole(upload, blob).await
        }
    }

    pub(super) async fn start_upload(&self) -> Result<Upload, Failure> {
        let end = &self.destination;
        let upload = end.client.start_upload(&end.repository).await;
        upload.map_err(|error| end.failure(&error))
    }

    /// Tries to mount from where the blob is known to be, else from the repository itself: that
    /// finds out whether it is there, and costs no more than opening a session. `None`: the
    /// registry will not, open one.
    async fn mount(&self, digest: &Digest) -> Result<Option<Mounted>, Failure> {
        let end = &self.destination;
        let places = &self.shared.places;
        let known = places.elsewhere(end.place(), digest).await;
        let known = known.map_err(|error| from_store(&error))?;
        let from = known.as_ref().unwrap_or(&end.repository);
        let mounted = match end.client.mount(&end.repository, digest, Some(from)).await {
            Ok(mounted) => Some(mounted),
            Err(error) if is_no_to_mounting(error.kind()) => None,
            Err(error) => return Err(end.failure(&error)),
        };
        if let (Some(repository), None | Some(Mounted::Session(_))) = (&known, &mounted) {
            let place = Place {
                repository,
                ..end.place()
            };
            let forgotten = places.forget_blob(place, digest).await;
            forgotten.map_err(|error| from_store(&error))?;
        }
        Ok(mounted)
    }

    /// Streams the blob from the source into the session; the bytes are verified on the way.
    pub(super) async fn upload_whole(
        &self,
        upload: Upload,
        blob: &Descriptor,
    ) -> Result<Arrival, Failure> {
        self.upload_is_open(blob, &upload, false);
        failpoint::hit("replication.upload_started");
        let source = &self.source;
        let body = download(source, &blob.digest, 0..blob.size).await;
        let body = body.map_err(|error| source.failure(&error))?;
        let body = verified(body, &blob.digest, blob.size);
        let body = Body::boxed(Throttled::new(body, self.buckets.clone()));
        let end = &self.destination;
        end.client
            .put_upload(&upload, &blob.digest, blob.size, body)
            .await
            .map_err(|error| end.failure(&error))?;
        failpoint::hit("replication.blob_uploaded");
        self.moved(blob.size);
        self.upload_ended(blob);
        Ok(Arrival::Uploaded)
    }

    /// The destination has taken so many bytes more.
    pub(super) fn moved(&self, bytes: u64) {
        self.shared.metrics.uploaded_bytes.inc_by(bytes);
        self.job.moved(bytes);
    }
}

/// Longer than a target lags behind a push that it takes part in; then the blob is sent twice.
const TURN_WITHIN: Duration = Duration::from_secs(30);

/// Answers that mean "upload it", from registries that cannot or will not mount.
fn is_no_to_mounting(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::NotFound | Kind::Unauthorized | Kind::Denied | Kind::Unsupported | Kind::Invalid
    )
}

/// Bytes as people read them, in units of 1024.
pub(super) fn size_text(bytes: u64) -> String {
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
