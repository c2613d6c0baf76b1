use std::time::Duration;

use tokio::time::Instant;

use super::Limits;
use crate::wire::Meter;

/// The speed limit of one answer, as nginx's `limit_rate` and `limit_rate_after`.
#[derive(Debug, Clone)]
pub(super) struct Speed {
    bytes_per_second: u64,
    /// That go before the limit holds.
    free_bytes: u64,
    sent_bytes: u64,
    /// When the limit began to hold.
    since: Option<Instant>,
}

impl Speed {
    /// `None`: answers go as fast as they can.
    pub(super) fn new(limits: &Limits) -> Option<Self> {
        (limits.response_kib_per_second > 0).then(|| Self {
            bytes_per_second: limits.response_kib_per_second.saturating_mul(1 << 10),
            free_bytes: limits.response_full_speed_mib.saturating_mul(1 << 20),
            sent_bytes: 0,
            since: None,
        })
    }
}

impl Meter for Speed {
    fn portion(&self) -> Option<usize> {
        let free = self.free_bytes.saturating_sub(self.sent_bytes);
        let portion = free.max(self.bytes_per_second / PORTIONS_A_SECOND).max(1);
        usize::try_from(portion).ok()
    }

    fn pay(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
        if self.sent_bytes > self.free_bytes {
            self.since.get_or_insert_with(Instant::now);
        }
    }

    fn wait(&self) -> Duration {
        let Some(since) = self.since else {
            return Duration::ZERO;
        };
        let slow_bytes = u128::from(self.sent_bytes.saturating_sub(self.free_bytes));
        let due = slow_bytes * NANOS_A_SECOND / u128::from(self.bytes_per_second);
        let due = Duration::from_nanos(u64::try_from(due).unwrap_or(u64::MAX));
        due.saturating_sub(since.elapsed())
    }
}

/// So that the speed is even however large frames are.
const PORTIONS_A_SECOND: u64 = 20;
const NANOS_A_SECOND: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};

    use super::*;
    use crate::wire::{Body, Throttled};

    #[tokio::test(start_paused = true)]
    async fn an_answer_goes_fast_first_and_then_at_its_speed() {
        let limits = Limits {
            response_kib_per_second: 512,
            response_full_speed_mib: 1,
            ..Limits::default()
        };
        let whole = Bytes::from(vec![7; 3 << 20]);
        let body = Body::boxed(Full::new(whole.clone()));
        let begun = Instant::now();
        let slow = Throttled::new(body, Speed::new(&limits).unwrap());
        assert!(slow.collect().await.unwrap().to_bytes() == whole);
        let took = begun.elapsed().as_secs_f64();
        assert!(
            (3.8..=4.1).contains(&took),
            "{took} s for 2 MiB at 512 KiB/s"
        );
    }
}
