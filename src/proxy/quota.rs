//! Of phase 4: what an upload or a manifest adds to its project is reserved before the registry
//! behind has it. [`crate::quota`] decides.

use std::sync::Arc;

use http::{Method, Response, StatusCode};
use tower::ServiceExt;

use super::{
    Change, ChangeKind, Inner, Refusal, authorise::Admitted, follow::last_byte, parse::Asked,
    sessions::Session, upstream,
};
use crate::{
    oci::{Digest, ErrorCode, Reference, Route},
    quota::{self, Pusher, Reservation},
    webhook::Resource,
    wire::Body,
};

/// A manifest that has been reserved, with all that it holds.
pub(super) struct ReservedManifest {
    reservation: Reservation,
    blobs: Vec<(Digest, u64)>,
}

impl ReservedManifest {
    /// The registry behind has it, or may have it.
    pub(super) fn stored(&self) {
        self.reservation.stored(&self.blobs);
    }
}

/// What is reserved for a request that brings a blob. However the request ends, it goes back to
/// the session of its upload: what broke off may have arrived.
pub(super) struct ReservedBlob {
    reservation: Reservation,
    /// Absent for an upload in one request.
    session: Option<Arc<Session>>,
    /// What the session had before.
    former_bytes: u64,
}

impl ReservedBlob {
    fn new(reservation: Reservation, session: Option<Arc<Session>>, former_bytes: u64) -> Self {
        Self {
            reservation,
            session,
            former_bytes,
        }
    }

    pub(super) fn reservation(&self) -> &Reservation {
        &self.reservation
    }

    fn stored(&self, digest: &Digest) {
        let bytes = self.reservation.bytes();
        self.reservation.stored(&[(digest.clone(), bytes)]);
    }

    /// So much has arrived, by the registry's answer.
    fn settle(&self, response: &Response<Body>) {
        let reserved = self.reservation.bytes();
        let arrived = last_byte(response).filter(|_| reserved > 0);
        let arrived = arrived.map(|last| last.saturating_add(1));
        let unsaid = match response.status() {
            StatusCode::ACCEPTED => reserved,
            _ => self.former_bytes,
        };
        self.reservation.settle(arrived.unwrap_or(unsaid));
    }
}

impl Drop for ReservedBlob {
    fn drop(&mut self) {
        if let Some(session) = &self.session {
            session.keep_reserved(self.reservation.clone());
        }
    }
}

impl Inner {
    /// Refuses a manifest with which its project would hold more than it may, or which says other
    /// sizes of its blobs than they have, or nothing that we can read, where that counts. What is
    /// returned must be held until the change is over.
    pub(super) async fn guard_quota(
        &self,
        change: &Change,
    ) -> Result<Option<ReservedManifest>, Refusal> {
        let ChangeKind::Push(push) = &change.kind else {
            return Ok(None);
        };
        if !self.parts.quota.is_limited(&change.repository).await? {
            return Ok(None);
        }
        let Some(manifest) = &push.manifest else {
            return Err(Refusal::new(
                ErrorCode::ManifestInvalid,
                "the project has a storage limit, and what this manifest holds cannot be read",
            ));
        };
        let held = manifest.held_blobs().into_iter();
        let held = held.map(|blob| (blob.digest.clone(), blob.size));
        let mut blobs: Vec<(Digest, u64)> = held.collect();
        self.check_sizes(&change.repository, &blobs).await?;
        blobs.retain(|(digest, _)| *digest != push.digest);
        blobs.push((push.digest.clone(), push.size_bytes));
        let tag = match &push.reference {
            Reference::Tag(tag) => Some(tag.to_string()),
            Reference::Digest(_) => None,
        };
        let pusher = Pusher {
            repository: change.repository.clone(),
            operator: change.actor.name.clone(),
            request_id: change
                .request_id
                .as_ref()
                .map_or_else(String::new, |id| id.0.to_string()),
            artifact: Some(Resource {
                digest: Some(push.digest.to_string()),
                tag,
            }),
        };
        let reservation = self.parts.quota.manifest(pusher, blobs.clone()).await?;
        Ok(reservation.map(|reservation| ReservedManifest { reservation, blobs }))
    }

