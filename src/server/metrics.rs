use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// What the listener counts. Clones share the counts.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(super) connections: Gauge,
    pub(super) accepted_connections: Counter,
    pub(super) requests_in_flight: Gauge,
    handshake_failures: Family<HandshakeLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    request_duration_seconds: Family<MethodLabels, Histogram>,
    received_bytes: Counter,
    sent_bytes: Counter,
    pub(super) limited_requests: Counter,
    pub(super) access_log_dropped_lines: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    reason: &'static str,
}

/// Why a connection never came to its first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HandshakeFailure {
    Timeout,
    /// The client went away without a word.
    Closed,
    /// Plain HTTP on the TLS port.
    PlainHttp,
    /// Everything the TLS library objects to, a distrusting client among it.
    Tls,
    /// No header of the PROXY protocol, or a wrong one, where one is due.
    ProxyHeader,
    /// The address has as many connections as it may have.
    TooMany,
}

impl HandshakeFailure {
    const fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::PlainHttp => "plain_http",
            Self::Tls => "tls",
            Self::ProxyHeader => "proxy_header",
            Self::TooMany => "too_many",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    method: &'static str,
}

/// Clients may invent methods, but no label values.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn status_label(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..=299 => "2xx",
        300..=399 => "3xx",
        CLIENT_CLOSED => "cancelled",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// nginx's code for a client that closed the connection before the answer.
pub(super) const CLIENT_CLOSED: u16 = 499;

impl Default for Metrics {
    fn default() -> Self {
        Self {
            connections: Gauge::default(),
            accepted_connections: Counter::default(),
            requests_in_flight: Gauge::default(),
            handshake_failures: Family::default(),
            requests: Family::default(),
            // 1 ms to 4.6 hours: from a cached HEAD to a large layer over a slow line.
            request_duration_seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 4.0, 13))
            }),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            limited_requests: Counter::default(),
            access_log_dropped_lines: Counter::default(),
        }
    }
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("tidegate_server");
        registry.register(
            "connections",
            "Connections open now",
            self.connections.clone(),
        );
        registry.register(
            "accepted_connections",
            "Connections accepted",
            self.accepted_connections.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests whose answer is not yet sent whole",
            self.requests_in_flight.clone(),
        );
        registry.register(
            "handshake_failures",
            "Connections that ended before the first request could be read",
            self.handshake_failures.clone(),
        );
        registry.register(
            "requests",
            "Requests answered, by method and class of status; cancelled ones had no answer",
            self.requests.clone(),
        );
        registry.register(
            "request_duration_seconds",
            "From the request's headers to the last byte of the answer",
            self.request_duration_seconds.clone(),
        );
        registry.register(
            "received_bytes",
            "Bytes of request bodies",
            self.received_bytes.clone(),
        );
        registry.register(
            "sent_bytes",
            "Bytes of response bodies",
            self.sent_bytes.clone(),
        );
        registry.register(
            "limited_requests",
            "Requests refused because their address or user made too many",
            self.limited_requests.clone(),
        );
        registry.register(
            "access_log_dropped_lines",
            "Access log lines dropped because the writer did not keep up",
            self.access_log_dropped_lines.clone(),
        );
    }

    pub(super) fn handshake_failed(&self, reason: HandshakeFailure) {
        self.handshake_failures
            .get_or_create(&HandshakeLabels {
                reason: reason.label(),
            })
            .inc();
    }

    pub(super) fn answered(&self, method: &Method, status: StatusCode, duration: Duration) {
        let method = method_label(method);
        let status = status_label(status);
        self.requests
            .get_or_create(&RequestLabels { method, status })
            .inc();
        self.request_duration_seconds
            .get_or_create(&MethodLabels { method })
            .observe(duration.as_secs_f64());
    }

    pub(super) fn moved(&self, received: u64, sent: u64) {
        self.received_bytes.inc_by(received);
        self.sent_bytes.inc_by(sent);
    }
}
