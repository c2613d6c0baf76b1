use proptest::prelude::*;
use time::OffsetDateTime;

use crate::{clock::Timestamp, jobs::Cron};

fn at(text: &str) -> Timestamp {
    let format = time::format_description::well_known::Rfc3339;
    let time = OffsetDateTime::parse(text, &format).unwrap();
    Timestamp::from_seconds(time.unix_timestamp())
}

#[test]
fn slots_follow_harbors_rules() {
    // 2026-11-21 is a Saturday.
    for (cron, from, next) in [
        (
            "0 0 2 * * *",
            "2026-11-21T01:59:59Z",
            "2026-11-21T02:00:00Z",
        ),
        (
            "0 0 2 * * *",
            "2026-11-21T02:00:00Z",
            "2026-11-22T02:00:00Z",
        ),
        (
            "* * * * * *",
            "2026-12-31T23:59:59Z",
            "2027-01-01T00:00:00Z",
        ),
        (
            "0 */15 * * * *",
            "2026-11-21T10:45:00Z",
            "2026-11-21T11:00:00Z",
        ),
        (
            "5/20 0 0 1 1 ?",
            "2026-01-01T00:00:05Z",
            "2026-01-01T00:00:25Z",
        ),
        (
            "0 30 9-17/4 * * MON-fri",
            "2026-11-21T00:00:00Z",
            "2026-11-23T09:30:00Z",
        ),
        (
            "0 0 0 29 feb *",
            "2096-03-01T00:00:00Z",
            "2104-02-29T00:00:00Z",
        ),
        // Both day fields restricted: either will do.
        (
            "0 0 0 1 * sun",
            "2026-11-21T00:00:00Z",
            "2026-11-22T00:00:00Z",
        ),
        (
            "0 0 0 1 * sun",
            "2026-11-30T00:00:00Z",
            "2026-12-01T00:00:00Z",
        ),
        // One of them open: both must match.
        (
            "0 0 0 * * 0",
            "2026-11-22T00:00:00Z",
            "2026-11-29T00:00:00Z",
        ),
        // A step over all days restricts the field, as in robfig/cron.
        (
            "0 0 0 */10 * sun",
            "2026-11-23T00:00:00Z",
            "2026-11-29T00:00:00Z",
        ),
        (
            "0 0 0 31 * *",
            "2026-04-01T00:00:00Z",
            "2026-05-31T00:00:00Z",
        ),
        (
            "0 0 8,20 * * *",
            "2026-11-21T08:00:00.5Z",
            "2026-11-21T20:00:00Z",
        ),
    ] {
        let parsed = Cron::parse(cron).unwrap();
        assert_eq!(parsed.next_after(at(from)), Some(at(next)), "{cron} {from}");
    }
}

#[test]
fn a_date_that_never_comes_has_no_slot() {
    let cron = Cron::parse("0 0 0 31 feb *").unwrap();
    assert_eq!(cron.next_after(at("2026-01-01T00:00:00Z")), None);
    let always = Cron::parse("* * * * * *").unwrap();
    assert_eq!(always.next_after(Timestamp::from_millis(i64::MAX)), None);
}

#[test]
fn mistakes_are_named() {
    for (cron, said) in [
        (
            "",
            "six fields (second minute hour day-of-month month day-of-week), `` has 0",
        ),
        ("0 2 * * *", "`0 2 * * *` has 5"),
        (
            "60 * * * * *",
            "cron field second: `60` is not a number from 0 to 59",
        ),
        (
            "0 0 0 0 * *",
            "cron field day of month: `0` is not a number from 1 to 31",
        ),
        ("0 0 0 * 13 *", "cron field month: `13` is not"),
        (
            "0 0 0 * * 7",
            "cron field day of week: `7` is not a number from 0 to 6",
        ),
        ("0 0 0 * * x", "cron field day of week: `x` is not"),
        (
            "0 0 5-3 * * *",
            "cron field hour: `5-3` begins at 5, after its end at 3",
        ),
        ("*/0 * * * * *", "`*/0` has a step of 0"),
        ("*/x * * * * *", "`*/x` has the step `x`"),
        ("+5 * * * * *", "`+5` is not a number"),
        ("1,,2 * * * * *", "`` is not a number"),
        ("*-5 * * * * *", "`*-5` is not a number"),
        ("@daily", "has 1"),
    ] {
        let error = Cron::parse(cron).unwrap_err().to_string();
        assert!(error.contains(said), "{cron}: {error}");
    }
}

