//! HTTP messages as they pass between rooms: one body type and one kind of exchange.
//!
//! [`Exchange`] is the seam between the gateway and the registry behind it: the remote registry
//! and the embedded one are both services from request to response, and who forwards to them
//! does not know which it talks to. No sockets here, no knowledge of registries.

mod body;
mod exchange;
mod patience;
mod throttled;

pub use body::{Body, BoxError, CollectError, IdleTimeout, Watched, collect, size_hint_behind};
pub use exchange::{
    Exchange, ExchangeError, INSTALLATION_HEADER, Looking, ORIGIN_HEADER, Peer, RequestId, looking,
};
pub use patience::Patience;
pub use throttled::{Meter, Throttled};
