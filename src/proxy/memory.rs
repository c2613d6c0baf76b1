//! The memory that manifests take on their way: reserved as they come, so that who says nothing
//! holds next to none of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{Config, Refusal};
use crate::oci::MAX_MANIFEST_BYTES;

/// Memory for manifests, in KiB, and of it a share for each account that pushes now.
pub(super) struct Memory {
    all: Arc<Semaphore>,
    shares: Mutex<HashMap<Box<str>, Weak<Semaphore>>>,
    share_kib: usize,
    patience: Duration,
}

/// What one manifest has of it, until this is dropped.
pub(super) struct Held {
    of_share: OwnedSemaphorePermit,
    of_all: OwnedSemaphorePermit,
    most_bytes: usize,
    patience: Duration,
}

impl Memory {
    pub(super) fn new(config: &Config) -> Self {
        let kib = config.manifest_memory_kib();
        Self {
            all: Arc::new(Semaphore::new(kib)),
            shares: Mutex::default(),
            share_kib: (kib / SHARES).max(MAX_MANIFEST_BYTES / 1024),
            patience: config.manifest_wait(),
        }
    }

    /// Memory for the beginning of a manifest that the account pushes, all of it for a small one
    /// that says how long it is. Who is not served soon is told to come back.
    pub(super) async fn hold(&self, account: &str, length: Option<u64>) -> Result<Held, Refusal> {
        let length = length.and_then(|length| usize::try_from(length).ok());
        let most_bytes = length.map_or(MAX_MANIFEST_BYTES, |length| length.min(MAX_MANIFEST_BYTES));
        let kib = to_kib(most_bytes.min(FIRST_BYTES));
        let share = self.share(account);
        let (of_share, of_all) = take((&share, &self.all), kib, self.patience).await?;
        Ok(Held {
            of_share,
            of_all,
            most_bytes,
            patience: self.patience,
        })
    }

    fn share(&self, account: &str) -> Arc<Semaphore> {
        let shares = self.shares.lock();
        let mut shares = shares.unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(account).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.share_kib));
        shares.insert(account.into(), Arc::downgrade(&share));
        share
    }
}

impl Held {
    pub(super) fn bytes(&self) -> usize {
        self.of_all.num_permits() * 1024
    }

    /// At least so much, and twice what there was, so that few steps lead to any length.
    ///
    /// Many that hold a part and wait for more may wait for each other, but no longer than
    /// [`Config::manifest_wait`]: the first to have waited so long is refused, and what it held
    /// goes to those after it. A manifest that fits into its first part never waits again, and
    /// nearly all do.
    pub(super) async fn grow_to(&mut self, bytes: usize) -> Result<(), Refusal> {
        let held_kib = self.of_all.num_permits();
        if bytes <= self.bytes() {
            return Ok(());
        }
        let wanted = bytes.max((self.bytes() * 2).min(self.most_bytes));
        let more_kib = to_kib(wanted).saturating_sub(u32::try_from(held_kib).unwrap_or(u32::MAX));
        let from = (self.of_share.semaphore(), self.of_all.semaphore());
        let (of_share, of_all) = take(from, more_kib, self.patience).await?;
        self.of_share.merge(of_share);
        self.of_all.merge(of_all);
        Ok(())
    }

    /// Gives back what is more than this.
    pub(super) fn shrink_to(&mut self, bytes: usize) {
        let kept_kib = usize::try_from(to_kib(bytes)).unwrap_or(usize::MAX);
        let spare_kib = self.of_all.num_permits().saturating_sub(kept_kib);
        drop(self.of_share.split(spare_kib));
        drop(self.of_all.split(spare_kib));
    }
}

