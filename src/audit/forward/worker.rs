use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::Sink;
use crate::{
    audit::{Metrics, metrics::Place, recorder::Noted},
    backoff::Backoff,
    secret::random_bytes,
};

/// Takes events from a queue to one place.
#[derive(Debug)]
pub(super) struct Worker {
    events: mpsc::Receiver<Arc<Noted>>,
    place: Place,
    metrics: Metrics,
    /// When the log was told last that events were not sent on, and how many there had been.
    told: (Instant, u64),
}

impl Worker {
    pub(super) fn new(events: mpsc::Receiver<Arc<Noted>>, place: Place, metrics: Metrics) -> Self {
        Self {
            events,
            place,
            metrics,
            told: (Instant::now(), 0),
        }
    }

    pub(super) async fn run(mut self, mut sink: impl Sink, stop: CancellationToken) {
        let mut batch = Vec::new();
        while !stop.is_cancelled() {
            tokio::select! {
                received = self.events.recv_many(&mut batch, AT_ONCE) => {
                    if received == 0 {
                        return;
                    }
                }
                () = sleep(TELL_EVERY) => {}
                () = stop.cancelled() => {}
            }
            self.tell_losses();
            self.deliver(&mut sink, &mut batch, &stop).await;
        }
        let last_words = timeout(LAST_WORDS, self.drain(&mut sink, &mut batch)).await;
        let left = batch.len() + self.events.len();
        if left > 0 || last_words.is_err() {
            self.metrics.unsent(self.place).inc_by(left as u64);
            tracing::warn!(
                "{left} audit events were not sent on to {}",
                self.place.name()
            );
        }
    }

    /// Tries until all is sent or until `stop`, which does not wait for a try.
    async fn deliver(
        &mut self,
        sink: &mut impl Sink,
        batch: &mut Vec<Arc<Noted>>,
        stop: &CancellationToken,
    ) {
        let mut attempt = 0;
        while !batch.is_empty() && !stop.is_cancelled() {
            let sent = stop.run_until_cancelled(self.send(sink, batch)).await;
            let Some(Err(error)) = sent else {
                continue;
            };
            if attempt == 0 {
                tracing::warn!("audit events wait for {}: {error}", self.place.name());
            }
            attempt += 1;
            self.pause(sink, attempt, stop).await;
        }
        if attempt > 0 && batch.is_empty() {
            tracing::info!("{} takes audit events again", self.place.name());
        }
    }

    /// Waits before another try; not for a place that is another one now.
    async fn pause(&mut self, sink: &impl Sink, attempt: u32, stop: &CancellationToken) {
        let pause = BACKOFF.delay(attempt, u64::from_ne_bytes(random_bytes()));
        let next = Instant::now() + pause.max(LEAST_PAUSE);
        while Instant::now() < next && !sink.has_moved() && !stop.is_cancelled() {
            let slice = next.duration_since(Instant::now()).min(LOOK_EVERY);
            stop.run_until_cancelled(sleep(slice)).await;
            self.tell_losses();
        }
    }

    async fn send(&self, sink: &mut impl Sink, batch: &mut Vec<Arc<Noted>>) -> std::io::Result<()> {
        let before = batch.len();
        let sent = sink.send(batch).await;
        let gone = before - batch.len();
        self.metrics.sent(self.place).inc_by(gone as u64);
        if !sent? {
            self.metrics.unsent(self.place).inc_by(batch.len() as u64);
            batch.clear();
        }
        Ok(())
    }

    /// Sends what is left, as far as it goes at once.
    async fn drain(&mut self, sink: &mut impl Sink, batch: &mut Vec<Arc<Noted>>) {
        self.events.close();
        loop {
            if !batch.is_empty() && self.send(sink, batch).await.is_err() {
                return;
            }
            if batch.is_empty() && self.events.recv_many(batch, AT_ONCE).await == 0 {
                return;
            }
        }
    }

    /// Says now and then that events were not sent on since it was said last.
    fn tell_losses(&mut self) {
        let (at, known) = self.told;
        let lost = self.metrics.unsent(self.place).get();
        if lost == known || at.elapsed() < TELL_EVERY {
            return;
        }
        tracing::error!(
            "{} audit events were not sent on: {} is away, too slow or not set any more",
            lost - known,
            self.place.name()
        );
        self.told = (Instant::now(), lost);
    }
}

/// Events sent in one go.
const AT_ONCE: usize = 100;

const BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(500),
    cap: Duration::from_secs(30),
};

/// Between two tries, whatever chance says.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// How often a pause looks whether the place has moved: a change is to act within a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);

const TELL_EVERY: Duration = Duration::from_mins(1);

/// For what is in the queue at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);
