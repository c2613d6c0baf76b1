use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Error, Pusher, Quota, ledger::Wanted};
use crate::{auth::ProjectId, oci::Digest};

/// Something on its way that counts for its project until the last clone is dropped; what was
/// [stored](Self::stored) counts on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reservation(Arc<Reserved>);

#[derive(Debug)]
struct Reserved {
    quota: Quota,
    pusher: Pusher,
    key: (ProjectId, u64),
    /// How long the upload is, as far as that is known.
    bytes: AtomicU64,
    /// The project's limit when it was asked for last.
    limit: AtomicU64,
}

impl Reservation {
    pub(super) fn new(quota: Quota, pusher: Pusher, key: (ProjectId, u64), bytes: u64) -> Self {
        Self(Arc::new(Reserved {
            quota,
            pusher,
            key,
            bytes: bytes.into(),
            limit: 0.into(),
        }))
    }

    /// How long the upload is, as far as that is known.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// The upload will be so long, and is the blob `digest` if that is known. Reads what the
    /// project uses before it refuses.
    pub async fn extend(&self, digest: Option<&Digest>, bytes: u64) -> Result<(), Error> {
        let quota = &self.0.quota;
        if let Some(limit) = quota.limit(&self.0.pusher.repository).await? {
            let wanted = Wanted::Upload {
                digest: digest.cloned(),
                bytes,
            };
            quota.take(self, limit, &wanted).await?;
        }
        self.0.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Like [`Reservation::extend`], without waiting: true when it fits by what is known.
    pub fn try_extend(&self, bytes: u64) -> bool {
        let limit = self.0.limit.load(Ordering::Relaxed);
        let wanted = Wanted::Upload {
            digest: None,
            bytes,
        };
        let fits = self.0.quota.try_take(self, limit, &wanted);
        if fits {
            self.0.bytes.store(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// The upload is so long: that is what it counts with once it [rests](Self::rest), whether it
    /// fits or not.
    pub fn settle(&self, bytes: u64) {
        self.0.bytes.store(bytes, Ordering::Relaxed);
    }

    /// No request is under way: it counts for as long as a blob without a manifest does, or until
    /// it is extended; all of it, whatever blob its last request said it was.
    pub fn rest(&self) {
        let (until, key) = (self.until(), self.0.key);
        let bytes = self.bytes();
        self.0.quota.ledger(|ledger| ledger.rest(key, bytes, until));
    }

    /// The registry has these now, with the size of each.
    pub fn stored(&self, blobs: &[(Digest, u64)]) {
        let (until, key) = (self.until(), self.0.key);
        self.0
            .quota
            .ledger(|ledger| ledger.store(key, blobs, until));
    }

    fn until(&self) -> Duration {
        let parts = &self.0.quota.0.parts;
        parts.clock.elapsed().saturating_add(parts.config.hold())
    }

    pub(super) fn set_limit(&self, bytes: u64) {
        self.0.limit.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn key(&self) -> (ProjectId, u64) {
        self.0.key
    }

    pub(super) fn pusher(&self) -> &Pusher {
        &self.0.pusher
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let (project, id) = self.key;
        self.quota.ledger(|ledger| ledger.release(project, id));
    }
}
