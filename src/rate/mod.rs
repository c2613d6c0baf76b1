//! How often something may happen, for many keys at once: the generic cell rate algorithm
//! (ITU-T I.371).
//!
//! Each key has a *theoretical arrival time*, moved one interval ahead by each event; a key that
//! is a whole burst ahead must wait. One number a key, in a bounded and sharded cache: what is
//! evicted is forgiven. The room reads no clock and knows neither users nor sockets; who asks says
//! what the time is, counted from any moment that stays the same.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use quick_cache::sync::Cache;

/// So many events at once, and one more after each interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds.
    interval: i64,
    burst: i64,
}

impl Rate {
    /// `burst` below 1 counts as 1, an interval of zero as one nanosecond.
    pub fn new(interval: Duration, burst: u32) -> Self {
        Self {
            interval: nanos(interval).clamp(1, LONGEST_INTERVAL),
            burst: i64::from(burst.max(1)),
        }
    }

    /// `None`, no limit, unless `per_second` is a number above 0.
    pub fn per_second(per_second: f64, burst: u32) -> Option<Self> {
        if per_second.is_nan() || per_second <= 0.0 {
            return None;
        }
        let interval = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(Duration::MAX);
        Some(Self::new(interval, burst))
    }
}

/// The events of each key, held to one rate.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Rate,
    /// Theoretical arrival times, in nanoseconds.
    arrivals: Cache<K, Arc<AtomicI64>>,
}

impl<K: Eq + Hash + Clone> Buckets<K> {
    /// Remembers about `keys` keys; past that, those not seen for long are forgotten.
    pub fn new(rate: Rate, keys: usize) -> Self {
        Self {
            rate,
            arrivals: Cache::new(keys),
        }
    }

    /// Whether one more event would be allowed; else how long to wait.
    pub fn check(&self, key: &K, now: Duration) -> Result<(), Duration> {
        match self.arrivals.get(key) {
            Some(arrival) => {
                let next = self.next(arrival.load(Ordering::SeqCst), nanos(now), 0);
                next.map(drop)
            }
            None => Ok(()),
        }
    }

    /// Counts an event if it is allowed; else says how long to wait.
    pub fn charge(&self, key: &K, now: Duration) -> Result<(), Duration> {
        self.reserve(key, now, Duration::ZERO).map(drop)
    }

    /// Counts an event if its turn comes within `patience`, and says how long that takes; else
    /// how long to stay away before a turn can be had.
    pub fn reserve(
        &self,
        key: &K,
        now: Duration,
        patience: Duration,
    ) -> Result<Duration, Duration> {
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::new(AtomicI64::new(0)));
        let Ok(arrival) = self.arrivals.get_or_insert_with(key, fresh);
        let (now, patience) = (nanos(now), nanos(patience));
        let mut refused = Duration::ZERO;
        let before = arrival.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |arrival| {
            self.next(arrival, now, patience)
                .inspect_err(|wait| refused = *wait)
                .ok()
        });
        match before {
            Ok(before) => Ok(duration(self.ahead(before, now))),
            Err(_unchanged) => Err(refused),
        }
    }

    /// Takes an event back.
    pub fn refund(&self, key: &K) {
        if let Some(arrival) = self.arrivals.get(key) {
            arrival.fetch_sub(self.rate.interval, Ordering::SeqCst);
        }
    }

    /// The arrival time after one more event, or how long to stay away before it.
    fn next(&self, arrival: i64, now: i64, patience: i64) -> Result<i64, Duration> {
        let early = self.ahead(arrival, now).saturating_sub(patience);
        if early > 0 {
            Err(duration(early))
        } else {
            Ok(arrival.max(now).saturating_add(self.rate.interval))
        }
    }

    /// How much too early one more event would be; at most 0: not at all.
    fn ahead(&self, arrival: i64, now: i64) -> i64 {
        let next = arrival.max(now).saturating_add(self.rate.interval);
        let burst = self.rate.burst.saturating_mul(self.rate.interval);
        next.saturating_sub(now).saturating_sub(burst)
    }
}

/// What counts as one source: an IPv4 address, or the /64 an IPv6 address is in, which is what
/// one customer is usually given.
pub fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
    }
}

/// So that some of them can be added up: 73 years.
const LONGEST_INTERVAL: i64 = i64::MAX / 4;

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn duration(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn buckets(per_second: f64, burst: u32) -> Buckets<u32> {
        Buckets::new(Rate::per_second(per_second, burst).unwrap(), 100)
    }

    #[test]
    fn a_burst_is_allowed_and_then_one_an_interval() {
        let buckets = buckets(2.0, 3);
        for _ in 0..3 {
            buckets.charge(&1, NOW).unwrap();
        }
        let half = Duration::from_millis(500);
        assert_eq!(buckets.charge(&1, NOW), Err(half));
        assert_eq!(buckets.check(&1, NOW), Err(half));
        assert_eq!(buckets.charge(&2, NOW), Ok(()));
        assert_eq!(buckets.charge(&1, NOW + half), Ok(()));
        assert_eq!(buckets.charge(&1, NOW + half), Err(half));
        // What was saved up in an hour is one burst.
        let later = NOW + Duration::from_hours(1);
        let allowed = (0..10).filter(|_| buckets.charge(&1, later).is_ok());
        assert_eq!(allowed.count(), 3);
    }

    #[test]
    fn turns_are_reserved_as_far_ahead_as_somebody_waits() {
        let buckets = buckets(10.0, 1);
        let patience = Duration::from_millis(250);
        let waits: Vec<_> = (0..4).map(|_| buckets.reserve(&1, NOW, patience)).collect();
        let ms = Duration::from_millis;
        assert_eq!(waits, [Ok(ms(0)), Ok(ms(100)), Ok(ms(200)), Err(ms(50))]);
        assert_eq!(buckets.reserve(&1, NOW + ms(50), patience), Ok(ms(250)));
    }

    #[test]
    fn a_refunded_event_did_not_happen() {
        let buckets = buckets(1.0, 1);
        buckets.charge(&1, NOW).unwrap();
        buckets.refund(&1);
        assert_eq!(buckets.charge(&1, NOW), Ok(()));
    }

    #[test]
    fn no_more_keys_are_remembered_than_allowed() {
        let buckets = buckets(1.0, 1);
        for key in 0..100_000 {
            buckets.charge(&key, NOW).unwrap();
        }
        assert!(buckets.arrivals.len() <= 200);
    }

    #[test]
    fn odd_rates_end_in_no_limit_or_a_strict_one() {
        for none in [0.0, -1.0, f64::NAN] {
            assert_eq!(Rate::per_second(none, 1), None, "{none}");
        }
        for (strict, burst) in [(1e-300, u32::MAX), (f64::INFINITY, 0)] {
            let buckets = buckets(strict, burst);
            assert_eq!(buckets.charge(&1, NOW), Ok(()), "{strict}");
        }
        let buckets = buckets(1e-300, 1);
        buckets.charge(&1, NOW).unwrap();
        assert!(buckets.charge(&1, NOW).is_err());
    }

    #[test]
    fn ipv6_sources_count_by_their_network() {
        let of = |text: &str| source(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), "10.0.0.1");
    }
}
