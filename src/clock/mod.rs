//! Time, as a value that is passed in.
//!
//! Nothing else in Tidegate reads the wall clock, so that tests can hold it still. It may be set
//! back: ages in memory go by [`Clock::elapsed`], and who keeps times in the database watches for
//! [`Setbacks`]. Instants for timeouts come from tokio, whose clock tests pause.

use std::{
    fmt,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Milliseconds since the Unix epoch, as the database stores them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Reads RFC 3339; `None` if the text is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let millis = time.unix_timestamp_nanos() / 1_000_000;
        i64::try_from(millis).ok().map(Self)
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// Time passed since `earlier`, zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The calendar time in UTC; clamped to the years RFC 3339 can write.
    pub fn to_utc(self) -> OffsetDateTime {
        let clamped = self.0.clamp(MIN_MILLIS, MAX_MILLIS);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(clamped) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// As files have it; times before the epoch are the epoch.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::default().plus(since_epoch)
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + time.since(Timestamp::default())
    }
}

/// RFC 3339 in UTC: `2026-11-21T10:00:00.5Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_utc().format(&Rfc3339).unwrap_or_default())
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `date-time` of RFC 3339.
impl schemars::JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "date-time"})
    }
}

/// Where the time comes from.
pub trait Clock: fmt::Debug + Send + Sync {
    fn now(&self) -> Timestamp;

    /// Time since a moment that stays the same while the process lives, whatever the clock is set
    /// to.
    fn elapsed(&self) -> Duration;
}

/// The clock every room holds.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn elapsed(&self) -> Duration {
        static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGINNING.elapsed()
    }
}

/// Notices that a clock was set back: what was written for later is then too far ahead.
#[derive(Debug, Default)]
pub struct Setbacks {
    newest: Option<Timestamp>,
}

impl Setbacks {
    /// More than the clocks of gateways that share a database may differ.
    pub const SLACK: Duration = Duration::from_mins(1);

    /// Whether the clock has said a later time before, by more than [`Self::SLACK`], while the
    /// process lived: of a clock that was wrong at the start nobody can tell. Stays so until
    /// [`Setbacks::taken_up`].
    pub fn is_behind(&mut self, now: Timestamp) -> bool {
        let newest = self.newest.unwrap_or(now);
        let is_behind = now.plus(Self::SLACK) < newest;
        if !is_behind {
            self.newest = Some(newest.max(now));
        }
        is_behind
    }

    /// Everything goes by the clock as it was at `now`.
    pub fn taken_up(&mut self, now: Timestamp) {
        self.newest = Some(now);
    }
}

/// A clock that stands still until it is moved; for tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_ms: AtomicI64,
    /// How far it was set back in all.
    behind_ms: AtomicI64,
}

impl ManualClock {
    pub fn at(start: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            now_ms: start.0.into(),
            behind_ms: 0.into(),
        })
    }

    pub fn advance(&self, by: Duration) {
        self.now_ms.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// As an administrator sets a clock back that was wrong: no time passes.
    pub fn set_back(&self, by: Duration) {
        self.behind_ms.fetch_add(millis(by), Ordering::SeqCst);
        self.now_ms.fetch_sub(millis(by), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        let behind = self.behind_ms.load(Ordering::SeqCst);
        Timestamp(self.now().0.saturating_add(behind)).since(Timestamp::default())
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// 0001-01-01 and 9999-12-31T23:59:59.999Z: the range RFC 3339 can write.
const MIN_MILLIS: i64 = -62_135_596_800_000;
const MAX_MILLIS: i64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_written_as_rfc_3339_in_utc() {
        assert_eq!(
            Timestamp::from_seconds(0).to_string(),
            "1970-01-01T00:00:00Z"
        );
        assert_eq!(
            Timestamp::from_millis(1_500).to_string(),
            "1970-01-01T00:00:01.5Z"
        );
        assert!(
            Timestamp::from_millis(i64::MAX)
                .to_string()
                .starts_with("9999-")
        );
    }

    #[test]
    fn times_of_files_are_read_and_written() {
        let time = Timestamp::from_millis(1_500);
        assert_eq!(Timestamp::from(SystemTime::from(time)), time);
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Timestamp::from(before), Timestamp::default());
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::at(Timestamp::from_seconds(10));
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_secs(5));
        assert_eq!(
            clock.now().since(Timestamp::from_seconds(10)),
            Duration::from_secs(5)
        );
    }

    #[test]
    fn no_time_passes_while_a_clock_is_set_back() {
        let clock = ManualClock::at(Timestamp::from_seconds(1000));
        let before = clock.elapsed();
        clock.set_back(Duration::from_mins(10));
        assert_eq!(clock.now(), Timestamp::from_seconds(400));
        assert_eq!(clock.elapsed(), before);
        clock.advance(Duration::from_secs(5));
        assert_eq!(
            clock.elapsed().checked_sub(before),
            Some(Duration::from_secs(5))
        );
    }

    #[test]
    fn a_setback_is_noticed_until_it_is_taken_up() {
        let at = Timestamp::from_seconds;
        let mut setbacks = Setbacks::default();
        for seconds in [1000, 2000, 1941, 2000] {
            assert!(!setbacks.is_behind(at(seconds)), "{seconds}");
        }
        assert!(setbacks.is_behind(at(1900)));
        assert!(setbacks.is_behind(at(1901)));
        setbacks.taken_up(at(1901));
        assert!(!setbacks.is_behind(at(1902)));
    }
}
