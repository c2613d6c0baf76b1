use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::mpsc;

use super::{Config, Event, Metrics, Writer};
use crate::{
    clock::{SharedClock, Timestamp},
    store::Db,
};

/// Takes events. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Noted>,
    clock: SharedClock,
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

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Notes an event; never waits. When the queue is full the event is dropped and counted,
    /// and the log says so once until the writer has caught up.
    pub fn record(&self, mut event: Event) {
        event.replace_nul();
        let at = self.clock.now();
        let Err(refused) = self.queue.try_send(Noted { at, event }) else {
            return;
        };
        self.metrics.dropped.inc();
        let full = matches!(refused, mpsc::error::TrySendError::Full(_));
        if full && !self.overflow.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the audit queue is full: events are lost until the database catches up; \
                 raise audit.queue_length if this happens in bursts"
            );
        }
    }
}
