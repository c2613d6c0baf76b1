use base64::{Engine, engine::general_purpose::STANDARD};
use url::Url;

use super::{
    super::{draft::Value, error::Error, location::Kind, route::Route, site, tree::Directive},
    Translation, conditions,
};

/// `proxy_pass`: where the registry is. Without it nothing can be imported.
pub(super) fn address(translation: &mut Translation<'_>) -> Result<(), Error> {
    let by = translation.site.route.by;
    let url = match translation.upstream {
        Some(given) => given_address(given)?,
        None => registry(translation)?,
    };
    translation.draft.set(by, URL, Value::Text(url));
    for location in translation.site.route.locations.clone() {
        translation.draft.translated(location, URL);
    }
    Ok(())
}

/// The address that the caller gives, to which `/v2/` is added.
fn given_address(given: &str) -> Result<String, Error> {
    let url = given.trim_end_matches('/');
    if is_address(url) && !url.ends_with("/v2") {
        return Ok(url.to_owned());
    }
    let text = format!(
        "--upstream {given} is not the address of a registry, expected http://… or https://…, \
         without /v2/"
    );
    Err(Error::Site(text))
}

fn is_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let is_bare = url.query().is_none() && url.fragment().is_none();
        let is_open = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && is_bare && is_open
    })
}

/// The registry's base URL, before `/v2/`.
fn registry(translation: &mut Translation<'_>) -> Result<String, Error> {
    let site = &translation.site;
    let by = site.route.by;
    let failed = |text: String| {
        Error::Site(format!(
            "{}: {text}; give the registry's address by --upstream URL",
            by.place
        ))
    };
    let whole = site.route.url.as_ref().map_err(|variable| {
        failed(format!(
            "{variable} in proxy_pass is known with a request only"
        ))
    })?;
    if whole.contains("://unix:") {
        return Err(failed(TCP_ONLY.to_owned()));
    }
    let base = whole
        .strip_suffix(site::SAMPLE)
        .ok_or_else(|| failed(format!("{} goes to {whole}, expected …/v2/…", site::SAMPLE)))?;
    let (scheme, rest) = base
        .split_once("://")
        .ok_or_else(|| failed(format!("{base} is no URL")))?;
    let (host, path) = rest
        .split_once('/')
        .map_or((rest, ""), |(host, path)| (host, path));
    let host = match server_of(site.http, host) {
        Some(server) if server.starts_with("unix:") => {
            return Err(failed(TCP_ONLY.to_owned()));
        }
        // Servers of a block have port 80 unless they say another.
        Some(server) if scheme == "https" && !has_port(server) => format!("{server}:80"),
        Some(server) => server.to_owned(),
        None => host.to_owned(),
    };
    let separator = if path.is_empty() { "" } else { "/" };
    let url = format!("{scheme}://{host}{separator}{path}");
    if is_address(&url) && !url.contains('$') {
        Ok(url)
    } else {
        Err(failed(format!("{url} is not the address of a registry")))
    }
}

fn has_port(server: &str) -> bool {
    let behind_brackets = server.rsplit(']').next().unwrap_or(server);
    behind_brackets.contains(':')
}

/// The server of the `upstream` block of that name that nginx would ask first.
fn server_of<'t>(http: &'t [Directive], name: &str) -> Option<&'t str> {
    let block = http
        .iter()
        .find(|one| one.is("upstream") && one.arg(0) == name)?;
    servers(block).next().map(|server| server.arg(0))
}

/// The servers of an `upstream` block that are asked while all is well.
fn servers(block: &Directive) -> impl Iterator<Item = &Directive> {
    block.children("server").filter(|server| {
        let resting = |arg: &String| matches!(arg.as_str(), "backup" | "down");
        !server.args.iter().any(resting)
    })
}

/// `proxy_pass` was translated first of all; here what is to be known about it.
pub(super) fn passed<'t>(translation: &mut Translation<'t>, _given: &[&'t Directive]) {
    let by = translation.site.route.by;
    if translation.site.route.renames(site::SAMPLE) {
        translation.draft.leave(by, conditions::RENAMES);
    }
    if is_harbors_core(translation) {
        let text = "this is Harbor's core, in whose place Tidegate stands: write the address of \
                    Harbor's registry, http://registry:5000, instead";
        return translation.draft.leave(by, text);
    }
    let is_https = is_https(translation);
    let verified = ["proxy_ssl_verify", "proxy_ssl_trusted_certificate"]
        .iter()
        .any(|name| translation.nearest(name).is_some());
    if is_https && !verified {
        let text = "nginx did not look at the registry's certificate, Tidegate does: set \
                    upstream.ca_cert if no authority of the system has signed it";
        translation.draft.leave(by, text);
    }
}

/// Whether the token service is where `/v2/` is passed to.
fn is_harbors_core(translation: &Translation<'_>) -> bool {
    let Route::Proxied(tokens) = translation.site.follow(TOKENS) else {
        return false;
    };
    let whole = |url: &Result<String, String>| url.clone().unwrap_or_default();
    let registry = whole(&translation.site.route.url);
    let base = registry.strip_suffix(site::SAMPLE);
    tokens
        .locations
        .last()
        .is_some_and(|last| last.arg(0) != "/" && Kind::of(last) != Kind::Named)
        && base.is_some_and(|base| whole(&tokens.url) == format!("{base}{TOKENS}"))
}

