use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Counters of this room.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(super) written: Counter,
    pub(super) dropped: Counter,
    sent: Family<Labels, Counter>,
    unsent: Family<Labels, Counter>,
}

/// Where events are sent on to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Syslog,
    File,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    place: &'static str,
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
            "Audit events lost because the queue was full (of pulls: half full) or the database \
             refused them",
            self.dropped.clone(),
        );
        registry.register(
            "tidegate_audit_events_forwarded",
            "Audit events sent on to the syslog receiver or the file",
            self.sent.clone(),
        );
        registry.register(
            "tidegate_audit_events_not_forwarded",
            "Audit events not sent on because the place was away or slow and its queue full, or was \
             not set any more",
            self.unsent.clone(),
        );
    }

    /// Events sent on to a place.
    pub(super) fn sent(&self, place: Place) -> Counter {
        self.sent.get_or_create(&place.labels()).clone()
    }

    /// Events that a place did not get.
    pub(super) fn unsent(&self, place: Place) -> Counter {
        self.unsent.get_or_create(&place.labels()).clone()
    }
}

impl Place {
    /// As sentences have it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Syslog => "the syslog receiver",
            Self::File => "the file of audit events",
        }
    }

    const fn labels(self) -> Labels {
        Labels {
            place: match self {
                Self::Syslog => "syslog",
                Self::File => "file",
            },
        }
    }
}
