use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for all bytes that targets have yet to take, counted in KiB: a piece that several targets
/// wait for counts once, and small pieces count as one KiB, for they keep larger buffers.
#[derive(Debug)]
pub(super) struct Room {
    kib: usize,
    free_kib: Arc<Semaphore>,
}

/// Part of a room, given back when dropped.
pub(super) type Share = OwnedSemaphorePermit;

/// Bytes in memory that hold their share of it until their last copy is dropped.
struct Held {
    data: Bytes,
    _share: Share,
}

impl Room {
    pub(super) fn new(mib: u32) -> Self {
        let kib = usize::try_from(mib).unwrap_or(usize::MAX) * 1024;
        let kib = kib.min(Semaphore::MAX_PERMITS);
        Self {
            kib,
            free_kib: Arc::new(Semaphore::new(kib)),
        }
    }

    /// All there is, taken or not.
    pub(super) fn bytes(&self) -> usize {
        self.kib * 1024
    }

    pub(super) fn free_bytes(&self) -> usize {
        self.free_kib.available_permits() * 1024
    }

    /// Whether a quarter of it is taken.
    pub(super) fn is_short(&self) -> bool {
        self.free_kib.available_permits() < self.kib / 4 * 3
    }

    /// `None` when there is not so much room left.
    pub(super) fn share(&self, bytes: usize) -> Option<Share> {
        let kib = u32::try_from(bytes.div_ceil(1024)).ok()?;
        Arc::clone(&self.free_kib).try_acquire_many_owned(kib).ok()
    }

    /// The bytes with their share of the room; `None` when there is not so much left.
    pub(super) fn hold(&self, data: &Bytes) -> Option<Bytes> {
        let share = self.share(data.len())?;
        let data = data.clone();
        Some(Bytes::from_owner(Held {
            data,
            _share: share,
        }))
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_held_until_the_last_copy_goes() {
        let memory = Room::new(1);
        let first = memory.hold(&Bytes::from(vec![0; 1024 * 1024 - 1])).unwrap();
        assert_eq!((memory.free_bytes(), first.len()), (0, 1024 * 1024 - 1));
        assert!(memory.hold(&Bytes::from_static(b"a")).is_none());
        let copy = first.clone();
        drop(first);
        assert_eq!(memory.free_bytes(), 0);
        drop(copy);
        assert_eq!(memory.free_bytes(), 1024 * 1024);
    }
}
