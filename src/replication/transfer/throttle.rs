use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::{
    replication::{PolicyId, RegistryId},
    wire::Meter,
};

/// What a speed limit is set for: all copies of a policy in this process, or all to and from a
/// registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::replication) enum Limited {
    Policy(PolicyId),
    Registry(RegistryId),
}

/// The limits as they are now, in kilobits (1024 bits) a second. Cheap to clone; all clones are
/// one.
#[derive(Debug, Clone, Default)]
pub(in crate::replication) struct Speeds(Arc<ArcSwap<HashMap<Limited, Option<u32>>>>);

impl Speeds {
    /// Counts at once, for copies under way too.
    pub(in crate::replication) fn set(&self, speeds: HashMap<Limited, Option<u32>>) {
        self.0.store(Arc::new(speeds));
    }

    /// `None`: no limit.
    pub(in crate::replication) fn of(&self, limited: Limited) -> Option<u32> {
        self.0.load().get(&limited).copied().flatten()
    }
}

/// The buckets of what is being copied for.
#[derive(Debug)]
pub(in crate::replication) struct Throttles {
    speeds: Speeds,
    /// As many as there are policies and registries; entries without holders are replaced.
    buckets: Mutex<HashMap<Limited, Weak<Bucket>>>,
}

/// Hands out bytes on credit, and nothing more until they are paid for by time.
#[derive(Debug)]
pub(super) struct Bucket {
    limited: Limited,
    speeds: Speeds,
    debt: Mutex<Debt>,
}

#[derive(Debug)]
struct Debt {
    /// Less than 0 is what was saved up.
    bytes: f64,
    since: Instant,
}

impl Throttles {
    pub(in crate::replication) fn new(speeds: Speeds) -> Self {
        Self {
            speeds,
            buckets: Mutex::default(),
        }
    }

    /// The one bucket that all copies share which this limit is for, whether it is set or not.
    pub(super) fn bucket(&self, limited: Limited) -> Arc<Bucket> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get(&limited).and_then(Weak::upgrade) {
            return bucket;
        }
        let bucket = Arc::new(Bucket {
            limited,
            speeds: self.speeds.clone(),
            debt: Mutex::new(Debt {
                bytes: 0.0,
                since: Instant::now(),
            }),
        });
        buckets.insert(limited, Arc::downgrade(&bucket));
        bucket
    }
}

impl Bucket {
    fn bytes_per_second(&self) -> Option<f64> {
        let kbps = self.speeds.of(self.limited)?;
        Some(f64::from(kbps.max(1)) * BYTES_PER_KILOBIT)
    }

    /// How many bytes may go at once; `None`: any number.
    fn portion(&self) -> Option<usize> {
        let kbps = self.speeds.of(self.limited)?;
        let bytes = u64::from(kbps) * PORTION_BYTES_PER_KBPS;
        Some(usize::try_from(bytes).unwrap_or(usize::MAX).max(1))
    }

    fn pay(&self, bytes: usize) {
        self.settled().bytes += f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// How long nothing more may go.
    fn wait(&self) -> Duration {
        let Some(speed) = self.bytes_per_second() else {
            return Duration::ZERO;
        };
        Duration::try_from_secs_f64(self.settled().bytes / speed).unwrap_or_default()
    }

    /// The debt that the time since has left.
    fn settled(&self) -> MutexGuard<'_, Debt> {
        let mut debt = self.debt.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, speed) = (Instant::now(), self.bytes_per_second());
        debt.bytes = speed.map_or(0.0, |speed| {
            let paid = debt.bytes - speed * (now - debt.since).as_secs_f64();
            paid.max(-speed * SAVED_SECONDS)
        });
        debt.since = now;
        debt
    }
}

/// The speed of all buckets together.
impl Meter for [Arc<Bucket>; 2] {
    fn portion(&self) -> Option<usize> {
        self.iter().filter_map(|bucket| bucket.portion()).min()
    }

    fn pay(&mut self, bytes: usize) {
        for bucket in self.iter() {
            bucket.pay(bytes);
        }
    }

