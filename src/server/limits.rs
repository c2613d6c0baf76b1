use std::{hash::Hash, net::IpAddr, sync::Arc, time::Duration};

use prometheus_client::metrics::counter::Counter;
use tokio::time::Instant;

use super::{Area, Metrics};
use crate::{
    network::Networks,
    rate::{self, Buckets, Rate},
};

/// `[limits]`: what one client may ask for. All are off unless set.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests of one source address, those for tokens aside; 0: no limit.
    pub requests_per_second: f64,
    /// How many of them may come at once.
    pub requests_burst: u32,
    /// Requests of one source address for tokens; 0: no limit.
    pub token_requests_per_second: f64,
    pub token_requests_burst: u32,
    /// Requests of one user or robot, wherever they come from; 0: no limit.
    pub user_requests_per_second: f64,
    pub user_requests_burst: u32,
    /// How long a request past the burst may wait for its turn before it is refused.
    pub max_wait_ms: u64,
    /// Addresses that the limits of addresses are not for.
    pub exempt_networks: Networks,
    /// Connections of one source address at once; 0: no limit but `server.max_connections`.
    pub connections_per_address: usize,
    /// The speed of one answer; 0: no limit.
    pub response_kib_per_second: u64,
    /// How much of an answer goes before that speed holds.
    pub response_full_speed_mib: u64,
    /// Addresses, and users, that are remembered; past that, those not seen for long are
    /// forgotten.
    pub max_tracked: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_second: 0.0,
            requests_burst: 200,
            token_requests_per_second: 0.0,
            token_requests_burst: 50,
            user_requests_per_second: 0.0,
            user_requests_burst: 200,
            max_wait_ms: 5000,
            exempt_networks: Networks::default(),
            connections_per_address: 0,
            response_kib_per_second: 0,
            response_full_speed_mib: 0,
            max_tracked: 100_000,
        }
    }
}

impl Limits {
    /// Why values cannot work, naming the key.
    pub fn check(&self) -> Result<(), String> {
        for (key, rate) in [
            ("requests_per_second", self.requests_per_second),
            ("token_requests_per_second", self.token_requests_per_second),
            ("user_requests_per_second", self.user_requests_per_second),
        ] {
            if !rate.is_finite() || rate < 0.0 {
                return Err(format!("{key} must be a number, 0 for no limit"));
            }
        }
        Ok(())
    }
}

/// The request came too soon, and its turn would come too late to wait for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("too many requests from {whom}; try again in {} s", seconds(*retry_after))]
pub struct TooManyRequests {
    whom: String,
    pub retry_after: Duration,
}

/// Whole seconds, at least one, as `Retry-After` has them.
pub(super) fn seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}

/// The rates, and who has used up what of them. Clones are one.
#[derive(Debug, Clone)]
pub(super) struct Pacer(Arc<Paces>);

#[derive(Debug)]
struct Paces {
    requests: Option<Buckets<IpAddr>>,
    token_requests: Option<Buckets<IpAddr>>,
    user_requests: Option<Buckets<Box<str>>>,
    exempt: Networks,
    patience: Duration,
    /// Time is counted from here.
    began: Instant,
    refused: Counter,
}

impl Pacer {
    pub(super) fn new(limits: &Limits, metrics: &Metrics) -> Self {
        let keys = limits.max_tracked.max(1);
        Self(Arc::new(Paces {
            requests: buckets(limits.requests_per_second, limits.requests_burst, keys),
            token_requests: buckets(
                limits.token_requests_per_second,
                limits.token_requests_burst,
                keys,
            ),
            user_requests: buckets(
                limits.user_requests_per_second,
                limits.user_requests_burst,
                keys,
            ),
            exempt: limits.exempt_networks.clone(),
            patience: Duration::from_millis(limits.max_wait_ms),
            began: Instant::now(),
            refused: metrics.limited_requests.clone(),
        }))
    }

    /// Waits until a request from `address` may go on.
    pub(super) async fn address(&self, area: Area, address: IpAddr) -> Result<(), TooManyRequests> {
        let buckets = match area {
            Area::Token => &self.0.token_requests,
            Area::Probe => return Ok(()),
            _ => &self.0.requests,
        };
        let Some(buckets) = buckets else {
            return Ok(());
        };
        if self.0.exempt.contains(address) {
            return Ok(());
        }
        let source = rate::source(address);
        pause(self.turn(buckets, &source, || address.to_string())?).await;
        Ok(())
    }

    /// Waits until a request of this user or robot may go on.
    pub(super) async fn user(&self, name: &str) -> Result<(), TooManyRequests> {
        let Some(buckets) = &self.0.user_requests else {
            return Ok(());
        };
        pause(self.turn(buckets, &name.into(), || name.to_owned())?).await;
        Ok(())
    }

    /// How long to wait for the turn of one more request.
    fn turn<K: Eq + Hash + Clone>(
        &self,
        buckets: &Buckets<K>,
        key: &K,
        whom: impl FnOnce() -> String,
    ) -> Result<Duration, TooManyRequests> {
        let turn = buckets.reserve(key, self.0.began.elapsed(), self.0.patience);
        turn.map_err(|retry_after| {
            self.0.refused.inc();
            TooManyRequests {
                whom: whom(),
                retry_after,
            }
        })
    }
}

fn buckets<K: Eq + Hash + Clone>(per_second: f64, burst: u32, keys: usize) -> Option<Buckets<K>> {
    Rate::per_second(per_second, burst).map(|rate| Buckets::new(rate, keys))
}

async fn pause(wait: Duration) {
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_too_soon_waits_for_its_turn_and_past_that_is_refused() {
        let limits = Limits {
            requests_per_second: 10.0,
            requests_burst: 2,
            max_wait_ms: 300,
            ..Limits::default()
        };
        let pacer = Pacer::new(&limits, &Metrics::default());
        let begun = Instant::now();
        let requests = (0..7).map(|_| pacer.address(Area::Registry, address("192.0.2.1")));
        let outcomes = futures_util::future::join_all(requests).await;
        assert_eq!(outcomes.iter().filter(|one| one.is_ok()).count(), 5);
        assert_eq!(begun.elapsed(), Duration::from_millis(300));
        let refused = outcomes.into_iter().find_map(Result::err).unwrap();
        assert_eq!(
            refused.to_string(),
            "too many requests from 192.0.2.1; try again in 1 s"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_and_users_are_counted_apart_and_probes_never() {
        let limits = Limits {
            requests_per_second: 1.0,
            requests_burst: 1,
            token_requests_per_second: 1.0,
            token_requests_burst: 1,
            user_requests_per_second: 1.0,
            user_requests_burst: 1,
            max_wait_ms: 0,
            exempt_networks: vec!["10.0.0.0/8".to_owned()].try_into().unwrap(),
            ..Limits::default()
        };
        let metrics = Metrics::default();
        let pacer = Pacer::new(&limits, &metrics);
        let source = address("2001:db8::1");
        for area in [Area::Registry, Area::Token] {
            pacer.address(area, source).await.unwrap();
            let neighbour = address("2001:db8::2");
            assert!(pacer.address(area, neighbour).await.is_err(), "{area:?}");
        }
        for _ in 0..9 {
            pacer.address(Area::Probe, source).await.unwrap();
            pacer.address(Area::Api, address("10.1.1.1")).await.unwrap();
        }
        pacer.user("mary").await.unwrap();
        pacer.user("robot$ci").await.unwrap();
        let refused = pacer.user("mary").await.unwrap_err();
        assert!(refused.to_string().contains("from mary;"), "{refused}");
        assert_eq!(metrics.limited_requests.get(), 3);
    }
}
