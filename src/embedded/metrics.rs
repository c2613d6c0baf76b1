use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::error::Failure;

/// What the embedded registry counts. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) stored_blobs: Counter,
    pub(super) stored_bytes: Counter,
    pub(super) read_bytes: Counter,
    pub(super) swept_files: Counter,
    storage_failures: Family<FailureLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are the label values")]
enum Reason {
    full,
    files,
    other,
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("tidegate_embedded");
        registry.register(
            "stored_blobs",
            "Blobs uploaded to the end",
            self.stored_blobs.clone(),
        );
        registry.register(
            "stored_bytes",
            "Bytes of blobs uploaded to the end",
            self.stored_bytes.clone(),
        );
        registry.register(
            "read_bytes",
            "Bytes of blobs read for clients",
            self.read_bytes.clone(),
        );
        registry.register(
            "swept_files",
            "Files of abandoned uploads removed",
            self.swept_files.clone(),
        );
        registry.register(
            "storage_failures",
            "Requests that failed for the file system, by reason",
            self.storage_failures.clone(),
        );
    }

    pub(super) fn failed(&self, failure: &Failure) {
        if let Failure::Storage { .. } = failure {
            let reason = if failure.is_full_disk() {
                Reason::full
            } else if failure.is_out_of_files() {
                Reason::files
            } else {
                Reason::other
            };
            let labels = FailureLabels { reason };
            self.storage_failures.get_or_create(&labels).inc();
        }
    }
}
