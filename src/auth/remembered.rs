use std::time::Duration;

use aws_lc_rs::hmac;
use quick_cache::sync::Cache;

use super::{Config, Error, UserId};
use crate::{
    clock::SharedClock,
    secret::{Secret, random_bytes},
};

/// Remembers for a short while which names and passwords were right, so that a burst of
/// requests hashes once. Keys are HMACs under a key that lives as long as the process.
#[derive(Debug)]
pub(super) struct Remembered {
    cache: Cache<[u8; 32], Login>,
    key: hmac::Key,
    lifetime: Duration,
    clock: SharedClock,
}

/// A user's credentials as they were when a login succeeded: another version is another
/// password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Credentials {
    pub user: UserId,
    pub version: i64,
}

impl Credentials {
    /// Of a name that nobody has; no password is right for them.
    pub(super) const NOBODYS: Self = Self {
        user: UserId(0),
        version: 0,
    };
}

#[derive(Debug, Clone, Copy)]
struct Login {
    credentials: Credentials,
    /// By [`Clock::elapsed`](crate::clock::Clock::elapsed).
    at: Duration,
}

impl Remembered {
    pub(super) fn new(config: &Config, clock: SharedClock) -> Self {
        Self {
            cache: Cache::new(config.cache_entries),
            key: hmac::Key::new(hmac::HMAC_SHA256, &random_bytes::<32>()),
            lifetime: Duration::from_secs(config.login_cache_seconds),
            clock,
        }
    }

    /// Succeeds when this password was right for these credentials a short while ago, else as
    /// `verify` does. The same name and password are verified once at a time, whether somebody
    /// has the name or not; failures are not remembered.
    pub(super) async fn check<F>(
        &self,
        name: &str,
        credentials: Credentials,
        password: &Secret,
        verify: impl Fn() -> F + Sync,
    ) -> Result<Answer, Error>
    where
        F: Future<Output = Result<(), Error>> + Send,
    {
        let key = self.key_of(name, password);
        let asked_at = self.clock.elapsed();
        let recent = |login: &Login, now: Duration| {
            login.credentials == credentials && now.saturating_sub(login.at) < self.lifetime
        };
        if self
            .cache
            .get(&key)
            .is_some_and(|login| recent(&login, asked_at))
        {
            return Ok(Answer::Remembered);
        }
        loop {
            let now = self.clock.elapsed();
            self.cache.remove_if(&key, |login| !recent(login, now));
            let attempt = async {
                verify().await?;
                let at = self.clock.elapsed();
                Ok::<_, Error>(Login { credentials, at })
            };
            let login = self.cache.get_or_insert_async(&key, attempt).await?;
            if login.credentials == credentials && login.at >= asked_at {
                return Ok(Answer::Verified);
            }
        }
    }

    fn key_of(&self, name: &str, password: &Secret) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&name.len().to_be_bytes());
        context.update(name.as_bytes());
        context.update(password.expose().as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(context.sign().as_ref());
        key
    }
}

/// How a right password was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Remembered,
    Verified,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    #[tokio::test]
    async fn a_clock_set_back_while_a_password_is_hashed_keeps_nobody_waiting() {
        let clock = ManualClock::at(Timestamp::from_seconds(100_000));
        let remembered = Remembered::new(&Config::default(), clock.clone());
        let credentials = Credentials {
            user: UserId(1),
            version: 1,
        };
        let verify = || {
            clock.set_back(Duration::from_hours(1));
            std::future::ready(Ok(()))
        };
        let password = Secret::new("Harbor12345");
        let answer = remembered
            .check("alice", credentials, &password, verify)
            .await;
        assert_eq!(answer.unwrap(), Answer::Verified);
        let unasked = || std::future::ready(Err(Error::BadCredentials));
        let answer = remembered
            .check("alice", credentials, &password, unasked)
            .await;
        assert_eq!(answer.unwrap(), Answer::Remembered);
    }
}
