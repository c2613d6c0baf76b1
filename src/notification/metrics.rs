use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// What this room counts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    events: Family<OutcomeLabel, Counter>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum Outcome {
    /// Told to the observer.
    Heard,
    /// The change passed the gateway.
    Known,
    /// Not a push or a delete of a manifest.
    Irrelevant,
    /// The observer could not take it in; the registry tells it again.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Outcome,
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tidegate_notification_events",
            "Events that the registry behind has sent, by what became of them",
            self.events.clone(),
        );
    }

    pub(super) fn count(&self, outcome: Outcome) {
        self.events.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}
