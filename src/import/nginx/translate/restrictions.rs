use super::{
    super::{
        draft::Verdict,
        location::{self, Kind},
        tree::Directive,
    },
    Translation, clients,
};

/// Whether a location, or one in it, keeps some requests out or holds them back.
pub(super) fn restricts(location: &Directive) -> bool {
    location.inner().iter().any(|inner| inner.any(&is_one))
}

fn is_one(directive: &Directive) -> bool {
    match directive.name.as_str() {
        "if" | "internal" | "limit_except" => true,
        "return" => refuses(directive),
        name if is_rule(directive) || name.contains("_by_lua") => true,
        name => {
            let is_named = BEGINNINGS.iter().any(|begin| name.starts_with(begin));
            is_named && directive.arg(0) != "off"
        }
    }
}

fn is_rule(directive: &Directive) -> bool {
    matches!(directive.name.as_str(), "allow" | "deny")
}

fn refuses(by: &Directive) -> bool {
    by.is("return") && by.arg(0).starts_with('4')
}

/// Whether a location answers nobody.
pub(super) fn refuses_all(location: &Directive) -> bool {
    let inner = location.inner();
    let denies = inner
        .iter()
        .any(|one| one.is("deny") && one.arg(0) == "all");
    let allows = inner.iter().any(|one| one.is("allow"));
    inner.iter().any(refuses) || (denies && !allows)
}

/// The verdict of a location of `/v2/` that restricts.
pub(super) fn held_for_some(translation: &Translation<'_>, location: &Directive) -> Verdict {
    let users = clients::users_of(translation, location);
    Verdict::NotTranslated(format!(
        "what it demands held for some requests only; projects and roles say who may do what, \
         access.listener who may come at all{users}"
    ))
}

/// Gives a location its verdict that restricts what Tidegate shows to everybody, be it into the
/// key for that or not. False: it is no such location.
pub(super) fn of_own_path(translation: &mut Translation<'_>, location: &Directive) -> bool {
    let text = location::text(location).trim_start_matches('^');
    let found = OWN.iter().find_map(|(path, key)| {
        let rest = text.strip_prefix(path)?;
        let is_longer = rest.starts_with(|c: char| c.is_alphanumeric() || "-_".contains(c));
        (!is_longer).then_some((rest, *key))
    });
    let Some((rest, key)) = found else {
        return false;
    };
    if !restricts(location) {
        return false;
    }
    let is_whole = match (key, Kind::of(location)) {
        (METRICS, Kind::Exact | Kind::Prefix) => matches!(rest, "" | "/"),
        (API, Kind::Prefix) => matches!(rest, "" | "/" | "/v2.0" | "/v2.0/"),
        _ => false,
    };
    let draft = &mut translation.draft;
    match rules(location) {
        Some(rules) if is_whole => {
            for rule in rules {
                draft.add(location, key, rule);
            }
            if key == API && refuses_all(location) {
                let text = "projects and members are made by the API: allow those who do it, \
                            before the others are denied";
                draft.leave(location, text);
            }
        }
        _ => {
            let text = format!(
                "Tidegate answers there by itself, whoever asks; {key} says which networks may"
            );
            draft.not_translated(location, text);
        }
    }
    true
}

/// What a location demands as rules, if it demands nothing else.
fn rules(location: &Directive) -> Option<Vec<String>> {
    let inner = || location.inner().iter().filter(|one| one.any(&is_one));
    if inner().any(refuses) {
        return Some(vec!["deny all".to_owned()]);
    }
    inner()
        .map(|one| is_rule(one).then(|| clients::rule(one)).flatten())
        .collect()
}

/// Rules around the site's locations, in whose place others count for the registry: they go on to
/// hold for the rest of what Tidegate shows.
pub(super) fn around(translation: &mut Translation<'_>) {
    let site = &translation.site;
    let inner = site.route.locations.iter().rev().map(|one| one.inner());
    let Some(first) = inner.flatten().find(|one| is_rule(one)) else {
        return;
    };
    let note = format!("{} counts for the registry", first.place);
    let levels = [site.server.inner(), site.http];
    let Some(level) = levels.into_iter().find(|level| level.iter().any(is_rule)) else {
        return;
    };
    let keys: Vec<&'static str> = [API, METRICS]
        .into_iter()
        .filter(|key| translation.draft.value(key).is_none())
        .collect();
    for by in level.iter().filter(|one| is_rule(one)) {
        clients::add_rule(translation, by, &keys);
        translation.draft.note(by, &note);
    }
}

/// What names of directives begin with that keep requests out or hold them back.
const BEGINNINGS: [&str; 5] = ["auth_", "js_", "limit_", "perl", "ssl_verify"];
const LISTENER: &str = "access.listener";
const API: &str = "access.api";
const METRICS: &str = "access.metrics";
/// What everybody may ask for who may come, and the key that says who else.
const OWN: [(&str, &str); 7] = [
    ("/metrics", METRICS),
    ("/api", API),
    ("/healthz", LISTENER),
    ("/readyz", LISTENER),
    ("/service/token", LISTENER),
    ("/service/", LISTENER),
    ("/auth/token", LISTENER),
];
