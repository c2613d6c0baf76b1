use std::time::Duration;

/// A time as nginx reads it (`ngx_parse_time`): `90`, `1m30s`, `5m`, `1h`, `500ms`, `1d`, `2w`.
/// A number without a unit is seconds.
pub(super) fn time(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        rest = rest.trim_start_matches(' ');
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        let letters = rest[digits..]
            .bytes()
            .take_while(u8::is_ascii_alphabetic)
            .count();
        let (unit, behind) = rest[digits..].split_at(letters);
        let millis = match unit {
            "ms" => 1,
            "" | "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3_600 * SECOND,
            "d" => 86_400 * SECOND,
            "w" => 7 * 86_400 * SECOND,
            "M" => 30 * 86_400 * SECOND,
            "y" => 365 * 86_400 * SECOND,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(millis)?))?;
        rest = behind;
    }
    Some(total)
}

/// Whole milliseconds, rounded up, of at most a day.
pub(super) fn millis(seconds: f64) -> u64 {
    let bounded = seconds.clamp(0.0, DAY_SECONDS);
    u64::try_from(Duration::from_secs_f64(bounded).as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

/// A size in bytes (`ngx_parse_offset`): `8192`, `8k`, `10m`, `1g`.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = match text.bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        b'g' | b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = is_number.then(|| number.parse().ok()).flatten()?;
    number.checked_mul(unit)
}

/// Whole seconds, rounded up; from one to a year, which is as good as for ever.
pub(super) fn seconds(time: Duration) -> u64 {
    let whole = time.as_secs().min(YEAR_SECONDS) + u64::from(time.subsec_nanos() > 0);
    whole.clamp(1, YEAR_SECONDS)
}

const SECOND: u64 = 1000;
const DAY_SECONDS: f64 = 86_400.0;
const YEAR_SECONDS: u64 = 365 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_nginx_times() {
        for (text, millis) in [
            ("90", Some(90_000)),
            ("900s", Some(900_000)),
            ("1m30s", Some(90_000)),
            ("1h 30m", Some(5_400_000)),
            ("500ms", Some(500)),
            ("0", Some(0)),
            ("1d", Some(86_400_000)),
            ("", None),
            ("s", None),
            ("-1", None),
            ("1x", None),
            ("99999999999999999999", None),
            ("18446744073709551615w", None),
        ] {
            assert_eq!(time(text), millis.map(Duration::from_millis), "{text}");
        }
        assert_eq!(seconds(Duration::from_millis(1001)), 2);
        assert_eq!(seconds(Duration::ZERO), 1);
        assert_eq!(seconds(Duration::MAX), YEAR_SECONDS);
    }

    #[test]
    fn sizes_are_nginx_sizes() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("8192", Some(8192)),
            ("8k", Some(8192)),
            ("10M", Some(10 << 20)),
            ("1g", Some(1 << 30)),
            ("", None),
            ("k", None),
            ("+1", None),
            ("1t", None),
            ("99999999999g", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
    }
}
