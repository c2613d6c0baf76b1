use std::net::IpAddr;

use http::{Request, Response};
use tower::{ServiceExt, util::BoxCloneSyncService};

use super::{Body, BoxError};

/// A registry as a service: a request goes in, a streaming response comes out.
///
/// The request's URI is path and query only; the service adds authority and credentials.
pub type Exchange = BoxCloneSyncService<Request<Body>, Response<Body>, ExchangeError>;

/// Why no response came back.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// No connection could be made: nothing was sent.
    #[error("cannot reach {address}: {source}")]
    Unreachable { address: String, source: BoxError },
    /// The service does not send it, because it may not go there or cannot be written: nothing
    /// was sent. It says nothing of whether the other side answers.
    #[error("nothing was sent to {address}: {source}")]
    Withheld { address: String, source: BoxError },
    /// The connection broke or timed out after something may have been sent: the request may
    /// or may not have taken effect.
    #[error("the exchange with {address} broke off: {source}")]
    Interrupted { address: String, source: BoxError },
    /// The service's own limit was reached; nothing was sent.
    #[error("too many requests at once for {address}")]
    Overloaded { address: String },
}

impl ExchangeError {
    /// Whether the request certainly had no effect.
    pub fn nothing_sent(&self) -> bool {
        !matches!(self, Self::Interrupted { .. })
    }
}

/// Who is at the other end of the listener's connection; a request extension set by the
/// listener. Behind a trusted proxy these are the values the proxy vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub address: IpAddr,
    /// `https` or `http`, as the client sees it.
    pub scheme: &'static str,
    /// Host and port as the client wrote them; empty when it sent none.
    pub host: String,
}

/// On a request by which the gateway looks for itself; a request extension. Nobody relies on what
/// such a `HEAD` finds, as a client does that leaves a push out for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looking;

/// The exchange for looks of the gateway's own ([`Looking`]).
pub fn looking(exchange: Exchange) -> Exchange {
    let look = |mut request: Request<Body>| {
        request.extensions_mut().insert(Looking);
        request
    };
    BoxCloneSyncService::new(exchange.map_request(look))
}

/// On what a mirroring gateway sends: where the change began and which gateways it has passed, so
/// that two which mirror each other do not do so for ever.
pub const ORIGIN_HEADER: &str = "tidegate-origin";

/// On a gateway's answer to `GET /v2/`: the installation it belongs to, by which an origin
/// names it.
pub const INSTALLATION_HEADER: &str = "tidegate-installation";

/// The value of `X-Request-Id` for this request; a request extension set by the listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(pub std::sync::Arc<str>);
