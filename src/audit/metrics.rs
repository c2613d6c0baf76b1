use prometheus_client::{metrics::counter::Counter, registry::Registry};

/// Counters of this room.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) written: Counter,
    pub(super) dropped: Counter,
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tidegate_audit_events_written",
            "Audit events written to the database",
            self.written.clone(),
        );
        registry.register(
            "tidegate_audit_events_dropped",
            "Audit events lost because the queue was full or the database refused them",
            self.dropped.clone(),
        );
    }
}
