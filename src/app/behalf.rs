//! The registry behind, changed by rooms that serve people in another way than `/v2/`.

use crate::{
    inventory::{Author, Registry},
    proxy::{Actor, Proxy},
    wire::Exchange,
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
