use super::{
    super::{
        draft::Verdict,
        location::{self, Kind},
        route::{self, Proxied, Route},
        site::{self, Site},
        tree::Directive,
    },
    Translation, conditions, redirects,
    restrictions::{self, held_for_some, refuses_all, restricts},
};

/// The other servers of the configuration.
pub(super) fn servers(translation: &mut Translation<'_>) {
    let site = &translation.site;
    for server in site.http.iter().filter(|one| one.is("server")) {
        if !std::ptr::eq(server, site.server) {
            let text = "Tidegate serves one registry; leave this site to nginx";
            translation.draft.not_translated(server, text);
        }
    }
}

/// The locations of the site that a manifest's request does not go through.
pub(super) fn locations(translation: &mut Translation<'_>) {
    let registry = base(&translation.site.route, site::SAMPLE);
    for location in translation.site.route.before.clone() {
        before(translation, location);
    }
    for path in OTHER_REQUESTS {
        let Route::Proxied(other) = translation.site.follow(path) else {
            continue;
        };
        for location in &other.before {
            before(translation, location);
        }
        let route = &translation.site.route;
        let is_common =
            |location: &&Directive| route.locations.iter().any(|one| one.id == location.id);
        let Some(location) = other.locations.iter().find(|one| !is_common(one)) else {
            continue;
        };
        let goes_there_too = match (base(&other, path), &registry) {
            (Some(base), Some(registry)) => base == *registry,
            _ => other.by.args == route.by.args,
        };
        let verdict = match base(&other, path) {
            _ if restricts(location) => held_for_some(translation, location),
            _ if goes_there_too => Verdict::NotNeeded(SAME.into()),
            Some(base) => Verdict::NotTranslated(format!(
                "{path} goes to {base}; all of /v2/ goes to upstream.url"
            )),
            None => Verdict::NotTranslated(format!("all of /v2/ goes to upstream.url, {path} too")),
        };
        judge(translation, location, verdict);
    }
    for level in translation.site.levels() {
        for location in level.iter().filter(|one| one.is("location")) {
            if !restrictions::of_own_path(translation, location) {
                let verdict = other(location, translation);
                judge(translation, location, verdict);
            }
        }
    }
}

/// A location that has changed the path of a request to the registry.
fn before(translation: &mut Translation<'_>, location: &Directive) {
    let by_method = location.any(&|inner| {
        inner.is("if") && inner.args.iter().any(|arg| arg.contains("$request_method"))
    });
    if by_method {
        let draft = &mut translation.draft;
        draft.not_translated(location, conditions::BY_METHOD);
    } else if restricts(location) {
        let verdict = held_for_some(translation, location);
        judge(translation, location, verdict);
    } else if translation.site.route.renames(site::SAMPLE) {
        translation
            .draft
            .not_translated(location, conditions::RENAMES);
    } else {
        translation.draft.translated(location, "upstream.url");
    }
}

/// Gives a location its verdict, unless it has one.
fn judge(translation: &mut Translation<'_>, location: &Directive, verdict: Verdict) {
    match verdict {
        Verdict::NotNeeded(why) => translation.draft.not_needed(location, why),
        Verdict::NotTranslated(why) => translation.draft.not_translated(location, why),
        Verdict::Translated { .. } => {}
    }
}

/// What becomes of a location that no request to the registry is known to go through.
fn other(location: &Directive, translation: &Translation<'_>) -> Verdict {
    let text = location::text(location);
    let is_named = Kind::of(location) == Kind::Named;
    let meets = meets_the_registry(location, &translation.site);
    if (is_named || meets) && restricts(location) {
        return held_for_some(translation, location);
    }
    if is_named {
        return Verdict::NotNeeded("requests to /v2/ do not come there".into());
    }
    if meets && text.contains("v2/") {
        return Verdict::NotTranslated("all of /v2/ goes to upstream.url".into());
    }
    let by_itself = OWN_PATHS
        .iter()
        .find(|(own, _)| text.trim_start_matches('^').starts_with(own));
    if let Some((_, why)) = by_itself {
        return Verdict::NotNeeded((*why).to_owned());
    }
    let (registry, _) = route::split(translation.site.route.by.arg(0));
    let mut passed = location.children("proxy_pass");
    let leads_there = passed.any(|by| route::split(by.arg(0)).0 == registry);
    let is_rest = text == "/";
    match location {
        _ if is_rest && refuses_all(location) => Verdict::NotNeeded(BESIDES.into()),
        _ if is_rest && restricts(location) => Verdict::NotTranslated(REST.into()),
        _ if refuses_all(location) => Verdict::NotNeeded(ABSENT.into()),
        _ if leads_there && meets => Verdict::NotNeeded(SAME.into()),
        _ if leads_there => Verdict::NotNeeded("a registry has nothing outside of /v2/".into()),
        _ if redirects::renews(location) => Verdict::NotTranslated(RENEWAL.into()),
        _ => Verdict::NotTranslated(ALONE.into()),
    }
}

/// Whether requests to `/v2/` may come to a location. What a regular expression matches nobody
/// can tell.
fn meets_the_registry(location: &Directive, site: &Site<'_>) -> bool {
    let serves = |path: &str| {
        let found = location::find(site.server.inner(), path);
        found.iter().any(|one| one.id == location.id)
    };
    match Kind::of(location) {
        Kind::Regex => true,
        Kind::Named => false,
        Kind::Exact | Kind::Prefix => {
            let mut paths = OTHER_REQUESTS.iter();
            location::text(location).starts_with("/v2") || paths.any(|path| serves(path))
        }
    }
}

/// Where a request goes, without its own path.
fn base(proxied: &Proxied<'_>, path: &str) -> Option<String> {
    let url = proxied.url.as_deref().ok()?;
    Some(url.strip_suffix(path)?.to_owned())
}

/// What clients ask of a registry besides manifests.
const OTHER_REQUESTS: [&str; 5] = [
    "/v2/",
    "/v2/_catalog",
    "/v2/project/app/tags/list",
    "/v2/project/app/blobs/uploads/",
    "/v2/project/app/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
];

/// Paths that Tidegate answers by itself, and why.
const OWN_PATHS: [(&str, &str); 9] = [
    (
        "/v1",
        "the registry API version 1 is gone; it is answered 404",
    ),
    (
        "/_ping",
        "the registry API version 1 is gone; it is answered 404",
    ),
    (
        "/service/notifications",
        "it is refused unless notifications.secret is set",
    ),
    ("/service/", "Tidegate has its own token service there"),
    (
        "/c/",
        "it is of Harbor's core, in whose place Tidegate stands",
    ),
    ("/chartrepo/", "charts are in the registry like images"),
    ("/api/", "Tidegate speaks Harbor's API there"),
    ("/healthz", "Tidegate has its own there"),
    ("/metrics", "Tidegate has its own there"),
];
const SAME: &str = "it leads to the same registry";
const ABSENT: &str = "what Tidegate does not have is answered 404";
const BESIDES: &str = "what Tidegate does not have is answered 404; besides /v2/ it has \
                       /service/token, /healthz, /readyz, /metrics and /api/: access.metrics and \
                       access.api say which networks may use the last two";
const REST: &str = "its rules held for /metrics and /api/, too: write them to access.metrics and \
                    access.api; what else it serves let nginx serve at another name";
const RENEWAL: &str = "Tidegate serves no files; renew the certificate by DNS-01, or by nginx at port \
                       80";
const ALONE: &str = "Tidegate serves the registry alone; let nginx serve this at another name, or \
                     stay in front (docs/how-to/behind-nginx.md)";
