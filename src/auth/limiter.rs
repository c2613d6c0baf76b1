use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    time::Duration,
};

use super::Config;
use crate::rate::{self, Buckets, Rate};

/// Limits failed logins per source address, and per source address and account, so that
/// whoever guesses from one place locks out nobody elsewhere.
#[derive(Debug)]
pub(super) struct Limiter {
    sources: Buckets<IpAddr>,
    accounts: Buckets<(IpAddr, u64)>,
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
        let interval = Duration::from_secs(config.failure_forgiven_seconds.max(1).into());
        let sources = Rate::new(interval / 10, config.failures_per_source);
        let accounts = Rate::new(interval, config.failures_per_account);
        Self {
            sources: Buckets::new(sources, config.cache_entries),
            accounts: Buckets::new(accounts, config.cache_entries),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn attempt(&self, source: IpAddr, account: &str) -> Attempt {
        Attempt {
            source: rate::source(source),
            account: self.hasher.hash_one(account),
        }
    }

    /// Whether one more failure would be allowed; else how long to wait. `now` counts from any
    /// moment that stays the same.
    pub(super) fn check(&self, attempt: Attempt, now: Duration) -> Result<(), Duration> {
        self.sources.check(&attempt.source, now)?;
        self.accounts.check(&attempt.key(), now)
    }

    /// Counts a failure ahead of the check, so that attempts at the same time cannot slip by;
    /// [`Limiter::refund`] takes it back when the password was right.
    pub(super) fn charge(&self, attempt: Attempt, now: Duration) -> Result<(), Duration> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

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
        let later = NOW + Duration::from_secs(6);
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
}