/// From the account's share first: there it waits for nobody else.
async fn take(
    (share, all): (&Arc<Semaphore>, &Arc<Semaphore>),
    kib: u32,
    patience: Duration,
) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), Refusal> {
    let taking = async {
        let of_share = Arc::clone(share).acquire_many_owned(kib).await?;
        let of_all = Arc::clone(all).acquire_many_owned(kib).await?;
        Ok::<_, AcquireError>((of_share, of_all))
    };
    match timeout(patience, taking).await {
        Ok(Ok(taken)) => Ok(taken),
        Ok(Err(_closed)) => Err(Refusal::unavailable(
            "the gateway is shutting down",
            RETRY_AFTER,
        )),
        Err(_elapsed) => Err(Refusal::unavailable(
            "too many manifests are being pushed at once; push again in a moment",
            RETRY_AFTER,
        )),
    }
}

fn to_kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX)
}

/// An image's manifest has some KiB, an index of many platforms some tens.
const FIRST_BYTES: usize = 64 * 1024;

/// One account may hold one of so many parts, or one manifest of the largest size: the others go
/// on. An eighth of 64 MiB is two of those, or a hundred slow pushes that do not say their length.
const SHARES: usize = 8;

/// A manifest that others wait for is mostly through in some seconds.
const RETRY_AFTER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(mib: u32) -> Memory {
        Memory::new(&Config {
            manifest_memory_mib: mib,
            manifest_wait_seconds: 0,
            ..Config::default()
        })
    }

    #[tokio::test]
    async fn what_is_held_is_what_has_come() {
        let memory = memory(4);
        let mut held = memory.hold("alice", None).await.unwrap();
        let mut steps = vec![held.bytes() / 1024];
        for length in (0..=MAX_MANIFEST_BYTES).step_by(32 * 1024) {
            held.grow_to(length).await.unwrap();
            assert!(length <= held.bytes());
            steps.push(held.bytes() / 1024);
        }
        steps.dedup();
        assert_eq!(steps, [64, 128, 256, 512, 1024, 2048, 4096]);
        assert_eq!(memory.all.available_permits(), 0);
        held.shrink_to(1500);
        assert_eq!(memory.all.available_permits(), 4094);
        drop(held);
        assert_eq!(memory.all.available_permits(), 4096);
    }

    #[tokio::test]
    async fn no_more_is_held_than_a_manifest_says_it_has() {
        let memory = memory(4);
        for (length, first, last) in [(0, 1, 1), (1500, 2, 2), (100_000, 64, 98)] {
            let mut held = memory.hold("alice", Some(length)).await.unwrap();
            assert_eq!(held.bytes() / 1024, first);
            held.grow_to(usize::try_from(length).unwrap())
                .await
                .unwrap();
            assert_eq!(held.bytes() / 1024, last);
        }
        assert_eq!(memory.all.available_permits(), 4096);
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_that_wait_for_each_other_one_comes_through() {
        let memory = Memory::new(&Config {
            manifest_memory_mib: 4,
            ..Config::default()
        });
        let half = async |account| {
            let mut held = memory.hold(account, None).await.unwrap();
            held.grow_to(MAX_MANIFEST_BYTES / 2).await.unwrap();
            held
        };
        let (mut first, mut second) = (half("alice").await, half("bob").await);
        let grown = tokio::join!(
            async move { first.grow_to(MAX_MANIFEST_BYTES).await.is_ok() },
            async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                second.grow_to(MAX_MANIFEST_BYTES).await.is_ok()
            },
        );
        assert_eq!(grown, (false, true));
    }

    #[tokio::test]
    async fn one_account_holds_its_share_and_no_more() {
        let memory = memory(64);
        let mut held = Vec::new();
        while let Ok(one) = memory.hold("alice", None).await {
            held.push(one);
        }
        assert_eq!(held.len(), 8 * 1024 / 64);
        assert!(held[0].grow_to(MAX_MANIFEST_BYTES).await.is_err());
        let mut other = memory.hold("bob", None).await.unwrap();
        other.grow_to(MAX_MANIFEST_BYTES).await.unwrap();
        held.truncate(64);
        held[0].grow_to(MAX_MANIFEST_BYTES).await.unwrap();
        drop(held);
        memory.hold("carol", None).await.unwrap();
        let shares = memory.shares.lock().unwrap();
        let names: Vec<_> = shares.keys().map(|name| &**name).collect();
        assert!(!names.contains(&"alice"), "who is done is forgotten");
    }
}
