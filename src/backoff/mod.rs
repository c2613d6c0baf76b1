//! Exponential backoff with full jitter.
//!
//! Pure: the attempt's number comes in, a delay comes out; whoever retries keeps the count.

use std::time::Duration;

/// Delays double from `base` up to `cap`; each is drawn evenly between zero and that bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub base: Duration,
    pub cap: Duration,
}

impl Backoff {
    /// The longest delay before retry `attempt`, the first retry being number 1.
    pub fn bound(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(32);
        self.base
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(self.cap)
    }

    /// A delay for retry `attempt`; `random` is any evenly distributed number.
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let bound_ms = u64::try_from(self.bound(attempt).as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(random % bound_ms.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        base: Duration::from_secs(1),
        cap: Duration::from_mins(5),
    };

    #[test]
    fn bounds_double_up_to_the_cap() {
        let bounds: Vec<u64> = (1..=10).map(|n| BACKOFF.bound(n).as_secs()).collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(BACKOFF.bound(u32::MAX).as_secs(), 300);
    }

    #[test]
    fn delays_stay_within_the_bound() {
        for random in [0, 1, 1000, 1001, u64::MAX] {
            assert!(BACKOFF.delay(1, random) <= Duration::from_secs(1));
        }
        assert_eq!(BACKOFF.delay(1, 1000), Duration::from_secs(1));
        assert_eq!(BACKOFF.delay(1, 1001), Duration::ZERO);
    }
}
