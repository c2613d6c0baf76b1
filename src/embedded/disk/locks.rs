use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use crate::oci::RepositoryName;

/// Keeps removals in a repository apart from additions, so that nothing is added that refers to
/// what is being removed. Additions go side by side.
///
/// A fixed number of locks, each for many repositories.
#[derive(Debug)]
pub(super) struct Locks([RwLock<()>; STRIPES]);

impl Locks {
    pub(super) fn adding(&self, name: &RepositoryName) -> RwLockReadGuard<'_, ()> {
        let lock = self.of(name);
        lock.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn removing(&self, name: &RepositoryName) -> RwLockWriteGuard<'_, ()> {
        let lock = self.of(name);
        lock.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, name: &RepositoryName) -> &RwLock<()> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
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

/// Many more than there are file threads, so that two busy repositories seldom share one.
const STRIPES: usize = 256;