#[test]
fn an_expression_is_kept_as_written() {
    let cron: Cron = " 0  0 2 * * Mon ".parse().unwrap();
    assert_eq!(cron.to_string(), "0 0 2 * * Mon");
}

/// One field as text, and the numbers it stands for.
fn field(min: u8, max: u8) -> impl Strategy<Value = (String, Vec<u8>)> {
    let number = min..=max;
    prop_oneof![
        Just(("*".to_owned(), (min..=max).collect())),
        (1..=max - min + 1).prop_map(move |step| {
            let numbers = (min..=max).step_by(step.into());
            (format!("*/{step}"), numbers.collect())
        }),
        (number.clone(), number.clone()).prop_map(|(a, b)| {
            let (low, high) = (a.min(b), a.max(b));
            (format!("{low}-{high}"), (low..=high).collect())
        }),
        proptest::collection::vec(number, 1..4).prop_map(|numbers| {
            let texts: Vec<String> = numbers.iter().map(u8::to_string).collect();
            (texts.join(","), numbers)
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Within a day, every second is tried.
    #[test]
    fn the_next_slot_is_the_one_that_trying_every_second_finds(
        seconds in field(0, 59), minutes in field(0, 59), hours in field(0, 23),
        start in 1_700_000_000_i64..1_900_000_000,
    ) {
        let text = format!("{} {} {} * * *", seconds.0, minutes.0, hours.0);
        let matches = |time: &i64| {
            let (hour, minute, second) = Timestamp::from_seconds(*time).to_utc().to_hms();
            hours.1.contains(&hour) && minutes.1.contains(&minute) && seconds.1.contains(&second)
        };
        let tried = (start + 1..=start + 86_400).find(matches).map(Timestamp::from_seconds);
        let found = Cron::parse(&text).unwrap().next_after(Timestamp::from_seconds(start));
        prop_assert_eq!(found, tried, "{}", text);
    }

    /// Over ten years, every midnight is tried.
    #[test]
    fn the_next_day_is_the_one_that_trying_every_day_finds(
        days in field(1, 31), months in field(1, 12), weekdays in field(0, 6),
        start in 1_700_000_000_i64..1_900_000_000,
    ) {
        let text = format!("0 0 0 {} {} {}", days.0, months.0, weekdays.0);
        let open = |text: &str| text == "*" || text == "*/1";
        let matches = |time: &i64| {
            let date = Timestamp::from_seconds(*time).to_utc().date();
            let day = days.1.contains(&date.day());
            let weekday = weekdays.1.contains(&date.weekday().number_days_from_sunday());
            let either = !open(&days.0) && !open(&weekdays.0);
            months.1.contains(&u8::from(date.month()))
                && if either { day || weekday } else { day && weekday }
        };
        let midnight = (start / 86_400 + 1) * 86_400;
        let tried = (0..8 * 366).map(|day| midnight + day * 86_400).find(matches);
        let found = Cron::parse(&text).unwrap().next_after(Timestamp::from_seconds(start));
        prop_assert_eq!(found, tried.map(Timestamp::from_seconds), "{}", text);
    }
}

#[test]
fn the_newest_slots_of_a_time_are_found_in_their_order() {
    let now = at("2026-11-21T12:00:00Z").plus(std::time::Duration::from_millis(500));
    for (cron, first, limit, expected) in [
        // One slot, however long ago.
        (
            "0 0 12 1 1 *",
            "2026-01-01T12:00:00Z",
            3,
            vec!["2026-01-01T12:00:00Z"],
        ),
        (
            "0 0 */6 * * *",
            "2026-11-21T00:00:00Z",
            3,
            vec![
                "2026-11-21T00:00:00Z",
                "2026-11-21T06:00:00Z",
                "2026-11-21T12:00:00Z",
            ],
        ),
        (
            "* * * * * *",
            "2016-11-21T00:00:00Z",
            2,
            vec!["2026-11-21T11:59:59Z", "2026-11-21T12:00:00Z"],
        ),
    ] {
        let slots = Cron::parse(cron)
            .unwrap()
            .newest_slots(at(first), now, limit);
        let expected: Vec<Timestamp> = expected.into_iter().map(at).collect();
        assert_eq!(slots, expected, "{cron}");
    }
}
