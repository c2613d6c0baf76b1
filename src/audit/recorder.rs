use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::mpsc::{self, error::TrySendError};

use super::{
    Config, Event, Forwarder, Metrics, Operation, Writer, forward::Outlets, types::Disabled,
};
use crate::{
    clock::{SharedClock, Timestamp},
    settings,
    store::Db,
};

/// Takes events. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Arc<Noted>>,
    clock: SharedClock,
    settings: settings::Reader,
    disabled: Arc<Disabled>,
    outlets: Option<Outlets>,
    overflow: Arc<AtomicBool>,
    metrics: Metrics,
}

/// An event and when it happened.
#[derive(Debug)]
pub(super) struct Noted {
    pub at: Timestamp,
    pub event: Event,
}

impl Recorder {
    /// A recorder, and the writer behind it, which somebody must run ([`Writer::run`]).
    pub fn open(db: Db, clock: SharedClock, config: &Config) -> (Self, Writer) {
        let (queue, events) = mpsc::channel(config.queue_length.max(1));
        let recorder = Self {
            queue,
            clock: clock.clone(),
            settings: settings::Reader::default(),
            disabled: Arc::default(),
            outlets: None,
            overflow: Arc::default(),
            metrics: Metrics::default(),
        };
        let writer = Writer {
            events,
            db,
            clock,
            config: config.clone(),
            overflow: Arc::clone(&recorder.overflow),
            metrics: recorder.metrics.clone(),
        };
        (recorder, writer)
    }

    /// Obeys the settings and sends events on as they say; somebody must run what does
    /// ([`Forwarder::run`]). Fails when the certificate file of the configuration is no good.
    pub fn forwarding(
        self,
        config: &Config,
        settings: settings::Reader,
    ) -> io::Result<(Self, Forwarder)> {
        let (outlets, forwarder) = Outlets::open(config, settings.clone(), &self.metrics)?;
        let recorder = Self {
            settings,
            outlets: Some(outlets),
            ..self
        };
        Ok((recorder, forwarder))
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Notes an event, unless its type is disabled; never waits. When the queue is full the event
    /// is dropped and counted, and the log says so once until the writer has caught up.
    pub fn record(&self, mut event: Event) {
        let values = self.settings.values();
        let (operation, thing) = (event.operation.as_str(), event.resource_type);
        let disabled = self.disabled.types(&values.disabled_audit_log_event_types);
        if disabled.has(operation, thing) {
            return;
        }
        event.replace_nul();
        let at = self.clock.now();
        let noted = Arc::new(Noted { at, event });
        if let Some(outlets) = &self.outlets {
            let is_taken = outlets.offer(&noted, &values);
            if is_taken && values.skip_audit_log_database {
                return;
            }
        }
        let Err(refused) = noted.enter(&self.queue) else {
            return;
        };
        self.metrics.dropped.inc();
        let is_full = matches!(refused, TrySendError::Full(())) && !noted.is_pull();
        if is_full && !self.overflow.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the audit queue is full: events are lost until the database catches up; \
                 raise audit.queue_length if this happens in bursts"
            );
        }
    }
}

impl Noted {
    /// Enters a queue that has room. Pulls leave half of it free, so that they crowd nothing out.
    pub(super) fn enter(
        self: &Arc<Self>,
        queue: &mpsc::Sender<Arc<Self>>,
    ) -> Result<(), TrySendError<()>> {
        if self.is_pull() && queue.capacity() * 2 <= queue.max_capacity() {
            return Err(TrySendError::Full(()));
        }
        queue
            .try_send(Arc::clone(self))
            .map_err(|refused| match refused {
                TrySendError::Full(_) => TrySendError::Full(()),
                TrySendError::Closed(_) => TrySendError::Closed(()),
            })
    }

    fn is_pull(&self) -> bool {
        self.event.operation == Operation::Pull
    }
}
