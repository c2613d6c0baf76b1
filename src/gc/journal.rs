use std::sync::atomic::{AtomicU64, Ordering};

use crate::jobs::Log;

/// A run's log. Only the first of what happens a thousand times are listed, so that there is
/// room for the sum.
#[derive(Debug)]
pub(super) struct Journal {
    log: Log,
    items: AtomicU64,
    doubts: AtomicU64,
}

impl Journal {
    pub(super) fn new(log: Log) -> Self {
        Self {
            log,
            items: AtomicU64::default(),
            doubts: AtomicU64::default(),
        }
    }

    pub(super) fn line(&self, text: impl AsRef<str>) {
        self.log.line(text);
    }

    /// One thing is gone.
    pub(super) fn item(&self, text: &str) {
        if self.items.fetch_add(1, Ordering::Relaxed) < MOST_ITEMS {
            self.log.line(text);
        }
    }

    /// Why something stays that may be garbage.
    pub(super) fn doubt(&self, text: &str) {
        if self.doubts.fetch_add(1, Ordering::Relaxed) < MOST_DOUBTS {
            self.log.line(text);
        }
    }

    /// Says how many were not listed.
    pub(super) fn close(&self) {
        for (count, most, what) in [
            (&self.items, MOST_ITEMS, "removals"),
            (&self.doubts, MOST_DOUBTS, "warnings"),
        ] {
            let rest = count.load(Ordering::Relaxed).saturating_sub(most);
            if rest > 0 {
                self.log.line(format!("{rest} more {what} are not listed"));
            }
        }
    }
}

/// Together well below the lines that a log keeps (`jobs.log_lines`).
const MOST_ITEMS: u64 = 500;
const MOST_DOUBTS: u64 = 100;
