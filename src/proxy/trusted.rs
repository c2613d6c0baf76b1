//! The registry for the gateway's own rooms, who have decided themselves who may do what.

use std::sync::Arc;

use http::{Method, Request};
use tower::util::BoxCloneSyncService;

use super::{Actor, Inner, Proxy, Refusal, authorise::Admitted, parse::Asked};
use crate::{
    oci::Route,
    wire::{Body, Exchange, RequestId},
};

impl Proxy {
    /// The registry behind, on behalf of somebody whose rights were checked elsewhere. Pushes
    /// and deletes of manifests are written down and concluded as a client's are; everything else
    /// goes straight to the registry. The guards hold for all.
    pub fn on_behalf_of(&self, actor: Actor, request_id: Option<RequestId>) -> Exchange {
        let inner = Arc::clone(&self.0);
        BoxCloneSyncService::new(tower::service_fn(move |request: Request<Body>| {
            let (inner, actor) = (Arc::clone(&inner), actor.clone());
            let request_id = request_id.clone();
            async move {
                if let Err(refusal) = inner.guard(request.method()) {
                    return Ok(refusal.into_response());
                }
                if !is_change(&request) {
                    return inner.parts.upstream.send(request).await;
                }
                let answer = inner.change_for(actor, request_id, request).await;
                Ok(answer.unwrap_or_else(Refusal::into_response))
            }
        }))
    }
}

impl Inner {
    async fn change_for(
        self: Arc<Self>,
        actor: Actor,
        request_id: Option<RequestId>,
        request: Request<Body>,
    ) -> Result<http::Response<Body>, Refusal> {
        let (head, body) = request.into_parts();
        let asked = Asked {
            request_id,
            ..Asked::parse(head)?
        };
        let admitted = Admitted {
            asked,
            actor,
            mount_bytes: None,
        };
        if admitted.asked.method == Method::PUT {
            self.push(admitted, body).await
        } else {
            self.delete(admitted).await
        }
    }
}

fn is_change(request: &Request<Body>) -> bool {
    let (method, uri) = (request.method(), request.uri());
    Route::changed_manifest(method, uri.path(), uri.query()).is_some()
}
