use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::oci::{RepositoryName, UploadId};

/// Upload sessions and who began them with a valid token, the most recent ones.
///
/// In memory only: after a restart a client whose token expired meanwhile begins that one blob
/// again, as clients do for every upload that fails.
pub(super) struct Sessions(Cache<(RepositoryName, UploadId), Arc<str>>);

impl Sessions {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Cache::new(capacity))
    }

    pub(super) fn begin(&self, name: RepositoryName, id: UploadId, subject: &str) {
        self.0.insert((name, id), subject.into());
    }

    pub(super) fn was_begun_by(&self, name: &RepositoryName, id: &UploadId, subject: &str) -> bool {
        let beginner = self.0.get(&(name.clone(), id.clone()));
        !subject.is_empty() && beginner.is_some_and(|beginner| &*beginner == subject)
    }

    pub(super) fn end(&self, name: &RepositoryName, id: &UploadId) {
        self.0.remove(&(name.clone(), id.clone()));
    }
}
