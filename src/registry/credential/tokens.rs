use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::HeaderValue;
use quick_cache::sync::Cache;
use tokio::{task::JoinSet, time::Instant};

use super::Issued;

/// `Authorization` headers by scope list. Each is renewed behind the scenes while it still is
/// good, so that no request waits for it, and is not used in the last fifth of its life.
pub(in crate::registry) struct Tokens {
    cache: Arc<Cache<String, Token>>,
    /// The renewals under way; end with this value.
    renewals: Mutex<JoinSet<()>>,
}

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    renewed_from: Instant,
    good_until: Instant,
    /// Set by the one who renews it.
    is_renewed: Arc<AtomicBool>,
}

impl Tokens {
    pub(in crate::registry) fn new(capacity: usize) -> Self {
        Self {
            cache: Arc::new(Cache::new(capacity)),
            renewals: Mutex::default(),
        }
    }

    /// The header for `key`; at most one caller at a time runs `issue`, the others wait for it.
    pub(super) async fn header<E, F>(
        &self,
        key: &str,
        issue: impl FnOnce() -> F,
    ) -> Result<HeaderValue, E>
    where
        F: Future<Output = Result<Issued, E>> + Send + 'static,
    {
        let now = Instant::now();
        loop {
            match self.cache.get_value_or_guard_async(key).await {
                Ok(token) if token.good_until > now => {
                    if token.renewed_from <= now && !token.is_renewed.swap(true, Ordering::Relaxed)
                    {
                        self.renew(key, issue());
                    }
                    return Ok(token.header);
                }
                Ok(_stale) => {
                    self.cache.remove_if(key, |token| token.good_until <= now);
                }
                Err(guard) => {
                    let token = Token::new(issue().await?);
                    let header = token.header.clone();
                    // Refused only when the key was removed meanwhile; the token is good anyway.
                    let _ = guard.insert(token);
                    return Ok(header);
                }
            }
        }
    }

    /// Forgets the token of `key` if it still is the one that a registry refused.
    pub(super) fn forget(&self, key: &str, refused: &HeaderValue) {
        self.cache.remove_if(key, |token| token.header == *refused);
    }

    /// A renewal that fails is not tried again: the old token is good for a while, and after that
    /// a request that needs the new one will hear why there is none.
    fn renew<E>(
        &self,
        key: &str,
        issuing: impl Future<Output = Result<Issued, E>> + Send + 'static,
    ) {
        let (cache, key) = (Arc::clone(&self.cache), key.to_owned());
        let mut renewals = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        while renewals.try_join_next().is_some() {}
        renewals.spawn(async move {
            if let Ok(issued) = issuing.await {
                cache.insert(key, Token::new(issued));
            }
        });
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Token {
    fn new(issued: Issued) -> Self {
        let lifetime = issued.lifetime.max(SHORTEST_LIFE).min(LONGEST_LIFE);
        let now = Instant::now();
        Self {
            header: issued.header,
            renewed_from: now + lifetime * 3 / 5,
            good_until: now + lifetime * 4 / 5,
            is_renewed: Arc::default(),
        }
    }
}

/// Clients count a shorter life as this one (Docker token specification, `expires_in`).
const SHORTEST_LIFE: Duration = Duration::from_mins(1);
/// A service that promises more is not believed.
const LONGEST_LIFE: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::atomic::AtomicU32};

    use super::*;

    async fn counted(tokens: &Tokens, key: &str, count: &Arc<AtomicU32>) -> HeaderValue {
        let issue = || {
            let count = Arc::clone(count);
            async move {
                let n = count.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
                Ok::<_, Infallible>(Issued {
                    header: HeaderValue::try_from(format!("t{n}")).unwrap(),
                    lifetime: Duration::from_secs(100),
                })
            }
        };
        tokens.header(key, issue).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_issued_once_for_many_and_again_after_most_of_its_life() {
        let (tokens, count) = (Tokens::new(10), Arc::default());
        let all = futures_util::future::join_all((0..8).map(|_| counted(&tokens, "a", &count)));
        assert!(all.await.iter().all(|header| header == "t0"));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(counted(&tokens, "a", &count).await, "t0");
        tokio::time::advance(Duration::from_secs(22)).await;
        assert_eq!(counted(&tokens, "a", &count).await, "t1");
        assert_eq!(counted(&tokens, "b", &count).await, "t2");
    }

    #[tokio::test(start_paused = true)]
    async fn an_ageing_token_is_renewed_once_while_it_still_serves() {
        let (tokens, count) = (Tokens::new(10), Arc::default());
        counted(&tokens, "a", &count).await;
        tokio::time::advance(Duration::from_secs(61)).await;
        for _ in 0..3 {
            assert_eq!(counted(&tokens, "a", &count).await, "t0", "nobody waits");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(counted(&tokens, "a", &count).await, "t1");
        tokio::time::advance(Duration::from_secs(58)).await;
        assert_eq!(
            counted(&tokens, "a", &count).await,
            "t1",
            "a life of its own"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_token_is_forgotten_but_not_its_successor() {
        let (tokens, count) = (Tokens::new(10), Arc::default());
        let first = counted(&tokens, "a", &count).await;
        tokens.forget("a", &first);
        assert_eq!(counted(&tokens, "a", &count).await, "t1");
        tokens.forget("a", &first);
        assert_eq!(counted(&tokens, "a", &count).await, "t1");
    }

    #[tokio::test]
    async fn a_failed_issue_leaves_nothing_behind() {
        let tokens = Tokens::new(10);
        let failed = tokens
            .header("a", || async { Err::<Issued, _>("away") })
            .await;
        assert_eq!(failed, Err("away"));
        assert_eq!(
            counted(&tokens, "a", &Arc::new(AtomicU32::new(7))).await,
            "t7"
        );
    }
}
