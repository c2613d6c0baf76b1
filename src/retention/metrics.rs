use prometheus_client::{metrics::counter::Counter, registry::Registry};

/// Counters of this room.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) deleted: Counter,
    pub(super) failed: Counter,
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tidegate_retention_deletions",
            "Tags and untagged artifacts deleted by retention",
            self.deleted.clone(),
        );
        registry.register(
            "tidegate_retention_deletions_failed",
            "Tags and untagged artifacts that retention could not delete",
            self.failed.clone(),
        );
    }
}
