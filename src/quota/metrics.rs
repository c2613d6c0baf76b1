use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// What this room counts.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) refused: Counter,
    pub(super) readings: Counter,
    pub(super) held: Gauge,
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tidegate_quota_refusals",
            "Uploads and manifests refused for the limit of their project",
            self.refused.clone(),
        );
        registry.register(
            "tidegate_quota_readings",
            "Times the use of a project was read from the database to decide",
            self.readings.clone(),
        );
        registry.register(
            "tidegate_quota_held_blobs",
            "Uploads, and blobs in no manifest yet, that count for their projects",
            self.held.clone(),
        );
    }
}
