use std::sync::{Mutex, MutexGuard, PoisonError};

use super::marks::Marks;
use crate::oci::Digest;

/// What was stored, linked, promised or referred to since the collection under way began: it
/// stays, whatever the collection has seen before. Empty while there is none.
///
/// Each is noted under the lock by which the collection asks before it removes: content under
/// that of its digest, a repository's links under that of the repository.
#[derive(Debug, Default)]
pub(super) struct Fresh(Mutex<Option<Marks>>);

impl Fresh {
    /// `false` when a collection is under way already.
    pub(super) fn begin(&self) -> bool {
        let mut marks = self.marks();
        let is_free = marks.is_none();
        if is_free {
            *marks = Some(Marks::default());
        }
        is_free
    }

    pub(super) fn end(&self) {
        *self.marks() = None;
    }

    pub(super) fn note(&self, digest: &Digest) {
        if let Some(marks) = &mut *self.marks() {
            marks.add(digest);
        }
    }

    /// Notes a manifest and all that it refers to.
    pub(super) fn note_manifest(&self, digest: &Digest, bytes: &[u8]) {
        if let Some(marks) = &mut *self.marks() {
            marks.add(digest);
            marks.add_all_in(bytes);
        }
    }

    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.marks().as_ref().is_some_and(|marks| marks.has(digest))
    }

    fn marks(&self) -> MutexGuard<'_, Option<Marks>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
