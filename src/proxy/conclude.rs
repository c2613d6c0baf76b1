//! Phase 7: the answer is known; who listens is told.

use std::sync::Arc;

use http::{Method, Response, StatusCode};

use super::{Change, ChangeKind, Inner, Outcome, Pull, Ticket, authorise::Admitted};
use crate::{
    oci::{Reference, Route, Tag},
    wire::{Body, ExchangeError},
};

impl Inner {
    pub(super) async fn conclude(
        &self,
        change: &Arc<Change>,
        ticket: Option<Ticket>,
        outcome: &Outcome,
    ) {
        if let Some(ticket) = ticket {
            ticket.settle(outcome);
        }
        self.parts.observer.conclude(change, outcome).await;
    }

    /// Tells of a manifest that the client is given.
    pub(super) fn note_pull(&self, admitted: &Admitted, response: &Response<Body>) {
        let asked = &admitted.asked;
        let Route::Manifest {
            name, reference, ..
        } = &asked.route
        else {
            return;
        };
        if asked.method != Method::GET || response.status() != StatusCode::OK {
            return;
        }
        let stated = response.headers().get("docker-content-digest");
        let stated = stated.and_then(|value| value.to_str().ok()?.parse().ok());
        self.parts.observer.pulled(Pull {
            repository: name.clone(),
            reference: reference.clone(),
            digest: match reference {
                Reference::Digest(digest) => Some(digest.clone()),
                Reference::Tag(_) => stated,
            },
            actor: admitted.actor.clone(),
            request_id: asked.request_id.clone(),
            at: self.parts.clock.now(),
        });
    }
}

/// How the exchange of a change ended.
pub(super) fn outcome(change: &Change, answer: &Result<Response<Body>, ExchangeError>) -> Outcome {
    match answer {
        Ok(answer) if answer.status().is_success() => Outcome::Committed {
            tags: tags_set(change, answer),
        },
        Ok(answer) if answer.status().is_client_error() => Outcome::Refused {
            status: answer.status(),
        },
        // A gateway between us and the registry may answer 502 for what was stored.
        Ok(_server_error) => Outcome::Unknown,
        Err(error) if error.nothing_sent() => Outcome::Refused {
            status: StatusCode::SERVICE_UNAVAILABLE,
        },
        Err(_interrupted) => Outcome::Unknown,
    }
}

/// The tags of `?tag=` that the registry says it set (`OCI-Tag`, distribution-spec 1.2): without
/// the header it knows nothing of the parameter.
fn tags_set(change: &Change, answer: &Response<Body>) -> Vec<Tag> {
    let ChangeKind::Push(push) = &change.kind else {
        return Vec::new();
    };
    let echoed = answer.headers().get_all("oci-tag").iter();
    let echoed: Vec<&str> = echoed
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
        .collect();
    let is_set = |tag: &&Tag| echoed.contains(&tag.as_str());
    push.tags.iter().filter(is_set).cloned().collect()
}
