use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// Keeps removals apart from additions, so that nothing is added that refers to what is being
/// removed. Additions go side by side.
///
/// A fixed number of locks, each for many things.
#[derive(Debug)]
pub(super) struct Locks([RwLock<()>; STRIPES]);

impl Locks {
    pub(super) fn adding(&self, thing: &impl Hash) -> RwLockReadGuard<'_, ()> {
        let lock = self.of(thing);
        lock.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn removing(&self, thing: &impl Hash) -> RwLockWriteGuard<'_, ()> {
        let lock = self.of(thing);
        lock.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when everything whose addition has begun is there.
    pub(super) fn settle(&self) {
        for lock in &self.0 {
            drop(lock.write().unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn of(&self, thing: &impl Hash) -> &RwLock<()> {
        let mut hasher = DefaultHasher::new();
        thing.hash(&mut hasher);
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is small")]
        let index = (hasher.finish() % STRIPES as u64) as usize;
        &self.0[index]
    }
}

impl Default for Locks {
    fn default() -> Self {
        Self(std::array::from_fn(|_| RwLock::new(())))
    }
}

/// Many more than there are file threads, so that two busy things seldom share one.
const STRIPES: usize = 256;
