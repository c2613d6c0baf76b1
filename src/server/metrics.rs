use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
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
    pub(super) handshake_failures: Family<HandshakeLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    request_duration_seconds: Family<MethodLabels, Histogram>,
    received_bytes: Counter,
    sent_bytes: Counter,
    pub(super) access_log_dropped_lines: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HandshakeLabels {
    pub(super) reason: HandshakeFailure,
}

/// Why a connection never came to its first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are the label values")]
pub(super) enum HandshakeFailure {
    timeout,
    /// The client went away without a word.
    closed,
    /// Plain HTTP on the TLS port.
    plain_http,
    /// Everything the TLS library objects to, a distrusting client among it.
    tls,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: MethodClass,
    status: StatusClass,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    method: MethodClass,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum MethodClass {
    Get,
    Head,
    Put,
    Post,
    Patch,
    Delete,
    Other,
}

impl From<&Method> for MethodClass {
    fn from(method: &Method) -> Self {
        match *method {
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::PUT => Self::Put,
            Method::POST => Self::Post,
            Method::PATCH => Self::Patch,
            Method::DELETE => Self::Delete,
            _ => Self::Other,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are the label values")]
enum StatusClass {
    success,
    redirection,
    client_error,
    server_error,
    /// The client went away before the answer.
    cancelled,
}

impl From<StatusCode> for StatusClass {
    fn from(status: StatusCode) -> Self {
        match status.as_u16() {
            ..=299 => Self::success,
            300..=399 => Self::redirection,
            CLIENT_CLOSED => Self::cancelled,
            400..=498 => Self::client_error,
            _ => Self::server_error,
        }
    }
}

/// nginx's code for a client that closed the connection before the answer.
pub(super) const CLIENT_CLOSED: u16 = 499;

impl Default for Metrics {
    fn default() -> Self {
        Self {
            connections: Gauge::default(),
            accepted_connections: Counter::default(),
            handshake_failures: Family::default(),
            requests: Family::default(),
            // 1 ms to 4.6 hours: from a cached HEAD to a large layer over a slow line.
            request_duration_seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 4.0, 13))
            }),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
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
            "handshake_failures",
            "Connections that ended before the first request could be read",
            self.handshake_failures.clone(),
        );
        registry.register(
            "requests",
            "Requests answered, by method and class of status",
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
            "access_log_dropped_lines",
            "Access log lines dropped because the writer did not keep up",
            self.access_log_dropped_lines.clone(),
        );
    }

    pub(super) fn handshake_failed(&self, reason: HandshakeFailure) {
        self.handshake_failures
            .get_or_create(&HandshakeLabels { reason })
            .inc();
    }

    pub(super) fn answered(&self, method: &Method, status: StatusCode, duration: Duration) {
        let method = MethodClass::from(method);
        let status = StatusClass::from(status);
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
