use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

use crate::{oci::Digest, replication::RegistryId};

/// One upload at a time of a blob to a registry: whoever comes second waits, and then finds the
/// blob there to mount.
#[derive(Debug, Default)]
pub(in crate::replication) struct Flights {
    /// As many as there are blobs on their way; entries without holders are swept.
    blobs: Mutex<HashMap<(RegistryId, Digest), Weak<Seat>>>,
}

/// Held by whoever brings the blob.
type Seat = tokio::sync::Mutex<()>;

impl Flights {
    /// Waits for the blob's turn, which ends when the guard is dropped.
    pub(super) async fn turn(&self, registry: RegistryId, digest: &Digest) -> OwnedMutexGuard<()> {
        self.seat(registry, digest).lock_owned().await
    }

    /// The blob's turn unless somebody has it.
    pub(in crate::replication) fn try_turn(
        &self,
        registry: RegistryId,
        digest: &Digest,
    ) -> Option<OwnedMutexGuard<()>> {
        self.seat(registry, digest).try_lock_owned().ok()
    }

    fn seat(&self, registry: RegistryId, digest: &Digest) -> Arc<Seat> {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (registry, digest.clone());
        if let Some(seat) = blobs.get(&key).and_then(Weak::upgrade) {
            return seat;
        }
        blobs.retain(|_key, seat| seat.strong_count() > 0);
        let seat = Arc::default();
        blobs.insert(key, Arc::downgrade(&seat));
        seat
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_waits_for_the_first_and_others_do_not() {
        let flights = Flights::default();
        let (digest, other) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let first = flights.turn(RegistryId(1), &digest).await;
        let _other_blob = flights.turn(RegistryId(1), &other).await;
        let _other_registry = flights.turn(RegistryId(2), &digest).await;
        let mut second = Box::pin(flights.turn(RegistryId(1), &digest));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert!(futures_util::poll!(&mut second).is_ready());
    }

    #[tokio::test]
    async fn nothing_is_kept_of_past_flights() {
        let flights = Flights::default();
        for byte in 0..10_u8 {
            drop(flights.turn(RegistryId(1), &Digest::sha256(&[byte])).await);
        }
        assert!(flights.blobs.lock().unwrap().len() <= 1);
    }
}
