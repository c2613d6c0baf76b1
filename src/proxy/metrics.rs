use std::time::Duration;

use http::StatusCode;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

/// Counters of requests under `/v2/`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    duration: Family<EndpointLabel, Histogram>,
    pub(super) cache: CacheMetrics,
}

/// Requests of clients whose answer can be kept.
#[derive(Debug, Clone, Default)]
pub(super) struct CacheMetrics {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    endpoint: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabel {
    endpoint: &'static str,
}

impl Metrics {
    pub fn new() -> Self {
        Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(BUCKETS_SECONDS)),
            cache: CacheMetrics::default(),
        }
    }

    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tidegate_proxy_requests",
            "Requests under /v2/ by endpoint and class of status",
            self.requests.clone(),
        );
        registry.register(
            "tidegate_proxy_request_duration_seconds",
            "Time until the head of the answer was known",
            self.duration.clone(),
        );
        registry.register(
            "tidegate_proxy_cache_hits",
            "Requests that were answered with a kept answer of the registry behind",
            self.cache.hits.clone(),
        );
        registry.register(
            "tidegate_proxy_cache_misses",
            "Requests for which the registry behind had to be asked, though its answer can be kept",
            self.cache.misses.clone(),
        );
    }

    pub(super) fn observe(&self, endpoint: &'static str, status: StatusCode, taken: Duration) {
        let labels = RequestLabels {
            endpoint,
            status: class(status),
        };
        self.requests.get_or_create(&labels).inc();
        let label = EndpointLabel { endpoint };
        self.duration
            .get_or_create(&label)
            .observe(taken.as_secs_f64());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}

/// From a cached answer of the embedded registry to the commit of a large blob.
const BUCKETS_SECONDS: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0];
