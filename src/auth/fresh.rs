use std::{
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::{Equivalent, sync::Cache};

use super::{Config, Error};
use crate::{clock::SharedClock, store};

/// Values of the database that are never used when older than [`LIFETIME`], nor when
/// [`Fresh::outdate`] was called since they were read.
///
/// However many ask for the same key at once, one reads and the others wait for it. The cache
/// is bounded; what is absent in the database is remembered like what is there.
///
/// While the database is away nothing in it changes, so what is known stays in use for the
/// configured grace: a push need not fail for it, nor wait long. See [`Outage`].
///
/// A reading may be given up at any moment, with the request that it is for; whoever waited then
/// begins anew. So no reading ever holds what is known: that stays in `known` until another value
/// is read.
#[derive(Debug)]
pub(super) struct Fresh<K, V> {
    /// What may be in use. An old entry is taken out so that one of those who want it reads.
    cache: Cache<K, Entry<V>>,
    /// What the database said last.
    known: Cache<K, Entry<V>>,
    /// Counts the changes made by this process.
    generation: AtomicU64,
    clock: SharedClock,
    /// How old a value may be while the database is away.
    grace: Duration,
    outage: Arc<Outage>,
}

/// Whether the database was away when it was asked last; shared by all that ask it.
///
/// The first to notice waits out the pool's patience. From then on whoever has an old value
/// uses it, and one reading every [`Outage::PAUSE`], for at most [`Outage::PROBE`], finds out
/// whether the database is back. Who has none fails at once, and asks anew after such a pause.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// When a reading last failed for it, by the clock's `elapsed`; 0 while the database is there.
    failed_ms: AtomicU64,
}

impl Outage {
    const PAUSE: Duration = Duration::from_secs(2);
    const PROBE: Duration = Duration::from_millis(500);

    fn failed_at(&self) -> Option<Duration> {
        let millis = self.failed_ms.load(Ordering::Relaxed);
        (millis != 0).then(|| Duration::from_millis(millis))
    }

    fn state(&self, now: Duration) -> State {
        match self.failed_at() {
            None => State::There,
            Some(failed_at) if now.saturating_sub(failed_at) < Self::PAUSE => State::Away,
            Some(_) => State::PerhapsBack,
        }
    }

    fn began(&self, now: Duration) {
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.failed_ms.store(millis.max(1), Ordering::Relaxed);
    }

    fn ended(&self) {
        self.failed_ms.store(0, Ordering::Relaxed);
    }
}

/// What is to be thought of the database.
enum State {
    There,
    /// It was away a moment ago: it is not asked.
    Away,
    /// It was away when it was asked last.
    PerhapsBack,
}

#[derive(Debug, Clone)]
struct Entry<V> {
    value: V,
    /// When the reading began, by [`Clock::elapsed`](crate::clock::Clock::elapsed).
    read_at: Duration,
    /// When the reading ended that found the database away; else `read_at`.
    asked_at: Duration,
    generation: u64,
}

/// How old a value may be: revocation reaches every instance within a second, so the rest of
/// that second is left for the reading itself.
const LIFETIME: Duration = Duration::from_millis(750);

