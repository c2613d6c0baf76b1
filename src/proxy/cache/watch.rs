//! Whether a repository may have changed since something was read of it.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::oci::RepositoryName;

/// Counts the writes to repositories. Many repositories share one of a fixed number of lanes, so a
/// write may be taken for one to some other repository as well, never the other way round.
pub(super) struct Watch {
    lanes: Box<[Lane]>,
    hasher: RandomState,
    start: Instant,
}

#[derive(Default)]
struct Lane {
    begun: AtomicU64,
    ended: AtomicU64,
    /// Until when a write may still take effect whose end nobody knows; milliseconds after the
    /// start.
    doubtful_until: AtomicU64,
}

/// The writes that had begun, and ended, before something was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            lanes: (0..LANES).map(|_| Lane::default()).collect(),
            hasher: RandomState::new(),
            start: Instant::now(),
        }
    }

    /// To be asked before a read begins. `None` while a write is under way, or may be: what is
    /// read now says nothing of later.
    pub(super) fn epoch(&self, name: &RepositoryName) -> Option<Epoch> {
        let lane = self.lane(name);
        // A write that begins after this is seen by `is_current`.
        let begun = lane.begun.load(Ordering::SeqCst);
        let is_quiet = lane.ended.load(Ordering::SeqCst) == begun
            && lane.doubtful_until.load(Ordering::SeqCst) <= self.millis();
        is_quiet.then_some(Epoch(begun))
    }

    /// Whether no write has begun since.
    pub(super) fn is_current(&self, name: &RepositoryName, epoch: Epoch) -> bool {
        self.lane(name).begun.load(Ordering::SeqCst) == epoch.0
    }

    /// To be called before a write can take effect.
    pub(super) fn write(&self, name: &RepositoryName) -> Write<'_> {
        let lane = self.lane(name);
        lane.begun.fetch_add(1, Ordering::SeqCst);
        Write {
            watch: self,
            lane,
            is_settled: false,
        }
    }

    /// A write was made of which nothing was known. It may be told before it takes effect.
    pub(super) fn heard(&self, name: &RepositoryName) {
        let write = self.write(name);
        write.doubt(SETTLING);
        write.settle();
    }

    fn lane(&self, name: &RepositoryName) -> &Lane {
        let hash = self.hasher.hash_one(name);
        let index = usize::try_from(hash % LANES as u64).unwrap_or_default();
        &self.lanes[index]
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A write under way. Dropped before it is settled, its end is unknown.
pub(super) struct Write<'a> {
    watch: &'a Watch,
    lane: &'a Lane,
    is_settled: bool,
}

impl Write<'_> {
    /// The registry has said how it ended.
    pub(super) fn settle(mut self) {
        self.is_settled = true;
    }

    fn doubt(&self, time: Duration) {
        let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let until = self.watch.millis().saturating_add(time);
        self.lane.doubtful_until.fetch_max(until, Ordering::SeqCst);
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.doubt(DOUBT);
        }
        self.lane.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// 96 KiB; of a thousand busy repositories few share one.
const LANES: usize = 4096;
/// As long as a registry is waited for that was sent a write.
const DOUBT: Duration = Duration::from_mins(15);
/// distribution tells of a push before it sets the tag, within the same request.
const SETTLING: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RepositoryName {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn what_was_read_holds_until_the_next_write_begins() {
        let (watch, app) = (Watch::new(), name("team/app"));
        let before = watch.epoch(&app).unwrap();
        assert!(watch.is_current(&app, before));
        let first = watch.write(&app);
        assert!(!watch.is_current(&app, before));
        let second = watch.write(&app);
        first.settle();
        assert_eq!(watch.epoch(&app), None, "the second is under way");
        second.settle();
        let after = watch.epoch(&app).unwrap();
        assert!(watch.is_current(&app, after) && after != before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_without_an_end_leaves_a_doubt_that_ends() {
        let (watch, app) = (Watch::new(), name("team/app"));
        drop(watch.write(&app));
        tokio::time::advance(DOUBT.mul_f64(0.999)).await;
        assert_eq!(watch.epoch(&app), None);
        tokio::time::advance(DOUBT.mul_f64(0.001)).await;
        assert!(watch.epoch(&app).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_was_heard_of_ends_what_was_read_and_is_given_time() {
        let (watch, app) = (Watch::new(), name("team/app"));
        let before = watch.epoch(&app).unwrap();
        watch.heard(&app);
        assert!(!watch.is_current(&app, before));
        assert_eq!(watch.epoch(&app), None, "it may not have taken effect yet");
        tokio::time::advance(SETTLING).await;
        let after = watch.epoch(&app).unwrap();
        assert!(watch.is_current(&app, after));
    }
}
