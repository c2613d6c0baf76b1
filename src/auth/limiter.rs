use std::{
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use quick_cache::sync::Cache;

use super::Config;
use crate::clock::Timestamp;

/// Limits failed logins per source address, and per source address and account, so that
/// whoever guesses from one place locks out nobody elsewhere.
///
/// The generic cell rate algorithm (ITU-T I.371): each key has a *theoretical arrival time*,
/// moved one interval ahead by each failure; a key that is a whole burst ahead must wait. One
/// number a key, in bounded caches: what is evicted is forgiven.
#[derive(Debug)]
pub(super) struct Limiter {
    sources: Bucket<IpAddr>,
    accounts: Bucket<(IpAddr, u64)>,
    hasher: RandomState,
}

/// Both keys of one attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    source: IpAddr,
    account: u64,
}

impl Limiter {
    pub(super) fn new(config: &Config) -> Self {
        let interval = i64::from(config.failure_forgiven_seconds.max(1)) * 1000;
        Self {
            sources: Bucket {
                arrivals: Cache::new(config.cache_entries),
                interval: (interval / 10).max(1),
                burst: i64::from(config.failures_per_source.max(1)),
            },
            accounts: Bucket {
                arrivals: Cache::new(config.cache_entries),
                interval,
                burst: i64::from(config.failures_per_account.max(1)),
            },
            hasher: RandomState::new(),
        }
    }

    pub(super) fn attempt(&self, source: IpAddr, account: &str) -> Attempt {
        Attempt {
            source: network(source),
            account: self.hasher.hash_one(account),
        }
    }

    /// Whether one more failure would be allowed; else how long to wait.
    pub(super) fn check(&self, attempt: Attempt, now: Timestamp) -> Result<(), Duration> {
        self.sources.check(&attempt.source, now)?;
        self.accounts.check(&attempt.key(), now)
    }

    /// Counts a failure ahead of the check, so that attempts at the same time cannot slip by;
    /// [`Limiter::refund`] takes it back when the password was right.
    pub(super) fn charge(&self, attempt: Attempt, now: Timestamp) -> Result<(), Duration> {
        self.sources.charge(&attempt.source, now)?;
        self.accounts.charge(&attempt.key(), now).inspect_err(|_| {
            self.sources.refund(&attempt.source);
        })
    }

    pub(super) fn refund(&self, attempt: Attempt) {
        self.sources.refund(&attempt.source);
        self.accounts.refund(&attempt.key());
    }
}

impl Attempt {
    const fn key(self) -> (IpAddr, u64) {
        (self.source, self.account)
    }
}

#[derive(Debug)]
struct Bucket<K> {
    /// Theoretical arrival times, milliseconds since the epoch.
    arrivals: Cache<K, Arc<AtomicI64>>,
    /// Milliseconds until one failure is forgiven.
    interval: i64,
    burst: i64,
}

impl<K: Eq + std::hash::Hash + Clone> Bucket<K> {
    fn check(&self, key: &K, now: Timestamp) -> Result<(), Duration> {
        match self.arrivals.get(key) {
            Some(arrival) => self.next(arrival.load(Ordering::SeqCst), now).map(drop),
            None => Ok(()),
        }
    }

    fn charge(&self, key: &K, now: Timestamp) -> Result<(), Duration> {
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::new(AtomicI64::new(0)));
        let Ok(arrival) = self.arrivals.get_or_insert_with(key, fresh);
        let mut wait = Duration::ZERO;
        arrival
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |arrival| {
                self.next(arrival, now)
                    .inspect_err(|needed| wait = *needed)
                    .ok()
            })
            .map(drop)
            .map_err(|_unchanged| wait)
    }

    fn refund(&self, key: &K) {
        if let Some(arrival) = self.arrivals.get(key) {
            arrival.fetch_sub(self.interval, Ordering::SeqCst);
        }
    }

    /// The arrival time after one more failure, or how long to wait before it.
    fn next(&self, arrival: i64, now: Timestamp) -> Result<i64, Duration> {
        let next = arrival.max(now.millis()) + self.interval;
        let ahead = next - now.millis() - self.burst * self.interval;
        if ahead > 0 {
            Err(Duration::from_millis(ahead.unsigned_abs()))
        } else {
            Ok(next)
        }
    }
}

/// An IPv4 address, or the /64 an IPv6 address is in: what one customer is usually given.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn limiter(failures_per_source: u32, failures_per_account: u32) -> Limiter {
        Limiter::new(&Config {
            failures_per_source,
            failures_per_account,
            failure_forgiven_seconds: 6,
            ..Config::default()
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn failures_are_limited_per_account_and_forgiven_one_by_one() {
        let limiter = limiter(100, 3);
        let attempt = limiter.attempt(address("10.0.0.1"), "alice");
        for _ in 0..3 {
            limiter.charge(attempt, NOW).unwrap();
        }
        assert_eq!(limiter.charge(attempt, NOW), Err(Duration::from_secs(6)));
        assert_eq!(limiter.check(attempt, NOW), Err(Duration::from_secs(6)));
        let later = NOW.plus(Duration::from_secs(6));
        assert_eq!(limiter.charge(attempt, later), Ok(()));
        assert_eq!(limiter.charge(attempt, later), Err(Duration::from_secs(6)));
    }

    #[test]
    fn one_source_locks_out_neither_another_source_nor_other_accounts() {
        let limiter = limiter(100, 2);
        let attacker = limiter.attempt(address("10.0.0.1"), "alice");
        while limiter.charge(attacker, NOW).is_ok() {}
        let elsewhere = limiter.attempt(address("10.0.0.2"), "alice");
        let other_account = limiter.attempt(address("10.0.0.1"), "bob");
        assert_eq!(limiter.check(elsewhere, NOW), Ok(()));
        assert_eq!(limiter.check(other_account, NOW), Ok(()));
    }

    #[test]
    fn a_source_that_tries_many_accounts_is_limited_as_a_whole() {
        let limiter = limiter(5, 3);
        let refused = (0..20)
            .map(|account| limiter.attempt(address("10.0.0.1"), &account.to_string()))
            .filter(|attempt| limiter.charge(*attempt, NOW).is_err())
            .count();
        assert_eq!(refused, 15);
    }

    #[test]
    fn right_passwords_cost_nothing() {
        let limiter = limiter(2, 2);
        let attempt = limiter.attempt(address("10.0.0.1"), "alice");
        for _ in 0..50 {
            limiter.charge(attempt, NOW).unwrap();
            limiter.refund(attempt);
        }
        assert_eq!(limiter.check(attempt, NOW), Ok(()));
    }

    #[test]
    fn ipv6_sources_count_by_their_network() {
        let limiter = limiter(1, 1);
        let charge = |text: &str| limiter.charge(limiter.attempt(address(text), "alice"), NOW);
        assert!(charge("2001:db8::1").is_ok());
        assert!(charge("2001:db8::2").is_err());
        assert!(charge("2001:db8:0:1::1").is_ok());
        assert!(charge("::ffff:10.0.0.1").is_ok());
        assert!(charge("10.0.0.1").is_err());
    }

    #[test]
    fn the_limiter_is_bounded() {
        let config = Config {
            cache_entries: 100,
            ..Config::default()
        };
        let limiter = Limiter::new(&config);
        for account in 0..10_000 {
            let attempt = limiter.attempt(address("10.0.0.1"), &account.to_string());
            let _refused_at_some_point = limiter.accounts.charge(&attempt.key(), NOW);
        }
        assert!(limiter.accounts.arrivals.len() <= 200);
    }
}
