use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// What replication counts in this process.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) artifacts: Family<ArtifactLabels, Counter>,
    pub(super) blobs: Family<BlobLabels, Counter>,
    pub(super) uploaded_bytes: Counter,
    pub(super) intents: Counter,
    pub(super) spilled: Counter,
    pub(super) settled: Counter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ArtifactLabels {
    pub outcome: ArtifactOutcome,
}

/// How a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum ArtifactOutcome {
    Copied,
    Equal,
    Kept,
    Filtered,
    Superseded,
    Gone,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BlobLabels {
    pub arrival: Arrival,
}

/// How a blob came to be at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Arrival {
    Present,
    Mounted,
    Uploaded,
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tidegate_replication_artifacts",
            "Transfers of one artifact that ended, by how they did",
            self.artifacts.clone(),
        );
        registry.register(
            "tidegate_replication_blobs",
            "Blobs that destinations needed, by how they came there",
            self.blobs.clone(),
        );
        registry.register(
            "tidegate_replication_uploaded_bytes",
            "Bytes of blobs sent to destinations",
            self.uploaded_bytes.clone(),
        );
        registry.register(
            "tidegate_replication_intents",
            "Changes written down before the registry could make them",
            self.intents.clone(),
        );
        registry.register(
            "tidegate_replication_spilled_intents",
            "Changes kept in the local file because the database was away",
            self.spilled.clone(),
        );
        registry.register(
            "tidegate_replication_settled_intents",
            "Changes of unknown outcome that the resolver made into jobs",
            self.settled.clone(),
        );
    }
}