impl<K, V> Fresh<K, V>
where
    K: Eq + Hash + Clone + Send + Sync,
    V: Clone + Send + Sync,
{
    pub(super) fn new(config: &Config, clock: SharedClock, outage: Arc<Outage>) -> Self {
        Self {
            cache: Cache::new(config.cache_entries),
            known: Cache::new(config.cache_entries),
            generation: AtomicU64::new(0),
            clock,
            grace: Duration::from_secs(config.outage_grace_seconds),
            outage,
        }
    }

    /// Everything read so far is out of date.
    pub(super) fn outdate(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// The value of `key`, read by `load` unless a fresh one is at hand.
    pub(super) async fn value<Q, F>(&self, key: &Q, load: impl Fn() -> F + Sync) -> Result<V, Error>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + Sync + ?Sized,
        F: Future<Output = Result<V, Error>> + Send,
    {
        let wanted = Wanted {
            generation: self.generation.load(Ordering::SeqCst),
            asked_at: self.clock.elapsed(),
        };
        if let Some(entry) = self.cache.get(key)
            && wanted.accepts(&entry, wanted.asked_at)
        {
            return Ok(entry.value);
        }
        loop {
            let now = self.clock.elapsed();
            self.cache
                .remove_if(key, |entry| !wanted.accepts(entry, now));
            let entry = self
                .cache
                .get_or_insert_async(key, self.read(key, &load))
                .await?;
            if wanted.accepts(&entry, self.clock.elapsed()) {
                return Ok(entry.value);
            }
        }
    }

    /// Reads the value, or goes on with the old one if the database is away.
    async fn read<Q, F>(&self, key: &Q, load: &(impl Fn() -> F + Sync)) -> Result<Entry<V>, Error>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + Sync + ?Sized,
        F: Future<Output = Result<V, Error>> + Send,
    {
        let generation = self.generation.load(Ordering::SeqCst);
        let asked_at = self.clock.elapsed();
        let old = self.known.get(key).filter(|old| {
            old.generation == generation && asked_at.saturating_sub(old.read_at) < self.grace
        });
        let loaded = match (self.outage.state(asked_at), &old) {
            (State::Away, Some(old)) => {
                return Ok(Entry {
                    asked_at,
                    ..old.clone()
                });
            }
            (State::Away, None) => return Err(still_away()),
            (State::PerhapsBack, Some(_)) => tokio::time::timeout(Outage::PROBE, load())
                .await
                .unwrap_or_else(|_elapsed| Err(still_away())),
            (State::PerhapsBack, None) | (State::There, _) => load().await,
        };
        match loaded {
            Ok(value) => {
                self.outage.ended();
                let entry = Entry {
                    value,
                    read_at: asked_at,
                    asked_at,
                    generation,
                };
                self.known.insert(key.to_owned(), entry.clone());
                Ok(entry)
            }
            Err(error) if error.retryable() => {
                let asked_at = self.clock.elapsed();
                self.outage.began(asked_at);
                let old = old.ok_or(error)?;
                tracing::warn!("the database is away; going on with what it said last");
                Ok(Entry { asked_at, ..old })
            }
            Err(error) => Err(error),
        }
    }
}

fn still_away() -> Error {
    store::Error::from(sqlx::Error::PoolTimedOut).into()
}

/// What a caller may be given.
#[derive(Clone, Copy)]
struct Wanted {
    generation: u64,
    asked_at: Duration,
}

impl Wanted {
    /// A slow reading that began after the question is good, however old it has become.
    fn accepts<V>(self, entry: &Entry<V>, now: Duration) -> bool {
        let young = now.saturating_sub(entry.asked_at) < LIFETIME;
        entry.generation >= self.generation && (young || entry.asked_at >= self.asked_at)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    fn counting(counter: &AtomicUsize) -> std::future::Ready<Result<usize, Error>> {
        std::future::ready(Ok(counter.fetch_add(1, Ordering::SeqCst)))
    }

    #[tokio::test]
    async fn a_value_is_read_again_when_old_or_outdated() {
        let clock = ManualClock::at(Timestamp::from_seconds(1));
        let fresh = Fresh::<String, usize>::new(&Config::default(), clock.clone(), Arc::default());
        let reads = AtomicUsize::new(0);
        let value = || async { fresh.value("k", || counting(&reads)).await.unwrap() };
        assert_eq!((value().await, value().await), (0, 0));
        clock.advance(Duration::from_millis(749));
        assert_eq!(value().await, 0);
        clock.advance(Duration::from_millis(1));
        assert_eq!(value().await, 1);
        fresh.outdate();
        assert_eq!((value().await, value().await), (2, 2));
    }

    #[tokio::test]
    async fn many_at_once_read_once() {
        let clock = ManualClock::at(Timestamp::from_seconds(1));
        let fresh = Fresh::<String, usize>::new(&Config::default(), clock.clone(), Arc::default());
        let reads = AtomicUsize::new(0);
        let slow = || async {
            tokio::task::yield_now().await;
            Ok(reads.fetch_add(1, Ordering::SeqCst))
        };
        let all = futures_util::future::join_all((0..50).map(|_| fresh.value("k", slow))).await;
        assert!(all.into_iter().all(|value| value.unwrap() == 0));
    }

    #[tokio::test]
    async fn who_asks_after_a_change_is_not_given_what_was_read_before_it() {
        let clock = ManualClock::at(Timestamp::from_seconds(1));
        let fresh = Arc::new(Fresh::<String, usize>::new(
            &Config::default(),
            clock.clone(),
            Arc::default(),
        ));
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        let released = std::sync::Mutex::new(Some(released));
        let load = move || {
            let released = released.lock().unwrap().take().unwrap();
            async { Ok(released.await.map_or(0, |()| 1)) }
        };
        let reading = fresh.clone();
        let first = tokio::spawn(async move { reading.value("k", load).await });
        tokio::task::yield_now().await;
        fresh.outdate();
        let second = tokio::spawn({
            let fresh = fresh.clone();
            async move { fresh.value("k", || std::future::ready(Ok(2))).await }
        });
        tokio::task::yield_now().await;
        release.send(()).unwrap();
        assert_eq!(first.await.unwrap().unwrap(), 1);
        assert_eq!(second.await.unwrap().unwrap(), 2);
    }

    #[tokio::test]
    async fn a_slow_reading_is_used_by_who_waited_for_it() {
        let clock = ManualClock::at(Timestamp::from_seconds(1));
        let fresh = Fresh::<String, usize>::new(&Config::default(), clock.clone(), Arc::default());
        let slow = || async {
            clock.advance(Duration::from_secs(5));
            Ok(7)
        };
        assert_eq!(fresh.value("k", slow).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn while_the_database_is_away_the_last_value_is_used_for_the_grace() {
        let clock = ManualClock::at(Timestamp::from_seconds(1));
        let config = Config {
            outage_grace_seconds: 60,
            ..Config::default()
        };
        let fresh = Fresh::<String, usize>::new(&config, clock.clone(), Arc::default());
        let away = || async { Err(store::Error::from(sqlx::Error::PoolTimedOut).into()) };
        let broken = || async { Err(Error::Internal("a bad row".to_owned())) };
        assert!(
            fresh.value("k", away).await.is_err(),
            "nothing is known yet"
        );
        clock.advance(Outage::PAUSE);
        fresh.value("k", || async { Ok(1) }).await.unwrap();
        for _ in 0..59 {
            clock.advance(Duration::from_secs(1));
            assert_eq!(fresh.value("k", away).await.unwrap(), 1);
        }
        clock.advance(Outage::PAUSE);
        assert_eq!(fresh.value("k", || async { Ok(2) }).await.unwrap(), 2);
        clock.advance(Duration::from_mins(1));
        assert!(fresh.value("k", away).await.is_err(), "the grace is over");
        clock.advance(Outage::PAUSE);
        fresh.value("k", || async { Ok(3) }).await.unwrap();
        fresh.outdate();
        assert!(fresh.value("k", away).await.is_err(), "changed since");
        clock.advance(Outage::PAUSE);
        fresh.value("k", || async { Ok(4) }).await.unwrap();
        clock.advance(Duration::from_secs(1));
        assert!(fresh.value("k", broken).await.is_err(), "not an outage");
    }

    #[tokio::test]
    async fn one_reading_finds_the_database_away_and_the_others_do_not_wait() {
        let clock = ManualClock::at(Timestamp::from_seconds(1));
        let config = Config {
            outage_grace_seconds: 60,
            ..Config::default()
        };
        let outage = Arc::new(Outage::default());
        let first = Fresh::<String, usize>::new(&config, clock.clone(), outage.clone());
        let second = Fresh::<String, usize>::new(&config, clock.clone(), outage);
        for (fresh, key) in [(&first, "a"), (&first, "b"), (&second, "c")] {
            fresh.value(key, || async { Ok(1) }).await.unwrap();
        }
        clock.advance(Duration::from_secs(1));
        let slow = || async {
            clock.advance(Duration::from_secs(5));
            Err(still_away())
        };
        assert_eq!(first.value("a", slow).await.unwrap(), 1);
        let unasked = || async { Err(Error::Internal("asked in vain".to_owned())) };
        assert_eq!(first.value("a", unasked).await.unwrap(), 1);
        assert_eq!(first.value("b", unasked).await.unwrap(), 1);
        assert_eq!(second.value("c", unasked).await.unwrap(), 1);
        clock.advance(Outage::PAUSE);
        let hanging = || std::future::pending();
        assert_eq!(second.value("c", hanging).await.unwrap(), 1);
        clock.advance(Outage::PAUSE);
        assert_eq!(second.value("c", || async { Ok(2) }).await.unwrap(), 2);
        assert_eq!(first.value("b", || async { Ok(2) }).await.unwrap(), 2);
    }

    /// With `k` read a second ago, and a grace of a minute.
    async fn knowing_one() -> Fresh<String, usize> {
        let clock = ManualClock::at(Timestamp::from_seconds(1));
        let config = Config {
            outage_grace_seconds: 60,
            ..Config::default()
        };
        let fresh = Fresh::new(&config, clock.clone(), Arc::default());
        fresh.value("k", || async { Ok(1) }).await.unwrap();
        clock.advance(Duration::from_secs(1));
        fresh
    }

    #[tokio::test]
    async fn a_reading_that_is_given_up_takes_nothing_along() {
        let fresh = knowing_one().await;
        let hanging = || std::future::pending();
        for _ in 0..3 {
            let reading = fresh.value("k", hanging);
            let given_up = futures_util::poll!(std::pin::pin!(reading));
            assert!(given_up.is_pending());
        }
        let away = || async { Err(still_away()) };
        assert_eq!(fresh.value("k", away).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn who_goes_on_with_a_reading_that_another_gave_up_knows_what_is_known() {
        let fresh = knowing_one().await;
        let hanging = || std::future::pending();
        let away = || async { Err(still_away()) };
        let mut second = std::pin::pin!(fresh.value("k", away));
        {
            let mut first = std::pin::pin!(fresh.value("k", hanging));
            assert!(futures_util::poll!(first.as_mut()).is_pending());
            assert!(futures_util::poll!(second.as_mut()).is_pending());
        }
        assert_eq!(second.await.unwrap(), 1);
    }

    #[tokio::test]
    async fn of_those_who_know_nothing_one_waits_for_a_database_that_is_away() {
        let clock = ManualClock::at(Timestamp::from_seconds(1));
        let fresh = Fresh::<String, usize>::new(&Config::default(), clock.clone(), Arc::default());
        let reads = AtomicUsize::new(0);
        let slow = || async {
            reads.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            clock.advance(Duration::from_secs(5));
            Err(still_away())
        };
        let all = futures_util::future::join_all((0..50).map(|_| fresh.value("k", slow))).await;
        assert!(all.into_iter().all(|value| value.unwrap_err().retryable()));
        assert!(fresh.value("other", slow).await.unwrap_err().retryable());
        assert_eq!(reads.load(Ordering::SeqCst), 1);
        clock.advance(Outage::PAUSE);
        assert_eq!(fresh.value("k", || async { Ok(1) }).await.unwrap(), 1);
        assert_eq!(fresh.value("other", || async { Ok(2) }).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn neither_age_nor_grace_is_longer_when_the_clock_is_set_back() {
        let clock = ManualClock::at(Timestamp::from_seconds(100_000));
        let config = Config {
            outage_grace_seconds: 60,
            ..Config::default()
        };
        let fresh = Fresh::<String, usize>::new(&config, clock.clone(), Arc::default());
        fresh.value("k", || async { Ok(1) }).await.unwrap();
        clock.set_back(Duration::from_hours(24));
        clock.advance(LIFETIME);
        assert_eq!(fresh.value("k", || async { Ok(2) }).await.unwrap(), 2);
        let away = || async { Err(still_away()) };
        clock.advance(LIFETIME);
        assert_eq!(fresh.value("k", away).await.unwrap(), 2);
        clock.set_back(Duration::from_hours(1));
        clock.advance(Outage::PAUSE);
        assert_eq!(fresh.value("k", || async { Ok(3) }).await.unwrap(), 3);
        clock.set_back(Duration::from_hours(1));
        clock.advance(Duration::from_mins(1));
        assert!(fresh.value("k", away).await.is_err(), "the grace is over");
    }
}