    fn wait(&self) -> Duration {
        let waits = self.iter().map(|bucket| bucket.wait());
        waits.max().unwrap_or_default()
    }
}

/// As Harbor counts: 1024 bits.
const BYTES_PER_KILOBIT: f64 = 128.0;
/// What goes at once takes about 50 ms, so that the speed is even however large frames are.
const PORTION_BYTES_PER_KBPS: u64 = 6;
/// What may be saved up while nothing is copied, or while a timer is late.
const SAVED_SECONDS: f64 = 0.05;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody};

    use super::*;
    use crate::wire::Throttled;

    const POLICY: Limited = Limited::Policy(PolicyId(1));
    const OTHER_POLICY: Limited = Limited::Policy(PolicyId(2));
    const TARGET: Limited = Limited::Registry(RegistryId(1));

    fn speeds(limits: &[(Limited, u32)]) -> Speeds {
        let speeds = Speeds::default();
        let some = limits.iter().map(|(limited, kbps)| (*limited, Some(*kbps)));
        speeds.set(some.collect());
        speeds
    }

    /// Copies `kib` KiB in frames of a quarter MiB.
    async fn copy(throttles: &Throttles, policy: Limited, kib: usize) {
        let bytes = Bytes::from(vec![7; kib * 1024]);
        let frames: Vec<_> = bytes.chunks(256 * 1024).collect();
        let frames = frames
            .into_iter()
            .map(|frame| Ok(Frame::data(Bytes::copy_from_slice(frame))));
        let body = StreamBody::new(futures_util::stream::iter(frames.collect::<Vec<_>>()));
        let buckets = [policy, TARGET].map(|limited| throttles.bucket(limited));
        let copied = Throttled::new(body, buckets).collect().await.unwrap();
        assert!(copied.to_bytes() == bytes);
    }

    fn assert_takes(seconds: f64, begun: Instant) {
        let took = begun.elapsed().as_secs_f64();
        let range = seconds * 0.95..=seconds * 1.05;
        assert!(range.contains(&took), "{took} s instead of {seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn the_copies_of_all_policies_share_the_speed_of_their_target() {
        // 1024 kbit/s are 128 KiB a second.
        let throttles = Throttles::new(speeds(&[(TARGET, 1024)]));
        let begun = Instant::now();
        tokio::join!(
            copy(&throttles, POLICY, 200),
            copy(&throttles, POLICY, 100),
            copy(&throttles, OTHER_POLICY, 212),
        );
        assert_takes(4.0, begun);
    }

    #[tokio::test(start_paused = true)]
    async fn the_copies_of_a_policy_share_its_speed_and_others_do_not() {
        let throttles = Throttles::new(speeds(&[(POLICY, 1024), (TARGET, 8192)]));
        let begun = Instant::now();
        tokio::join!(
            copy(&throttles, POLICY, 256),
            copy(&throttles, POLICY, 256),
            async {
                copy(&throttles, OTHER_POLICY, 896 * 2).await;
                assert_takes(2.0, begun);
            },
        );
        assert_takes(4.0, begun);
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_speed_counts_in_a_copy_under_way() {
        let speeds = speeds(&[(TARGET, 1024)]);
        let throttles = Throttles::new(speeds.clone());
        let begun = Instant::now();
        let change = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            speeds.set([(TARGET, Some(4096))].into());
        };
        // Two seconds at 128 KiB/s, then two at 512 KiB/s.
        tokio::join!(copy(&throttles, POLICY, 256 + 1024), change);
        assert_takes(4.0, begun);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_lifted_holds_nobody_and_one_that_is_set_everybody() {
        let speeds = speeds(&[(TARGET, 1)]);
        let throttles = Throttles::new(speeds.clone());
        let begun = Instant::now();
        let change = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            speeds.set(HashMap::new());
        };
        tokio::join!(copy(&throttles, POLICY, 1024), change);
        let took = begun.elapsed().as_secs_f64();
        assert!((5.0..5.5).contains(&took), "{took}");
        speeds.set([(POLICY, Some(1024))].into());
        let begun = Instant::now();
        copy(&throttles, POLICY, 512).await;
        assert_takes(4.0, begun);
    }
}
