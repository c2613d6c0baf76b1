//! Half uploads of large blobs that outlive a broken connection and the process.
//!
//! Only the job that began an upload goes on with it: a job runs once at a time, over all
//! instances. What is not remembered costs bytes that are sent again, no more.

pub(crate) mod queries;

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use super::{RegistryId, Shared, places::Place};
use crate::{
    clock::{SharedClock, Timestamp},
    jobs::JobId,
    oci::{Digest, RepositoryName},
    registry::Upload,
    secret::SealingKey,
    store::{Db, Error},
};
use queries::{OrphanRow, UploadRow};

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
        let context = context(job, digest.as_str());
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
        let sealed = (&*context(job, digest.as_str()), row);
        Ok(self.opened(place.repository.clone(), sealed))
    }

    /// The upload has ended, or nobody will go on with it.
    pub(in crate::replication) async fn forget(&self, job: JobId, digest: &Digest) {
        self.forget_text(job, digest.as_str()).await;
    }

    async fn forget_text(&self, job: JobId, digest: &str) {
        if let Err(error) = queries::forget(&self.db, job, digest).await {
            tracing::debug!(%error, "an upload was not forgotten");
        }
    }

    /// A row with its location unsealed; `None` when that cannot be read.
    fn opened(&self, name: RepositoryName, (context, row): (&str, UploadRow)) -> Option<Upload> {
        let location = self.sealing.open(context, &row.location).ok()?;
        let min_chunk = row.min_chunk_bytes;
        Some(Upload {
            name,
            location: String::from_utf8(location).ok()?,
            offset_bytes: u64::try_from(row.offset_bytes).unwrap_or_default(),
            min_chunk_bytes: min_chunk.and_then(|bytes| u64::try_from(bytes).ok()),
        })
    }
}

/// Gives up uploads that no run will go on with, at their registries too: those of jobs that were
/// stopped while they waited, and those that have not gone on for a day.
pub(in crate::replication) async fn sweep(shared: &Shared, now: Timestamp) -> Result<(), Error> {
    let orphans = queries::orphaned(&shared.db, now.minus(KEPT)).await?;
    stream::iter(orphans)
        .for_each_concurrent(AT_ONCE, |orphan| give_up(shared, orphan))
        .await;
    Ok(())
}

async fn give_up(shared: &Shared, orphan: OrphanRow) {
    let (job, uploads) = (JobId(orphan.job_id), &shared.uploads);
    let row = UploadRow {
        location: orphan.location,
        offset_bytes: orphan.offset_bytes,
        min_chunk_bytes: orphan.min_chunk_bytes,
    };
    let upload = orphan.repository.parse().ok().and_then(|name| {
        let context = context(job, &orphan.digest);
        uploads.opened(name, (&context, row))
    });
    let client = shared.client(RegistryId(orphan.registry_id)).await;
    if let (Some(upload), Ok(client)) = (upload, client) {
        // What is not cancelled expires there.
        let _ = timeout(CANCEL_WITHIN, client.cancel_upload(&upload)).await;
    }
    uploads.forget_text(job, &orphan.digest).await;
}

/// Binds a sealed location to its row.
fn context(job: JobId, digest: &str) -> String {
    format!("replication_uploads.location/{}/{digest}", job.0)
}

/// Attempts of a job are minutes apart; distribution drops uploads after a week.
const KEPT: Duration = Duration::from_hours(24);
const AT_ONCE: usize = 16;
/// Other things wait for the sweep.
const CANCEL_WITHIN: Duration = Duration::from_secs(2);
