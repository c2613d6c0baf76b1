use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Counters of this room.
#[derive(Debug, Default)]
pub struct Metrics {
    logins: Family<LoginLabels, Counter>,
    remembered_logins: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoginLabels {
    outcome: LoginOutcome,
}

/// How a login ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum LoginOutcome {
    Succeeded,
    /// Wrong, disabled or expired.
    Refused,
    /// The source failed too often.
    Limited,
    /// No answer: the database is away or too many logins wait.
    Failed,
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tidegate_auth_logins",
            "Logins by outcome",
            self.logins.clone(),
        );
        registry.register(
            "tidegate_auth_remembered_logins",
            "Logins that needed no hashing because the same one succeeded a moment before",
            self.remembered_logins.clone(),
        );
    }

    pub(super) fn count_login(&self, outcome: LoginOutcome) {
        self.logins.get_or_create(&LoginLabels { outcome }).inc();
    }

    pub(super) fn count_remembered_login(&self) {
        self.remembered_logins.inc();
    }
}
