use std::time::Duration;

use http::HeaderValue;
use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::{IssuedToken, bearer};

/// Bearer tokens by scope list, each kept until 80 % of its life has passed.
pub(in crate::registry) struct Tokens(Cache<String, Token>);

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    fresh_until: Instant,
}

impl Tokens {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Cache::new(capacity))
    }

    /// The header for `key`; at most one caller at a time runs `issue`, the others wait for it.
    ///
    /// `Ok(None)`: the issued token cannot stand in a header.
    pub(super) async fn header<E>(
        &self,
        key: &str,
        issue: impl AsyncFnOnce() -> Result<IssuedToken, E>,
    ) -> Result<Option<HeaderValue>, E> {
        let now = Instant::now();
        loop {
            match self.0.get_value_or_guard_async(key).await {
                Ok(token) if token.fresh_until > now => return Ok(Some(token.header)),
                Ok(_stale) => {
                    self.0.remove_if(key, |token| token.fresh_until <= now);
                }
                Err(guard) => {
                    let Some(token) = Token::new(&issue().await?) else {
                        return Ok(None);
                    };
                    let header = token.header.clone();
                    // Refused only when the key was removed meanwhile; the token is good anyway.
                    let _ = guard.insert(token);
                    return Ok(Some(header));
                }
            }
        }
    }

    /// Forgets the token of `key` if it still is the one that a registry refused.
    pub(super) fn forget(&self, key: &str, refused: &HeaderValue) {
        self.0.remove_if(key, |token| token.header == *refused);
    }
}

impl Token {
    fn new(issued: &IssuedToken) -> Option<Self> {
        let lifetime = issued.lifetime.max(SHORTEST_LIFE).min(LONGEST_LIFE);
        Some(Self {
            header: bearer(&issued.token)?,
            fresh_until: Instant::now() + lifetime * 4 / 5,
        })
    }
}

/// Clients count a shorter life as this one (Docker token specification, `expires_in`).
const SHORTEST_LIFE: Duration = Duration::from_mins(1);
/// A service that promises more is not believed.
const LONGEST_LIFE: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;
    use crate::secret::Secret;

    async fn counted(tokens: &Tokens, key: &str, count: &AtomicU32) -> HeaderValue {
        let issue = async || {
            let n = count.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok::<_, Infallible>(IssuedToken {
                token: Secret::new(format!("t{n}")),
                lifetime: Duration::from_secs(100),
            })
        };
        tokens.header(key, issue).await.unwrap().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_issued_once_for_many_and_again_after_most_of_its_life() {
        let (tokens, count) = (Tokens::new(10), AtomicU32::new(0));
        let all = futures_util::future::join_all((0..8).map(|_| counted(&tokens, "a", &count)));
        assert!(all.await.iter().all(|header| header == "Bearer t0"));
        tokio::time::advance(Duration::from_secs(79)).await;
        assert_eq!(counted(&tokens, "a", &count).await, "Bearer t0");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(counted(&tokens, "a", &count).await, "Bearer t1");
        assert_eq!(counted(&tokens, "b", &count).await, "Bearer t2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_token_is_forgotten_but_not_its_successor() {
        let (tokens, count) = (Tokens::new(10), AtomicU32::new(0));
        let first = counted(&tokens, "a", &count).await;
        tokens.forget("a", &first);
        assert_eq!(counted(&tokens, "a", &count).await, "Bearer t1");
        tokens.forget("a", &first);
        assert_eq!(counted(&tokens, "a", &count).await, "Bearer t1");
    }

    #[tokio::test]
    async fn a_failed_issue_leaves_nothing_behind() {
        let tokens = Tokens::new(10);
        let failed = tokens
            .header("a", async || Err::<IssuedToken, _>("away"))
            .await;
        assert_eq!(failed, Err("away"));
        assert_eq!(counted(&tokens, "a", &AtomicU32::new(7)).await, "Bearer t7");
    }
}