fn is_https(translation: &Translation<'_>) -> bool {
    match translation.draft.value(URL) {
        Some(Value::Text(url)) => url.starts_with("https://"),
        _ => false,
    }
}

/// `upstream` blocks: the registry's one, and the others.
pub(super) fn block<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    let to = translation.site.route.url.clone().unwrap_or_default();
    for block in given {
        let draft = &mut translation.draft;
        let is_registrys = to
            .split('/')
            .nth(2)
            .is_some_and(|host| host == block.arg(0));
        if !is_registrys || translation.upstream.is_some() {
            draft.not_needed(block, "the registry is not reached by it");
            continue;
        }
        draft.translated(block, URL);
        let asked = servers(block).next().map(|server| server.id);
        for inner in block.inner() {
            if asked == Some(inner.id) {
                draft.translated(inner, URL);
            } else if inner.is("server") {
                let text = "one address is asked; let a balancer or a name stand for several";
                draft.not_translated(inner, text);
            } else {
                draft.not_needed(inner, "connections to the registry are kept and shared");
            }
        }
    }
}

pub(super) fn connect_timeout<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        translation.raise_seconds(by, "upstream.connections.connect_timeout_seconds");
    }
}

/// `proxy_read_timeout` and `proxy_send_timeout`: the longer of both. They also bound the wait
/// for the answer to a write, for which Tidegate's own time is longer.
pub(super) fn idle_timeout<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        let seconds = translation.raise_seconds(by, "upstream.connections.idle_timeout_seconds");
        if let Some(seconds) = seconds.filter(|seconds| *seconds > COMMIT_TIMEOUT_SECONDS) {
            let key = "upstream.connections.commit_timeout_seconds";
            translation.draft.raise(by, key, seconds);
        }
    }
}

pub(super) fn verify<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        if !is_https(translation) {
            translation.draft.not_needed(by, NO_TLS);
        } else if by.arg(0) == "on" {
            let text = "the registry's certificate is always verified";
            translation.draft.not_needed(by, text);
        } else {
            let draft = &mut translation.draft;
            draft.set(by, "upstream.insecure", Value::Flag(true));
            draft.note(by, "better set upstream.ca_cert and take this out");
        }
    }
}

pub(super) fn trusted_certificate<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        if is_https(translation) {
            translation.set_path(by, "upstream.ca_cert");
        } else {
            translation.draft.not_needed(by, NO_TLS);
        }
    }
}

pub(super) fn set_header<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        let value = by.arg(1);
        match by.arg(0).to_ascii_lowercase().as_str() {
            "authorization" => authorization(translation, by),
            "x-forwarded-proto" => forwarded_proto(translation, by),
            "host" | "x-real-ip" | "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-port"
            | "x-forwarded-ssl" | "x-forwarded-server" | "x-scheme" | "x-original-uri"
            | "forwarded" | "connection" | "upgrade" | "accept-encoding" => {
                let text = "Tidegate's requests to the registry are its own";
                translation.draft.not_needed(by, text);
            }
            _ if value.is_empty() => {
                let text = "the client's headers are not passed on unless the registry needs them";
                translation.draft.not_needed(by, text);
            }
            _ => {
                let text = "Tidegate sends the registry no headers of your own";
                translation.draft.not_translated(by, text);
            }
        }
    }
}

fn forwarded_proto<'t>(translation: &mut Translation<'t>, by: &'t Directive) {
    let is_clients = !matches!(by.arg(1), "$scheme" | "https" | "http" | "");
    let knows_proxies = translation.nearest("set_real_ip_from").is_some();
    if is_clients && !knows_proxies && !translation.site.has_tls() {
        let text = "a proxy in front tells by this header how clients came; name its network in \
                    server.trusted_proxies, only those are believed";
        translation.draft.not_translated(by, text);
    } else {
        let text = "the registry's URLs are made relative; what a client used does not matter";
        translation.draft.not_needed(by, text);
    }
}

/// A fixed name and password become the gateway's own at the registry.
fn authorization<'t>(translation: &mut Translation<'t>, by: &'t Directive) {
    let draft = &mut translation.draft;
    if by.arg(1).is_empty() {
        let text = "what clients sign in with never leaves the gateway";
        return draft.not_needed(by, text);
    }
    let credentials = by
        .arg(1)
        .strip_prefix("Basic ")
        .and_then(|encoded| STANDARD.decode(encoded.trim()).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = credentials.as_deref().and_then(|text| text.split_once(':'));
    let Some((name, password)) = pair else {
        let text = "clients sign in at the gateway; give it an account of its own at the registry \
                    by upstream.username and upstream.password_file";
        return draft.not_translated(by, text);
    };
    draft.set(by, "upstream.username", Value::Text(name.to_owned()));
    draft.set(by, "upstream.password", Value::Text(password.to_owned()));
}

const URL: &str = "upstream.url";
/// Where Harbor hands out tokens.
const TOKENS: &str = "/service/token";
const TCP_ONLY: &str = "Tidegate reaches a registry by TCP only";
const NO_TLS: &str = "the registry is reached without TLS";
/// The default of `upstream.connections.commit_timeout_seconds`.
const COMMIT_TIMEOUT_SECONDS: u64 = 900;
