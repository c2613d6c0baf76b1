use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::sync::Cache;

use super::follow::Followed;
use crate::oci::{RepositoryName, UploadId};

/// Upload sessions, who began them with a valid token and who follows them, the most recent ones.
///
/// In memory only: after a restart a client whose token expired meanwhile begins that one blob
/// again, as clients do for every upload that fails.
pub(super) struct Sessions(Cache<(RepositoryName, UploadId), Arc<Session>>);

pub(super) struct Session {
    beginner: Box<str>,
    /// Absent also while a request of the session has it.
    followed: Mutex<Option<Followed>>,
}

impl Session {
    pub(super) fn new(beginner: &str, followed: Option<Followed>) -> Self {
        Self {
            beginner: beginner.into(),
            followed: Mutex::new(followed),
        }
    }

    fn swap_followed(&self, followed: Option<Followed>) -> Option<Followed> {
        let mut place = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, followed)
    }
}

impl Sessions {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Cache::new(capacity))
    }

    pub(super) fn begin(&self, name: RepositoryName, id: UploadId, session: Session) {
        self.0.insert((name, id), Arc::new(session));
    }

    pub(super) fn was_begun_by(&self, name: &RepositoryName, id: &UploadId, subject: &str) -> bool {
        let session = self.0.get(&(name.clone(), id.clone()));
        !subject.is_empty() && session.is_some_and(|session| &*session.beginner == subject)
    }

    pub(super) fn take_followed(&self, name: &RepositoryName, id: &UploadId) -> Option<Followed> {
        let session = self.0.get(&(name.clone(), id.clone()))?;
        session.swap_followed(None)
    }

    pub(super) fn keep_followed(&self, name: &RepositoryName, id: &UploadId, followed: Followed) {
        if let Some(session) = self.0.get(&(name.clone(), id.clone())) {
            session.swap_followed(Some(followed));
        }
    }

    pub(super) fn end(&self, name: &RepositoryName, id: &UploadId) {
        self.0.remove(&(name.clone(), id.clone()));
    }
}
