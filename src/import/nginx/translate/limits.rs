use super::{
    super::{draft::Value, tree::Directive, units},
    Translation, listener,
};

/// What a zone counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    Addresses,
    Users,
    /// What no limit counts, and why.
    Other(&'static str),
}

/// `limit_req`: the rate is the zone's. nginx lets `burst` requests wait for their turn, or with
/// `nodelay` go at once.
pub(super) fn requests<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        if is_on(translation, "limit_req_dry_run") {
            translation.draft.not_needed(by, DRY);
            continue;
        }
        let zone = zone_of(translation, by, "limit_req_zone");
        let rate = zone
            .and_then(|zone| parameter(zone, "rate"))
            .and_then(rate_per_second);
        let (Some(zone), Some(rate)) = (zone, rate) else {
            translation.draft.not_translated(by, "its zone has no rate");
            continue;
        };
        let (rate_key, burst_key) = match counted(translation, zone) {
            Counted::Addresses => ("limits.requests_per_second", "limits.requests_burst"),
            Counted::Users => (
                "limits.user_requests_per_second",
                "limits.user_requests_burst",
            ),
            Counted::Other(why) => {
                translation.draft.not_translated(by, why);
                continue;
            }
        };
        if translation.draft.value(rate_key).is_some() {
            let text = format!("there is one {rate_key}; the first is taken");
            translation.draft.not_translated(by, text);
            continue;
        }
        let burst = number(by, "burst").unwrap_or(0);
        let at_once = if by.args.iter().any(|arg| arg == "nodelay") {
            burst
        } else {
            number(by, "delay").unwrap_or(0).min(burst)
        };
        let draft = &mut translation.draft;
        draft.set(by, rate_key, Value::Decimal(rate));
        draft.set(by, burst_key, Value::Number(u64::from(at_once) + 1));
        let wait_seconds = f64::from(burst - at_once) / rate;
        let wait_ms = units::millis(wait_seconds);
        draft.raise(by, "limits.max_wait_ms", wait_ms);
        if rate_key == "limits.requests_per_second" {
            let text = "requests for tokens are counted apart: limits.token_requests_per_second";
            draft.note(by, text);
        }
    }
}

/// `limit_conn`: nginx counts requests under way, Tidegate connections.
pub(super) fn connections<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        if is_on(translation, "limit_conn_dry_run") {
            translation.draft.not_needed(by, DRY);
            continue;
        }
        let zone = zone_of(translation, by, "limit_conn_zone");
        let counted = zone.map(|zone| counted(translation, zone));
        let draft = &mut translation.draft;
        match (counted, by.arg(1).parse::<u32>()) {
            (Some(Counted::Addresses), Ok(count)) => {
                let key = "limits.connections_per_address";
                let least = match draft.value(key) {
                    Some(Value::Number(other)) => (*other).min(count.into()),
                    _ => count.into(),
                };
                draft.set(by, key, Value::Number(least));
                draft.note(
                    by,
                    "idle connections count, too; nginx counts requests under way",
                );
            }
            (Some(Counted::Users), Ok(_)) => draft.not_translated(by, OTHER_KEY),
            (Some(Counted::Other(why)), Ok(_)) => draft.not_translated(by, why),
            _ => draft.not_translated(by, "it has no zone with a number"),
        }
    }
}

/// Zones say what counts; the directives that use them are translated.
pub(super) fn zone<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        let text = "what counts is told by the directives that use it";
        translation.draft.not_needed(by, text);
    }
}

pub(super) fn rate<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        let draft = &mut translation.draft;
        match units::size(by.arg(0)) {
            Some(0) => draft.not_needed(by, "there is no limit"),
            Some(bytes) => {
                let kib = Value::Number(bytes.div_ceil(1 << 10));
                draft.set(by, "limits.response_kib_per_second", kib);
            }
            None => draft.not_translated(by, "it is no fixed number of bytes"),
        }
    }
}

pub(super) fn rate_after<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        let draft = &mut translation.draft;
        match units::size(by.arg(0)) {
            Some(bytes) => {
                let mib = Value::Number(bytes.div_ceil(1 << 20));
                draft.set(by, "limits.response_full_speed_mib", mib);
            }
            None => draft.not_translated(by, "it is no fixed number of bytes"),
        }
    }
}

/// The zone that a `limit_req` or `limit_conn` names.
fn zone_of<'t>(
    translation: &Translation<'t>,
    by: &Directive,
    directive: &str,
) -> Option<&'t Directive> {
    let name = parameter(by, "zone").unwrap_or_else(|| by.arg(0));
    let zones = translation.site.http.iter().filter(|one| one.is(directive));
    let mut named = zones.filter(|zone| {
        let own = parameter(zone, "zone").unwrap_or_default();
        own.split(':').next() == Some(name)
    });
    named.next()
}

fn counted(translation: &Translation<'_>, zone: &Directive) -> Counted {
    match zone.arg(0) {
        "$http_x_forwarded_for" if !listener::trusts_a_proxy(translation) => {
            Counted::Other(UNKNOWN_PROXY)
        }
        "$binary_remote_addr" | "$remote_addr" | "$http_x_forwarded_for" => Counted::Addresses,
        "$remote_user" | "$http_authorization" => Counted::Users,
        _ => Counted::Other(OTHER_KEY),
    }
}

fn is_on(translation: &Translation<'_>, name: &str) -> bool {
    translation
        .nearest(name)
        .is_some_and(|by| by.arg(0) == "on")
}

/// The value of `name=value`.
fn parameter<'t>(directive: &'t Directive, name: &str) -> Option<&'t str> {
    let value = |arg: &'t String| arg.strip_prefix(name)?.strip_prefix('=');
    directive.args.iter().find_map(value)
}

fn number(directive: &Directive, name: &str) -> Option<u32> {
    parameter(directive, name)?.parse().ok()
}

/// `10r/s` or `30r/m`.
fn rate_per_second(text: &str) -> Option<f64> {
    let (count, unit) = text.split_once("r/")?;
    let count: u32 = count.parse().ok().filter(|count| *count > 0)?;
    match unit {
        "s" => Some(f64::from(count)),
        "m" => Some(f64::from(count) / 60.0),
        _ => None,
    }
}

const DRY: &str = "it is a dry run: nginx only writes down what it would refuse";
const UNKNOWN_PROXY: &str = "it counts by X-Forwarded-For: name the proxy that sends it in \
                             server.trusted_proxies, and then write the rate to [limits]; without, \
                             all clients would be one";
const OTHER_KEY: &str = "limits are by address and by user; this zone counts something else";