    /// Reserves what the request brings into the repository: `bytes`, as far as it says so. An
    /// upload that does not fit is given up at the registry behind, too.
    pub(super) async fn reserve_blob(
        &self,
        admitted: &mut Admitted,
        bytes: u64,
    ) -> Result<Option<ReservedBlob>, Refusal> {
        let (quota, method) = (&self.parts.quota, admitted.asked.method.clone());
        let brings_blob = match &admitted.asked.route {
            Route::StartUpload { mount, digest, .. } => mount.is_some() || digest.is_some(),
            Route::Upload { .. } => matches!(method, Method::PATCH | Method::PUT),
            _ => false,
        };
        let Some(repository) = admitted.asked.route.repository().filter(|_| brings_blob) else {
            return Ok(None);
        };
        if !quota.is_limited(repository).await? {
            return Ok(None);
        }
        let pusher = Pusher {
            repository: repository.clone(),
            operator: admitted.actor.name.clone(),
            request_id: admitted.asked.request_id().to_owned(),
            artifact: None,
        };
        let mut session = None;
        let (digest, bytes) = match &mut admitted.asked.route {
            Route::StartUpload { mount, digest, .. } => match (&mut *mount, admitted.mount_bytes) {
                (Some(mount), Some(bytes)) => {
                    // A registry that does not mount it after all would take the body for it.
                    *digest = None;
                    let new = quota.mount(pusher, &mount.digest, bytes).await?;
                    return Ok(new.map(|new| ReservedBlob::new(new, None, 0)));
                }
                // What cannot be measured is not mounted: the client is offered an upload.
                (Some(_), None) if digest.is_none() => {
                    *mount = None;
                    return Ok(None);
                }
                _ => {
                    *mount = None;
                    (digest.as_ref(), bytes)
                }
            },
            Route::Upload {
                name, id, digest, ..
            } => {
                session = self.sessions.session(name, id);
                (digest.as_ref().filter(|_| method == Method::PUT), bytes)
            }
            _ => return Ok(None),
        };
        let kept = session.as_ref().and_then(|session| session.take_reserved());
        let reserved = if let Some(reservation) = kept {
            let former = reservation.bytes();
            let whole = former.saturating_add(bytes);
            let reserved = ReservedBlob::new(reservation, session, former);
            let extended = reserved.reservation.extend(digest, whole).await;
            extended.map(|()| Some(reserved))
        } else {
            let new = quota.upload(pusher, digest, bytes).await;
            new.map(|new| new.map(|new| ReservedBlob::new(new, session, 0)))
        };
        if let Err(quota::Error::Exceeded(_)) = &reserved {
            self.give_up_upload(&admitted.asked);
        }
        Ok(reserved?)
    }

    /// What was reserved counts on when the registry behind has the blob, and as far as it has
    /// arrived when the session goes on.
    pub(super) fn conclude_reserved(
        &self,
        asked: &Asked,
        reserved: &ReservedBlob,
        response: &Response<Body>,
    ) {
        match (&asked.route, response.status()) {
            (Route::StartUpload { mount, digest, .. }, StatusCode::CREATED) => {
                let mounted = mount.as_ref().map(|mount| &mount.digest);
                if let Some(digest) = mounted.or(digest.as_ref()) {
                    reserved.stored(digest);
                }
            }
            (
                Route::Upload {
                    digest: Some(digest),
                    ..
                },
                StatusCode::CREATED,
            ) => reserved.stored(digest),
            // The registry behind has given the upload up.
            (Route::Upload { name, id, .. }, StatusCode::NOT_FOUND) => self.sessions.end(name, id),
            (Route::Upload { .. }, _) => reserved.settle(response),
            _ => {}
        }
    }

    /// Ends the session of an upload here and at the registry behind, without waiting.
    pub(super) fn give_up_upload(&self, asked: &Asked) {
        let Route::Upload {
            name, id, state, ..
        } = &asked.route
        else {
            return;
        };
        self.sessions.end(name, id);
        let route = Route::Upload {
            name: name.clone(),
            id: id.clone(),
            digest: None,
            state: state.clone(),
        };
        let Ok(request) = upstream::request(Method::DELETE, &route) else {
            return;
        };
        let exchange = self.parts.upstream.exchange.clone();
        self.parts.tasks.spawn(async move {
            if let Err(error) = exchange.oneshot(request).await {
                tracing::debug!("an upload that was refused is left to expire: {error}");
            }
        });
    }
}
