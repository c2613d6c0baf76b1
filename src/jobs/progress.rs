//! How far a run has come, as it says itself.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a run has done of what it knows that there is to do. Parts are what its kind counts:
/// blobs, of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    pub bytes: u64,
    pub total_bytes: u64,
    pub parts: u64,
    pub total_parts: u64,
}

/// The same in the memory of the process that has the run.
#[derive(Debug, Default)]
pub(super) struct Meter {
    bytes: AtomicU64,
    total_bytes: AtomicU64,
    parts: AtomicU64,
    total_parts: AtomicU64,
}

impl Progress {
    /// How long the rest takes if it goes on as in the `elapsed` so far; `None`: nobody can say.
    pub fn rest(&self, elapsed: Duration) -> Option<Duration> {
        let left = self.total_bytes.saturating_sub(self.bytes);
        if self.bytes == 0 && left > 0 {
            return None;
        }
        let millis =
            elapsed.as_millis().saturating_mul(u128::from(left)) / u128::from(self.bytes.max(1));
        Some(Duration::from_millis(u64::try_from(millis).ok()?))
    }
}

impl Meter {
    pub(super) fn expect(&self, bytes: u64, parts: u64) {
        self.total_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.total_parts.fetch_add(parts, Ordering::Relaxed);
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_part(&self) {
        self.parts.fetch_add(1, Ordering::Relaxed);
    }

    /// `None` while the run has not said what there is to do.
    pub(super) fn read(&self) -> Option<Progress> {
        let total_parts = self.total_parts.load(Ordering::Relaxed);
        let total_bytes = self.total_bytes.load(Ordering::Relaxed);
        (total_parts > 0).then(|| Progress {
            // What is begun again is counted again.
            bytes: self.bytes.load(Ordering::Relaxed).min(total_bytes),
            total_bytes,
            parts: self.parts.load(Ordering::Relaxed).min(total_parts),
            total_parts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_told_from_the_pace_so_far() {
        let minute = Duration::from_mins(1);
        let progress = |bytes, total_bytes| Progress {
            bytes,
            total_bytes,
            ..Progress::default()
        };
        assert_eq!(progress(0, 100).rest(minute), None);
        assert_eq!(progress(25, 100).rest(minute), Some(3 * minute));
        assert_eq!(progress(100, 100).rest(minute), Some(Duration::ZERO));
        assert_eq!(progress(0, 0).rest(minute), Some(Duration::ZERO));
        assert_eq!(progress(1, u64::MAX).rest(Duration::MAX), None);
    }

    #[test]
    fn a_run_that_says_nothing_has_no_progress() {
        let meter = Meter::default();
        meter.add_bytes(5);
        assert_eq!(meter.read(), None);
        meter.expect(10, 2);
        meter.add_part();
        meter.add_bytes(6);
        let expected = Progress {
            bytes: 10,
            total_bytes: 10,
            parts: 1,
            total_parts: 2,
        };
        assert_eq!(meter.read(), Some(expected));
    }
}
