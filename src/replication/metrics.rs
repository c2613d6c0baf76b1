use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// What replication counts in this process.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) artifacts: Family<ArtifactLabels, Counter>,
    pub(super) blobs: Family<BlobLabels, Counter>,
    pub(super) uploaded_bytes: Counter,
    pub(super) teed_bytes: Counter,
    pub(super) overflow_bytes: Counter,
    pub(super) teed_blobs: Family<TeeLabels, Counter>,
    pub(super) intents: Counter,
    pub(super) spilled: Counter,
    pub(super) settled: Counter,
    pub(super) audits: Counter,
    audited: Family<AuditLabels, Counter>,
    pub(super) behind: Family<LagLabels, Gauge>,
    pub(super) lag_seconds: Family<LagLabels, Gauge>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AuditLabels {
    sight: AuditSight,
}

/// How an audit found a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum AuditSight {
    Equal,
    Missing,
    Different,
    /// The source has none.
    Extra,
}

/// A policy and the registry at its other end, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LagLabels {
    pub policy: i64,
    pub registry: i64,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TeeLabels {
    pub outcome: TeeOutcome,
}

/// What became of sending a blob to one destination while it was pushed. All but the first
/// leave it to the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum TeeOutcome {
    Committed,
    /// The push of the blob came to nothing, or this process ends.
    Abandoned,
    /// The destination did not keep up with the push.
    Slow,
    /// Nothing moved for too long.
    Idle,
    /// The destination said no, or could not be reached.
    Refused,
    /// Somebody else was sending the same blob there.
    Elsewhere,
    /// Too many blobs were on their way.
    Busy,
}

impl Metrics {
    pub(super) fn count_teed(&self, outcome: TeeOutcome) {
        self.teed_blobs.get_or_create(&TeeLabels { outcome }).inc();
    }

    pub(super) fn count_audited(&self, sight: AuditSight, tags: u64) {
        let labels = AuditLabels { sight };
        self.audited.get_or_create(&labels).inc_by(tags);
    }

    /// Of a policy that is gone.
    pub(super) fn forget_lag(&self, labels: &LagLabels) {
        self.behind.remove(labels);
        self.lag_seconds.remove(labels);
    }

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
            "tidegate_replication_teed_bytes",
            "Bytes of blobs that destinations had from the push itself",
            self.teed_bytes.clone(),
        );
        registry.register(
            "tidegate_replication_tee_overflow_bytes",
            "Bytes of pushes written to disk until destinations could take them",
            self.overflow_bytes.clone(),
        );
        registry.register(
            "tidegate_replication_teed_blobs",
            "Blobs sent to destinations while they were pushed, by what became of it",
            self.teed_blobs.clone(),
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
            "tidegate_replication_behind",
            "Artifacts that a policy has yet to bring to where they belong",
            self.behind.clone(),
        );
        registry.register(
            "tidegate_replication_lag_seconds",
            "Age of the oldest change that a policy has yet to bring to where it belongs",
            self.lag_seconds.clone(),
        );
        registry.register(
            "tidegate_replication_settled_intents",
            "Changes of unknown outcome that the resolver made into jobs",
            self.settled.clone(),
        );
        registry.register(
            "tidegate_replication_audits",
            "Comparisons of both sides of a policy that came to their end",
            self.audits.clone(),
        );
        registry.register(
            "tidegate_replication_audit_tags",
            "Tags at which such comparisons looked, by how they found them",
            self.audited.clone(),
        );
    }
}
