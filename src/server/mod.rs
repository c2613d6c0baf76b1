//! The listener: from a TCP connection to a request that is safe to look at, and back.
//!
//! It accepts, shakes hands, speaks HTTP/1.1 and HTTP/2, refuses malformed requests, names the
//! peer and the request, counts and logs every exchange, and drains on shutdown. It does not know
//! what any path means: the service it is given does. Read `listener.rs` first, then
//! `connection.rs` and `http.rs` (one connection) and `edge.rs` (one request).
//!
//! An invariant others rely on: `100 Continue` is sent when the service first polls the request
//! body, never earlier. Whoever authorises a request must do so before touching its body; then a
//! refused upload is not even sent.

mod accept;
mod access_log;
mod admission;
mod body;
mod config;
mod connection;
mod edge;
mod error;
mod handshake;
mod http;
mod linger;
mod listener;
mod metrics;
mod peer;
mod record;
mod redaction;
mod redirect;
mod retirement;
mod shutdown;
mod stall;
#[cfg(test)]
mod tests;

pub use access_log::AccessLog;
pub use config::{Config, ExternalUrl};
pub use error::Error;
pub use listener::{Listener, Service};
pub use metrics::Metrics;
pub use peer::TrustedProxies;
pub use record::LoggedUser;
pub use shutdown::Shutdown;
