use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::{replication::PolicyId, wire::BoxError};

/// The speed limits of the policies that are copying, each shared by all their transfers.
#[derive(Debug, Default)]
pub(in crate::replication) struct Throttles {
    /// As many as there are policies; entries without holders are replaced.
    buckets: Mutex<HashMap<PolicyId, Weak<Bucket>>>,
}

/// Hands out time for bytes.
#[derive(Debug)]
pub(super) struct Bucket(Mutex<Schedule>);

#[derive(Debug)]
struct Schedule {
    bytes_per_second: u64,
    /// When the bytes handed out so far are paid for.
    paid: Instant,
}

impl Throttles {
    /// The policy's bucket, with its present speed.
    pub(super) fn bucket(&self, policy: PolicyId, speed_kbps: u32) -> Arc<Bucket> {
        let bytes_per_second = u64::from(speed_kbps.max(1)) * BYTES_PER_KILOBIT;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get(&policy).and_then(Weak::upgrade) {
            bucket.schedule().bytes_per_second = bytes_per_second;
            return bucket;
        }
        let bucket = Arc::new(Bucket(Mutex::new(Schedule {
            bytes_per_second,
            paid: Instant::now(),
        })));
        buckets.insert(policy, Arc::downgrade(&bucket));
        bucket
    }
}

impl Bucket {
    /// When the next bytes may follow these `count`.
    fn pay(&self, count: u64) -> Instant {
        let mut schedule = self.schedule();
        let earliest = Instant::now().checked_sub(BURST);
        let from = earliest.map_or(schedule.paid, |earliest| schedule.paid.max(earliest));
        let nanos = count.saturating_mul(1_000_000_000) / schedule.bytes_per_second;
        schedule.paid = from + Duration::from_nanos(nanos);
        schedule.paid
    }

    fn schedule(&self) -> std::sync::MutexGuard<'_, Schedule> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that keeps to a bucket's speed.
#[derive(Debug)]
pub(super) struct Throttled<B> {
    body: B,
    bucket: Arc<Bucket>,
    wait: Option<Pin<Box<Sleep>>>,
}

impl<B> Throttled<B> {
    pub(super) fn new(body: B, bucket: Arc<Bucket>) -> Self {
        Self {
            body,
            bucket,
            wait: None,
        }
    }
}

impl<B> Body for Throttled<B>
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(wait) = &mut self.wait {
            ready!(wait.as_mut().poll(context));
            self.wait = None;
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let next = self.bucket.pay(data.len() as u64);
            if next > Instant::now() {
                self.wait = Some(Box::pin(tokio::time::sleep_until(next)));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// As Harbor counts: 1024 bits.
const BYTES_PER_KILOBIT: u64 = 128;
/// What may be saved up while nothing is copied.
const BURST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn transfers_of_one_policy_share_its_speed() {
        let throttles = Throttles::default();
        let begun = Instant::now();
        let copies = (0..2).map(|_| {
            let chunks = (0..16).map(|_| Ok(Frame::data(Bytes::from(vec![0; 8192]))));
            let body = StreamBody::new(futures_util::stream::iter(chunks));
            // 1024 kbit/s are 128 KiB a second; two bodies of 128 KiB take two seconds.
            Throttled::new(body, throttles.bucket(PolicyId(1), 1024)).collect()
        });
        for collected in futures_util::future::join_all(copies).await {
            assert_eq!(collected.unwrap().to_bytes().len(), 16 * 8192);
        }
        let seconds = begun.elapsed().as_secs_f64();
        assert!((1.7..=2.1).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_speed_counts_at_once() {
        let throttles = Throttles::default();
        let bucket = throttles.bucket(PolicyId(1), 8);
        let same = throttles.bucket(PolicyId(1), 8000);
        assert!(Arc::ptr_eq(&bucket, &same));
        let paid = bucket.pay(1_024_000) - Instant::now();
        assert!(paid <= Duration::from_secs(1), "{paid:?}");
    }
}
