use std::{sync::atomic::Ordering, time::Duration};

use super::connection::{Doorway, Link};

/// When a connection must go though its client has not closed it.
pub(super) struct Retirement<'a> {
    pub(super) door: &'a Doorway,
    pub(super) link: &'a Link,
}

/// How a connection is to go.
pub(super) enum Leave {
    AtOnce,
    /// Requests in flight finish.
    Gracefully,
}

impl Retirement<'_> {
    pub(super) fn keep_alive(&self) -> Duration {
        self.door.timeouts.keep_alive
    }

    pub(super) fn body_idle(&self) -> Duration {
        self.door.timeouts.body_idle
    }

    pub(super) async fn http1(&self) -> Leave {
        tokio::select! {
            () = self.never_used() => Leave::AtOnce,
            () = self.door.shutdown.draining().cancelled() => {
                // Answers carry `Connection: close` already; a client in the middle of a row of
                // requests sees that before its idle connection is closed under its hands.
                tokio::time::sleep(DRAIN_GRACE).await;
                Leave::Gracefully
            }
        }
    }

    pub(super) async fn http2(&self) -> Leave {
        tokio::select! {
            () = self.never_used() => Leave::AtOnce,
            () = self.long_idle() => Leave::Gracefully,
            // GOAWAY loses nothing: no grace is needed.
            () = self.door.shutdown.draining().cancelled() => Leave::Gracefully,
        }
    }

    /// Ready when all has been answered, and the client has not taken the rest for too long.
    pub(super) async fn overstayed(&self) {
        let mut was_idle = false;
        loop {
            tokio::time::sleep(self.body_idle()).await;
            let is_idle = self.link.in_flight.load(Ordering::Relaxed) == 0;
            if is_idle && was_idle {
                return;
            }
            was_idle = is_idle;
        }
    }

    /// Ready when the first request is overdue.
    async fn never_used(&self) {
        tokio::time::sleep(self.door.timeouts.header).await;
        if self.link.begun.load(Ordering::Relaxed) > 0 {
            std::future::pending::<()>().await;
        }
    }

    /// Ready after one to two keep-alive times without a request.
    async fn long_idle(&self) {
        let mut begun = self.link.begun.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(self.door.timeouts.keep_alive).await;
            let now = self.link.begun.load(Ordering::Relaxed);
            if now == begun && self.link.in_flight.load(Ordering::Relaxed) == 0 {
                return;
            }
            begun = now;
        }
    }
}

const DRAIN_GRACE: Duration = Duration::from_millis(500);
