use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{clock::Timestamp, oci::RepositoryName, secret::random_bytes};

/// Something that happened in a project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// An event that is told twice under one id is delivered once.
    pub id: String,
    pub kind: EventType,
    /// The project's name.
    pub project: String,
    /// Who did it; empty when anonymous.
    pub operator: String,
    pub request_id: String,
    pub at_ms: i64,
    pub repository: Option<RepositoryName>,
    pub resources: Vec<Resource>,
    /// Further members of the payload's `event_data`: `replication`, `retention`, …
    pub details: Map<String, Value>,
}

/// An artifact that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    pub digest: Option<String>,
    pub tag: Option<String>,
}

impl Event {
    /// An event with an id of its own and without repository, resources and details.
    pub fn new(kind: EventType, project: &str, operator: &str, at: Timestamp) -> Self {
        Self {
            id: format!("msg_{}", hex::encode(random_bytes::<16>())),
            kind,
            project: project.to_owned(),
            operator: operator.to_owned(),
            request_id: String::new(),
            at_ms: at.millis(),
            repository: None,
            resources: Vec::new(),
            details: Map::new(),
        }
    }

    pub(super) fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.at_ms)
    }
}

/// The kinds of events that a policy can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventType {
    PushArtifact,
    PullArtifact,
    DeleteArtifact,
    QuotaExceed,
    QuotaWarning,
    Replication,
    ScanningCompleted,
    ScanningFailed,
    ScanningStopped,
    TagRetention,
}

impl EventType {
    pub const ALL: [Self; 10] = [
        Self::PushArtifact,
        Self::PullArtifact,
        Self::DeleteArtifact,
        Self::QuotaExceed,
        Self::QuotaWarning,
        Self::Replication,
        Self::ScanningCompleted,
        Self::ScanningFailed,
        Self::ScanningStopped,
        Self::TagRetention,
    ];

    /// Harbor's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PushArtifact => "PUSH_ARTIFACT",
            Self::PullArtifact => "PULL_ARTIFACT",
            Self::DeleteArtifact => "DELETE_ARTIFACT",
            Self::QuotaExceed => "QUOTA_EXCEED",
            Self::QuotaWarning => "QUOTA_WARNING",
            Self::Replication => "REPLICATION",
            Self::ScanningCompleted => "SCANNING_COMPLETED",
            Self::ScanningFailed => "SCANNING_FAILED",
            Self::ScanningStopped => "SCANNING_STOPPED",
            Self::TagRetention => "TAG_RETENTION",
        }
    }

    /// The `type` of its `CloudEvents` form.
    pub(super) const fn cloud_event(self) -> &'static str {
        match self {
            Self::PushArtifact => "harbor.artifact.pushed",
            Self::PullArtifact => "harbor.artifact.pulled",
            Self::DeleteArtifact => "harbor.artifact.deleted",
            Self::QuotaExceed => "harbor.quota.exceeded",
            Self::QuotaWarning => "harbor.quota.warned",
            Self::Replication => "harbor.replication.status.changed",
            Self::ScanningCompleted => "harbor.scan.completed",
            Self::ScanningFailed => "harbor.scan.failed",
            Self::ScanningStopped => "harbor.scan.stopped",
            Self::TagRetention => "harbor.tag_retention.finished",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
