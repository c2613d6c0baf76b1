//! Blob uploads, told to whoever wants their bytes while they pass.
//!
//! An upload is a session of several requests (end-4a, end-5, end-6), or one (end-4b). What is
//! told lives in [`super::sessions`] between them, and with the request while one is under way:
//! if that breaks off, or the registry behind says anything but what is expected, it is dropped.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use http_body::Body as _;

use super::{Inner, authorise::Admitted};
use crate::{
    oci::{Digest, RepositoryName, Route},
    wire::Body,
};

/// Who wants the bytes of uploads. Implemented above the proxy. Nothing of it may wait: it
/// stands between a client and its upload.
pub trait Follower: Send + Sync + 'static {
    /// Asked when an upload begins, an answer from memory; `None`: nobody wants this one.
    fn follow(&self, upload: &NewUpload<'_>) -> Option<Box<dyn Following>>;
}

/// An upload that begins.
#[derive(Debug, Clone, Copy)]
pub struct NewUpload<'a> {
    pub repository: &'a RepositoryName,
    /// The gateways that it has passed, as the client says ([`crate::wire::ORIGIN_HEADER`]).
    pub origin: Option<&'a str>,
}

/// What is told of one upload, in this order. Dropped before [`Following::commit`], the upload
/// came to nothing, as far as this gateway knows.
pub trait Following: Send + Sync {
    /// The next bytes.
    fn take(&self, data: &Bytes);

    /// What the client says the digest of all bytes is, and how many they are if it says so; more
    /// may come.
    fn claim(&self, digest: &Digest, size_bytes: Option<u64>);

    /// That was the last byte.
    fn whole(&self);

    /// The registry behind has the blob, by the digest that was claimed.
    fn commit(&self);
}

/// A following on its way through the requests of its upload. Cheap to clone.
#[derive(Clone)]
pub(super) struct Followed(Arc<Telling>);

struct Telling {
    following: Box<dyn Following>,
    told_bytes: AtomicU64,
    /// Whether the request under way has been told to its end.
    is_told: AtomicBool,
    is_claimed: AtomicBool,
}

impl Followed {
    fn new(following: Box<dyn Following>) -> Self {
        Self(Arc::new(Telling {
            following,
            told_bytes: AtomicU64::new(0),
            is_told: AtomicBool::new(false),
            is_claimed: AtomicBool::new(false),
        }))
    }

    /// `body_bytes`: how many the client says that it will send.
    fn begin_request(&self, digest: Option<&Digest>, body_bytes: Option<u64>) {
        self.0.is_told.store(false, Ordering::Relaxed);
        if let Some(digest) = digest {
            self.0.is_claimed.store(true, Ordering::Relaxed);
            let told = self.0.told_bytes.load(Ordering::Relaxed);
            let size_bytes = body_bytes.map(|body| told.saturating_add(body));
            self.0.following.claim(digest, size_bytes);
        }
    }

    pub(super) fn tell(&self, data: &Bytes) {
        let length = data.len() as u64;
        self.0.told_bytes.fetch_add(length, Ordering::Relaxed);
        self.0.following.take(data);
    }

    /// The request's body ended well.
    pub(super) fn end_request(&self) {
        let was_told = self.0.is_told.swap(true, Ordering::AcqRel);
        if !was_told && self.0.is_claimed.load(Ordering::Relaxed) {
            self.0.following.whole();
        }
    }

    /// Whether the registry behind has just what was told.
    fn agrees(&self, response: &Response<Body>) -> bool {
        let told = self.0.told_bytes.load(Ordering::Acquire);
        let last = last_byte(response);
        let is_agreed = last.is_none_or(|last| told == 0 || last + 1 == told);
        self.0.is_told.load(Ordering::Acquire) && is_agreed
    }
}

/// The last byte of an upload that the registry behind has (`Range`); 0 also for none.
pub(super) fn last_byte(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get(header::RANGE)?;
    range.to_str().ok()?.rsplit_once('-')?.1.parse().ok()
}

impl Inner {
    /// What is to be told of this request.
    pub(super) fn followed(&self, admitted: &Admitted, body: &Body) -> Option<Followed> {
        let asked = &admitted.asked;
        let (followed, digest) = match (&asked.route, &asked.method) {
            (
                Route::StartUpload {
                    digest: Some(digest),
                    ..
                },
                _,
            ) => (self.follow(admitted)?, Some(digest)),
            (
                Route::Upload {
                    name, id, digest, ..
                },
                &Method::PATCH | &Method::PUT,
            ) => {
                let ends = asked.method == Method::PUT;
                let digest = digest.as_ref().filter(|_| ends);
                (self.sessions.take_followed(name, id)?, digest)
            }
            _ => return None,
        };
        followed.begin_request(digest, body.size_hint().exact());
        Some(followed)
    }

    /// Asks the follower about an upload that begins.
    pub(super) fn follow(&self, admitted: &Admitted) -> Option<Followed> {
        let upload = NewUpload {
            repository: admitted.asked.route.repository()?,
            origin: admitted.origin(),
        };
        let following = self.parts.follower.as_ref()?.follow(&upload)?;
        Some(Followed::new(following))
    }

    /// Tells the end of an upload, or keeps what goes on for the next request.
    pub(super) fn conclude_followed(
        &self,
        admitted: &Admitted,
        followed: Followed,
        response: &Response<Body>,
    ) {
        match (&admitted.asked.route, response.status()) {
            (_, StatusCode::CREATED) if followed.agrees(response) => followed.0.following.commit(),
            (Route::Upload { name, id, .. }, StatusCode::ACCEPTED) if followed.agrees(response) => {
                self.sessions.keep_followed(name, id, followed);
            }
            _ => {}
        }
    }
}
