use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// How long something may wait without progress.
///
/// The timer is set again only when it rings, not at every step, for bodies make a step every few
/// kilobytes.
pub struct Patience {
    limit: Duration,
    /// Since when there has been no progress; none while nobody waits.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            since: None,
            timer: None,
        }
    }

    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// There was progress: the wait, if any, is over.
    pub fn renew(&mut self) {
        self.since = None;
    }

    /// Ready when the wait, which begins now unless it has begun, has reached the limit.
    pub fn poll_exhausted(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let deadline = *self.since.get_or_insert_with(Instant::now) + self.limit;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        loop {
            ready!(timer.as_mut().poll(context));
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience")
            .field("limit", &self.limit)
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}
