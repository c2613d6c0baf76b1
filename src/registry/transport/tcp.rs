use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;

/// Connects to what `resolver` finds; what is silent is found out.
pub(super) fn tcp<R>(resolver: R) -> HttpConnector<R> {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    tcp
}

/// Probes find a peer that vanished while it was silent.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// A peer that acknowledges nothing for this long is gone, even while data waits to be sent.
const UNACKNOWLEDGED: Duration = Duration::from_mins(2);
