use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// What webhooks count in this process.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) fired: Counter,
    pub(super) dropped: Counter,
    pub(super) deliveries: Family<DeliveryLabels, Counter>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DeliveryLabels {
    pub outcome: DeliveryOutcome,
}

/// How one try of a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(super) enum DeliveryOutcome {
    Delivered,
    /// The receiver answered with an error.
    Refused,
    /// No answer came.
    Unreachable,
    /// It may not or need not be sent.
    GivenUp,
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tidegate_webhook_events",
            "Events that a policy wanted",
            self.fired.clone(),
        );
        registry.register(
            "tidegate_webhook_events_dropped",
            "Events lost because too many waited for the database",
            self.dropped.clone(),
        );
        registry.register(
            "tidegate_webhook_deliveries",
            "Tries of deliveries by outcome",
            self.deliveries.clone(),
        );
    }

    pub(super) fn delivery(&self, outcome: DeliveryOutcome) {
        self.deliveries
            .get_or_create(&DeliveryLabels { outcome })
            .inc();
    }
}
