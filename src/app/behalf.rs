//! The registry behind, changed by rooms that serve people in another way than `/v2/`.

use http::{Method, Request};
use tower::{ServiceExt, util::BoxCloneSyncService};

use crate::{
    inventory::{Author, Change, Inventory, Registry},
    oci::Route,
    proxy::{Actor, Proxy},
    wire::{Body, Exchange},
};

/// Sends their changes through the proxy, past its guards and its observer.
#[derive(Debug)]
pub(super) struct Behalf(pub Proxy);

impl Registry for Behalf {
    fn on_behalf_of(&self, author: &Author) -> Exchange {
        let actor = Actor {
            name: author.name.clone(),
            address: author.address,
        };
        self.0.on_behalf_of(actor, author.request_id.clone())
    }
}

/// The registry behind for replication, which guards and records its own changes: the index
/// looks at each that was made.
pub(super) fn looked_at(registry: Exchange, inventory: Inventory) -> Exchange {
    BoxCloneSyncService::new(tower::service_fn(move |request: Request<Body>| {
        let (registry, inventory) = (registry.clone(), inventory.clone());
        async move {
            let changed = changed(&request);
            let answer = registry.oneshot(request).await?;
            if let Some(change) = changed.filter(|_| answer.status().is_success()) {
                inventory.look_later(change);
            }
            Ok(answer)
        }
    }))
}

/// What a PUT or a DELETE of a manifest changes.
fn changed(request: &Request<Body>) -> Option<Change> {
    let (method, uri) = (request.method(), request.uri());
    if ![Method::PUT, Method::DELETE].contains(method) {
        return None;
    }
    match Route::parse(method, uri.path(), uri.query()) {
        Ok(Route::Manifest {
            name, reference, ..
        }) => Some(Change {
            repository: name,
            reference,
        }),
        _ => None,
    }
}
