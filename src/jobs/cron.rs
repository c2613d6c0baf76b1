use std::{fmt, time::Duration};

use time::{Date, Duration as Span, OffsetDateTime, Time};

use crate::clock::Timestamp;

/// A schedule of six fields: second, minute, hour, day of month, month, day of week; in UTC.
///
/// Harbor's rules, which are robfig/cron's: `*` or `?`, numbers, names of months and days
/// (`jan`, `mon`), ranges `a-b`, steps `/n` (`a/n` runs to the field's end), lists with commas;
/// Sunday is 0. If both day fields are restricted, a day that matches either will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    either_day: bool,
}

/// What is wrong with a cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    #[error(
        "a cron expression has six fields (second minute hour day-of-month month day-of-week), \
         `{text}` has {found}"
    )]
    Fields { text: String, found: usize },
    #[error("cron field {field}: `{part}` {problem}")]
    Field {
        field: &'static str,
        part: String,
        problem: String,
    },
}

impl Cron {
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [seconds, minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(CronError::Fields {
                text: text.to_owned(),
                found: fields.len(),
            });
        };
        let days = DAYS.parse(days)?;
        let weekdays = WEEKDAYS.parse(weekdays)?;
        Ok(Self {
            text: fields.join(" "),
            seconds: SECONDS.parse(seconds)?.bits,
            minutes: MINUTES.parse(minutes)?.bits,
            hours: HOURS.parse(hours)?.bits,
            months: MONTHS.parse(months)?.bits,
            either_day: !days.star && !weekdays.star,
            days: days.bits,
            weekdays: weekdays.bits,
        })
    }

    /// The first matching second after `time`; `None` if there is none in the next eight years,
    /// in which every date of the calendar occurs.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let start = Timestamp::from_seconds(time.seconds().checked_add(1)?).to_utc();
        let mut date = start.date();
        let mut from = start.time();
        for _day in 0..=LONGEST_GAP_DAYS {
            if self.matches_day(date)
                && let Some(time_of_day) = self.time_from(from)
            {
                let next = OffsetDateTime::new_utc(date, time_of_day);
                let next = Timestamp::from_seconds(next.unix_timestamp());
                // Past the year 9999 the calendar stands still.
                return (next > time).then_some(next);
            }
            date = date.checked_add(Span::DAY)?;
            from = Time::MIDNIGHT;
        }
        None
    }

    /// The slots from `first` to `now`, of which it is one; only the newest `limit`, in order.
    pub(super) fn newest_slots(
        &self,
        first: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> Vec<Timestamp> {
        // Looks back over twice the time again and again, so that an outage of a year costs no
        // more steps than what is found.
        let mut span = Duration::from_mins(2);
        loop {
            let from = now.minus(span).max(first);
            let before = from.minus(Duration::from_secs(1));
            let mut slots: Vec<Timestamp> =
                std::iter::successors(self.next_after(before), |slot| self.next_after(*slot))
                    .take_while(|slot| *slot <= now)
                    .collect();
            if slots.len() >= limit || from == first {
                slots.drain(..slots.len().saturating_sub(limit));
                return slots;
            }
            span *= 2;
        }
    }

    fn matches_day(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().number_days_from_sunday());
        let day_matches = if self.either_day {
            day || weekday
        } else {
            day && weekday
        };
        has(self.months, u8::from(date.month())) && day_matches
    }

    /// The first matching time of a day at or after `from`.
    fn time_from(&self, from: Time) -> Option<Time> {
        let (hour, minute, second) = from.as_hms();
        let at = |hour, minute, second| Time::from_hms(hour, minute, second).ok();
        let first_minute = first_from(self.minutes, 0)?;
        let first_second = first_from(self.seconds, 0)?;
        if has(self.hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = first_from(self.seconds, second)
            {
                return at(hour, minute, second);
            }
            if let Some(minute) = first_from(self.minutes, minute + 1) {
                return at(hour, minute, first_second);
            }
        }
        at(
            first_from(self.hours, hour + 1)?,
            first_minute,
            first_second,
        )
    }
}

