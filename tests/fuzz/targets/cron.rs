//! Cron expressions, behind a first line with the time to begin at, in seconds: the next slot is
//! the first behind it, whenever one asks.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate::{clock::Timestamp, jobs::Cron};

fuzz_target!(|data: &str| {
    let Some((seconds, text)) = data.split_once('\n') else {
        return;
    };
    let (Ok(seconds), Ok(cron)) = (seconds.parse::<u32>(), Cron::parse(text)) else {
        return;
    };
    let again = Cron::parse(&cron.to_string());
    assert_eq!(again.as_ref(), Ok(&cron));
    let start = Timestamp::from_seconds(seconds.into());
    let Some(next) = cron.next_after(start) else {
        return;
    };
    assert!(next > start && next.millis() % 1000 == 0);
    for between in [
        next.seconds() - 1,
        start.seconds().midpoint(next.seconds() - 1),
    ] {
        let found = cron.next_after(Timestamp::from_seconds(between));
        assert_eq!(found, Some(next), "{cron} after {between}");
    }
    assert!(cron.next_after(next).is_none_or(|later| later > next));
});
