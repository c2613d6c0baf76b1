//! Half uploads of large blobs that outlive a broken connection and the process.
//!
//! Only the job that began an upload goes on with it: a job runs once at a time, over all
//! instances. What is not remembered costs bytes that are sent again, no more.

pub(crate) mod queries;

use std::{sync::Arc, time::Duration};

use super::places::Place;
use crate::{
    clock::{SharedClock, Timestamp},
    jobs::JobId,
    oci::Digest,
    registry::Upload,
    secret::SealingKey,
    store::{Db, Error},
};
use queries::UploadRow;

/// The uploads that are remembered. Their locations are sealed.
#[derive(Debug)]
pub(in crate::replication) struct Uploads {
    db: Db,
    clock: SharedClock,
    sealing: Arc<SealingKey>,
}

impl Uploads {
    pub(in crate::replication) fn new(
        db: Db,
        clock: SharedClock,
        sealing: Arc<SealingKey>,
    ) -> Self {
        Self { db, clock, sealing }
    }

    /// Writes down how far the job's upload of a blob has come.
    pub(in crate::replication) async fn remember(
        &self,
        job: JobId,
        place: Place<'_>,
        digest: &Digest,
        upload: &Upload,
    ) {
        let context = context(job, digest);
        let Ok(location) = self.sealing.seal(&context, upload.location.as_bytes()) else {
            return;
        };
        let row = UploadRow {
            location,
            offset_bytes: i64::try_from(upload.offset_bytes).unwrap_or(i64::MAX),
            min_chunk_bytes: upload
                .min_chunk_bytes
                .and_then(|bytes| i64::try_from(bytes).ok()),
        };
        let written = queries::remember(&self.db, (job, digest), place, &row, self.clock.now());
        if let Err(error) = written.await {
            tracing::debug!(%error, "an upload was not written down");
        }
    }

    /// The job's upload of the blob to this place, as it was when it was last written down.
    pub(in crate::replication) async fn recall(
        &self,
        job: JobId,
        place: Place<'_>,
        digest: &Digest,
    ) -> Result<Option<Upload>, Error> {
        let Some(row) = queries::recall(&self.db, (job, digest), place).await? else {
            return Ok(None);
        };
        let location = self.sealing.open(&context(job, digest), &row.location);
        let location = location
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(location.map(|location| Upload {
            name: place.repository.clone(),
            location,
            offset_bytes: u64::try_from(row.offset_bytes).unwrap_or_default(),
            min_chunk_bytes: row
                .min_chunk_bytes
                .and_then(|bytes| u64::try_from(bytes).ok()),
        }))
    }

    /// The upload has ended, or nobody will go on with it.
    pub(in crate::replication) async fn forget(&self, job: JobId, digest: &Digest) {
        if let Err(error) = queries::forget(&self.db, job, digest).await {
            tracing::debug!(%error, "an upload was not forgotten");
        }
    }

    /// Forgets uploads that nobody has gone on with for a day; registries drop them by themselves.
    pub(in crate::replication) async fn sweep(&self, now: Timestamp) -> Result<(), Error> {
        queries::sweep(&self.db, now.minus(KEPT)).await
    }
}

/// Binds a sealed location to its row.
fn context(job: JobId, digest: &Digest) -> String {
    format!("replication_uploads.location/{}/{digest}", job.0)
}

/// Attempts of a job are minutes apart; distribution drops uploads after a week.
const KEPT: Duration = Duration::from_hours(24);