/// As written, with single spaces.
impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        Self::parse(text)
    }
}

fn has(bits: u64, number: u8) -> bool {
    bits >> number & 1 == 1
}

/// The smallest number in the set that is `from` or larger.
fn first_from(bits: u64, from: u8) -> Option<u8> {
    let rest = bits.checked_shr(u32::from(from)).unwrap_or(0);
    (rest != 0).then(|| from + u8::try_from(rest.trailing_zeros()).unwrap_or(0))
}

/// What a field may hold.
struct Field {
    name: &'static str,
    min: u8,
    max: u8,
    /// Names for the numbers from `min` up.
    names: &'static [&'static str],
}

/// The numbers a field matches.
struct Set {
    bits: u64,
    /// It was left open, which decides how the two day fields combine.
    star: bool,
}

impl Field {
    fn parse(&self, text: &str) -> Result<Set, CronError> {
        let mut set = Set {
            bits: 0,
            star: false,
        };
        for part in text.split(',') {
            let of_part = self.part(part).map_err(|problem| CronError::Field {
                field: self.name,
                part: part.to_owned(),
                problem,
            })?;
            set.bits |= of_part.bits;
            set.star |= of_part.star;
        }
        Ok(set)
    }

    /// `*`, `a`, `a-b`, each with an optional `/step`.
    fn part(&self, part: &str) -> Result<Set, String> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(parse_step(step)?)),
            None => (part, None),
        };
        let (low, high, star) = if range == "*" || range == "?" {
            // `*/1` is as open as `*`; a longer step restricts the field.
            (self.min, self.max, step.is_none_or(|step| step == 1))
        } else if let Some((low, high)) = range.split_once('-') {
            (self.number(low)?, self.number(high)?, false)
        } else {
            let low = self.number(range)?;
            let high = if step.is_some() { self.max } else { low };
            (low, high, false)
        };
        if low > high {
            return Err(format!("begins at {low}, after its end at {high}"));
        }
        let numbers = (low..=high).step_by(step.unwrap_or(1).into());
        let bits = numbers.fold(0, |bits, number| bits | 1_u64 << number);
        Ok(Set { bits, star })
    }

    fn number(&self, text: &str) -> Result<u8, String> {
        let named = self
            .names
            .iter()
            .position(|name| text.eq_ignore_ascii_case(name));
        if let Some(index) = named {
            return Ok(self.min + u8::try_from(index).unwrap_or(0));
        }
        let allowed = || format!("is not a number from {} to {}", self.min, self.max);
        let number: u8 = text.parse().map_err(|_no_number| allowed())?;
        if digits(text) && (self.min..=self.max).contains(&number) {
            Ok(number)
        } else {
            Err(allowed())
        }
    }
}

fn parse_step(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(0) => Err("has a step of 0".to_owned()),
        Ok(step) if digits(text) => Ok(step),
        _ => Err(format!(
            "has the step `{text}`, which is no number up to 255"
        )),
    }
}

/// `u8::from_str` also takes a sign.
fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

const fn field(name: &'static str, min: u8, max: u8, names: &'static [&'static str]) -> Field {
    Field {
        name,
        min,
        max,
        names,
    }
}

const SECONDS: Field = field("second", 0, 59, &[]);
const MINUTES: Field = field("minute", 0, 59, &[]);
const HOURS: Field = field("hour", 0, 23, &[]);
const DAYS: Field = field("day of month", 1, 31, &[]);
const MONTHS: Field = field(
    "month",
    1,
    12,
    &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
);
const WEEKDAYS: Field = field(
    "day of week",
    0,
    6,
    &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
);

/// Eight years: 29 February is that far from the next around 2100.
const LONGEST_GAP_DAYS: u32 = 8 * 366;
