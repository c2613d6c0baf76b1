use super::{
    super::{
        draft::Verdict,
        location::Kind,
        route::{self, Proxied, Route},
        site,
        tree::Directive,
    },
    Translation,
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
        let Some(location) = other.locations.first() else {
            continue;
        };
        let verdict = match base(&other, path) {
            base if base == registry => Verdict::NotNeeded("it leads to the same registry".into()),
            Some(base) => Verdict::NotTranslated(format!(
                "{path} goes to {base}; all of /v2/ goes to upstream.url"
            )),
            None => Verdict::NotTranslated(format!("all of /v2/ goes to upstream.url, {path} too")),
        };
        judge(translation, location, verdict);
    }
    for level in translation.site.levels() {
        for location in level.iter().filter(|one| one.is("location")) {
            let verdict = other(location, translation);
            judge(translation, location, verdict);
        }
    }
}

/// A location that has changed the path of a request to the registry.
fn before(translation: &mut Translation<'_>, location: &Directive) {
    let draft = &mut translation.draft;
    let by_method = location.any(&|inner| {
        inner.is("if") && inner.args.iter().any(|arg| arg.contains("$request_method"))
    });
    if by_method {
        let text = "requests go to different places by their method; all of /v2/ goes to \
                    upstream.url, which must take pushes too";
        draft.not_translated(location, text);
    } else {
        draft.translated(location, "upstream.url");
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

/// What becomes of a location that no request to the registry goes through.
fn other(location: &Directive, translation: &Translation<'_>) -> Verdict {
    let path = location.args.last().map_or("", String::as_str);
    let refuses = location.inner().iter().any(|inner| {
        let code = inner.arg(0);
        (inner.is("return") && code.starts_with('4')) || (inner.is("deny") && code == "all")
    });
    if Kind::of(location) == Kind::Named {
        return Verdict::NotNeeded("requests to /v2/ do not come there".into());
    }
    if path.contains("v2/") {
        return Verdict::NotTranslated("all of /v2/ goes to upstream.url".into());
    }
    let by_itself = OWN_PATHS
        .iter()
        .find(|(own, _)| path.trim_start_matches('^').starts_with(own));
    let (registry, _) = route::split(translation.site.route.by.arg(0));
    let leads_to_the_registry = || {
        let mut passed = location.children("proxy_pass");
        passed.any(|by| route::split(by.arg(0)).0 == registry)
    };
    match by_itself {
        Some((_, why)) => Verdict::NotNeeded((*why).to_owned()),
        None if refuses => Verdict::NotNeeded("what Tidegate does not have is answered 404".into()),
        None if leads_to_the_registry() => {
            Verdict::NotNeeded("a registry has nothing outside of /v2/".into())
        }
        None => Verdict::NotTranslated(
            "Tidegate serves the registry alone; let nginx serve this at another name, or stay in \
             front (docs/how-to/behind-nginx.md)"
                .into(),
        ),
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
