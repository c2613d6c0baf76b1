use prometheus_client::{metrics::counter::Counter, registry::Registry};

/// Counters of this room.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) deleted_manifests: Counter,
    pub(super) deleted_blobs: Counter,
    pub(super) freed_bytes: Counter,
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tidegate_gc_deleted_manifests",
            "Manifests deleted because nothing held them",
            self.deleted_manifests.clone(),
        );
        registry.register(
            "tidegate_gc_deleted_blobs",
            "Blobs and manifests deleted from the embedded registry's disk",
            self.deleted_blobs.clone(),
        );
        registry.register(
            "tidegate_gc_freed_bytes",
            "Bytes given back on the embedded registry's disk",
            self.freed_bytes.clone(),
        );
    }
}
