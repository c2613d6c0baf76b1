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
mod access;
mod access_log;
mod admission;
mod area;
mod body;
mod config;
mod connection;
mod crowd;
mod edge;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod handshake;
mod http;
mod limits;
mod linger;
mod listener;
mod log_sink;
mod metrics;
mod peer;
mod proxy_protocol;
mod record;
mod redaction;
mod redirect;
mod refusal;
mod response_headers;
mod retirement;
mod seen;
mod shutdown;
mod speed;
mod stall;
mod streams;
#[cfg(test)]
mod tests;

pub use access::{Access, Rules};
pub use access_log::AccessLog;
pub use area::Area;
pub use config::{Config, ExternalUrl};
pub use error::Error;
pub use limits::{Limits, TooManyRequests};
pub use listener::{Listener, Service};
pub use metrics::Metrics;
pub use peer::TrustedProxies;
pub use record::Visitor;
pub use response_headers::ResponseHeaders;
pub use seen::{Forwarded, SEEN, SHOW, Seen};
pub use shutdown::Shutdown;
