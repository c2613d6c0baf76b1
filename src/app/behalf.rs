//! The registry behind, changed by rooms that serve people in another way than `/v2/`.

use http::Request;
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
            let (method, uri) = (request.method(), request.uri());
            let changed = Route::changed_manifest(method, uri.path(), uri.query());
            let answer = registry.oneshot(request).await?;
            if let Some((repository, reference)) = changed.filter(|_| answer.status().is_success())
            {
                inventory.look_later(Change {
                    repository,
                    reference,
                });
            }
            Ok(answer)
        }
    }))
}
