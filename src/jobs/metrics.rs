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

/// What the engine counts. Kinds are a closed set: those that have a handler.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(super) depth: Family<DepthLabels, Gauge>,
    pub(super) claim_latency: Family<KindLabels, Histogram>,
    pub(super) run_time: Family<KindLabels, Histogram>,
    pub(super) runs: Family<RunLabels, Counter>,
    pub(super) parked_targets: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DepthLabels {
    pub kind: String,
    pub state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindLabels {
    pub kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RunLabels {
    pub kind: &'static str,
    /// `succeeded`, `released`, `lease_lost`, or a class of failure.
    pub outcome: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            depth: Family::default(),
            // 0.5 ms to 33 s, and 1 ms to 35 minutes.
            claim_latency: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.0005, 4.0, 9))
            }),
            run_time: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 8.0, 8))
            }),
            runs: Family::default(),
            parked_targets: Gauge::default(),
        }
    }
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tidegate_jobs_depth",
            "Live jobs by kind and state, read every 15 seconds",
            self.depth.clone(),
        );
        registry.register(
            "tidegate_jobs_claim_latency_seconds",
            "Time from when a job was due to when a worker took it",
            self.claim_latency.clone(),
        );
        registry.register(
            "tidegate_jobs_run_time_seconds",
            "Time a run took",
            self.run_time.clone(),
        );
        registry.register(
            "tidegate_jobs_runs",
            "Runs ended, by kind and outcome",
            self.runs.clone(),
        );
        registry.register(
            "tidegate_jobs_parked_targets",
            "Targets whose jobs wait because they do not answer or asked for patience",
            self.parked_targets.clone(),
        );
    }
}
