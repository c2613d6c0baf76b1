use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::sync::Cache;

use super::follow::Followed;
use crate::{
    oci::{RepositoryName, UploadId},
    quota::Reservation,
};

/// Upload sessions, who began them with a valid token, who follows them and what is reserved for
/// them, the most recent ones.
///
/// In memory only: after a restart a client whose token expired meanwhile begins that one blob
/// again, as clients do for every upload that fails.
pub(super) struct Sessions(Cache<(RepositoryName, UploadId), Arc<Session>>);

pub(super) struct Session {
    beginner: Box<str>,
    /// Absent also while a request of the session has them.
    followed: Mutex<Option<Followed>>,
    reserved: Mutex<Option<Reservation>>,
}

impl Session {
    pub(super) fn new(beginner: &str, followed: Option<Followed>) -> Self {
        Self {
            beginner: beginner.into(),
            followed: Mutex::new(followed),
            reserved: Mutex::default(),
        }
    }

    pub(super) fn take_reserved(&self) -> Option<Reservation> {
        swap(&self.reserved, None)
    }

    /// Until the next request.
    pub(super) fn keep_reserved(&self, kept: Reservation) {
        kept.rest();
        swap(&self.reserved, Some(kept));
    }
}

fn swap<T>(place: &Mutex<Option<T>>, value: Option<T>) -> Option<T> {
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *place, value)
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
        swap(&session.followed, None)
    }

    pub(super) fn keep_followed(&self, name: &RepositoryName, id: &UploadId, followed: Followed) {
        if let Some(session) = self.0.get(&(name.clone(), id.clone())) {
            swap(&session.followed, Some(followed));
        }
    }

    pub(super) fn session(&self, name: &RepositoryName, id: &UploadId) -> Option<Arc<Session>> {
        self.0.get(&(name.clone(), id.clone()))
    }

    pub(super) fn end(&self, name: &RepositoryName, id: &UploadId) {
        self.0.remove(&(name.clone(), id.clone()));
    }
}
