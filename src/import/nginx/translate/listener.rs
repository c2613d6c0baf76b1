use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{
    super::{
        draft::{Draft, Value},
        error::Error,
        listen::{self, Listen},
        site,
        tree::Directive,
    },
    Translation, redirects,
};

/// `listen` of the site and of what redirects to it, and how TLS is spoken there.
pub(super) fn addresses(translation: &mut Translation<'_>) -> Result<(), Error> {
    let server = translation.site.server;
    let listens = listen::of(server);
    let has_tls = translation.site.has_tls();
    let (main, plain): (Vec<&Listen<'_>>, Vec<&Listen<'_>>) =
        listens.iter().partition(|listen| listen.tls == has_tls);
    let usable: Vec<SocketAddr> = main.iter().filter_map(|one| one.address.ok()).collect();
    let address = match listen::joined(&usable) {
        Some(address) => address,
        // nginx's own default.
        None if listens.is_empty() => SocketAddr::from(([0, 0, 0, 0], 80)),
        None => {
            let text = format!(
                "{}: the site listens nowhere where Tidegate can, expected an address and a port",
                server.place
            );
            return Err(Error::Site(text));
        }
    };
    let value = Value::Text(address.to_string());
    translation.draft.set(server, LISTEN, value);
    for listen in main {
        take(translation, listen, address, LISTEN);
    }
    if !has_tls {
        let off = Value::Text("off".to_owned());
        translation.draft.set(server, "tls.mode", off);
    }
    for ssl in server.children("ssl") {
        let key = if has_tls { LISTEN } else { "tls.mode" };
        translation.draft.translated(ssl, key);
    }
    redirect(translation, &plain);
    Ok(())
}

/// Says of one `listen` what became of it.
pub(super) fn take(
    translation: &mut Translation<'_>,
    listen: &Listen<'_>,
    socket: SocketAddr,
    key: &'static str,
) {
    let draft = &mut translation.draft;
    match listen.address {
        Err(why) => draft.not_translated(listen.by, why),
        Ok(address) if listen::covers(socket, address) => {
            draft.translated(listen.by, key);
            if listen.proxy_protocol {
                proxy_protocol(translation, listen.by);
            }
        }
        Ok(_other) => {
            let text = format!("Tidegate listens at one address, {socket}; forward this one to it");
            draft.not_translated(listen.by, text);
        }
    }
}

/// Plain addresses beside those with TLS, and servers that only redirect: one address that
/// answers 308.
fn redirect(translation: &mut Translation<'_>, plain: &[&Listen<'_>]) {
    let servers = translation.site.redirects.clone();
    let of_others: Vec<Listen<'_>> = servers.iter().flat_map(|one| listen::of(one)).collect();
    let all = || of_others.iter().chain(plain.iter().copied());
    let usable: Vec<SocketAddr> = all().filter_map(|listen| listen.address.ok()).collect();
    let Some(address) = listen::joined(&usable) else {
        for listen in plain {
            let why = listen.address.err().unwrap_or_default();
            translation.draft.not_translated(listen.by, why);
        }
        return;
    };
    let value = Value::Text(address.to_string());
    translation.draft.put(REDIRECT, value);
    for server in servers {
        redirects::server(translation, server, address);
    }
    for listen in plain {
        take(translation, listen, address, REDIRECT);
        let text = "clients without TLS are not served there, but led to https:// by 308";
        translation.draft.note(listen.by, text);
    }
}

/// The balancers that speak the PROXY protocol, where they are known.
fn proxy_protocol(translation: &mut Translation<'_>, listen: &Directive) {
    let balancers = real_ip_networks(translation, "proxy_protocol");
    if balancers.is_empty() {
        let text = "write the networks of the balancers, which speak the PROXY protocol, to \
                    server.proxy_protocol_from, or their connections are refused";
        translation.draft.leave(listen, text);
        return;
    }
    for network in balancers {
        let draft = &mut translation.draft;
        draft.add(listen, "server.proxy_protocol_from", network);
    }
}

/// Whether a proxy in front is believed that tells by `X-Forwarded-For` who the client is.
pub(super) fn trusts_a_proxy(translation: &Translation<'_>) -> bool {
    let networks = real_ip_networks(translation, "X-Forwarded-For");
    networks.iter().any(|network| !is_everybody(network))
}

/// What `set_real_ip_from` says, if it is about this header.
fn real_ip_networks(translation: &Translation<'_>, header: &str) -> Vec<String> {
    let levels = translation.site.levels().into_iter().rev();
    let networks = levels
        .map(|level| level.iter().filter(|one| one.is("set_real_ip_from")))
        .map(|given| given.filter_map(|one| network(one.arg(0))).collect())
        .find(|networks: &Vec<String>| !networks.is_empty());
    match translation.nearest("real_ip_header") {
        Some(by) if by.arg(0).eq_ignore_ascii_case(header) => networks.unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// `server_name`: the first that is a name becomes the gateway's URL.
pub(super) fn server_name<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    let server = translation.site.server;
    let is_name = |name: &&str| {
        !name.is_empty()
            && *name != "_"
            && !name.starts_with('~')
            && !name.contains(['*', '$'])
            && !name.starts_with('.')
    };
    let name = site::names(server).find(is_name);
    let scheme = public_scheme(translation);
    for by in given {
        let (Some(name), Ok(scheme)) = (name, &scheme) else {
            let why = match &scheme {
                Err(why) if name.is_some() => why,
                _ => "there is no fixed name; the gateway's URL is what each request says",
            };
            translation.draft.not_needed(by, why);
            continue;
        };
        let url = format!("{scheme}://{name}{}", port(translation, scheme));
        let draft = &mut translation.draft;
        draft.set(by, "server.external_url", Value::Text(url));
        if site::names(server).count() > 1 {
            let text = "one name is the gateway's; it answers by the others, too";
            draft.note(by, text);
        }
    }
}

/// How clients speak to the site, as far as the configuration says it.
fn public_scheme(translation: &Translation<'_>) -> Result<&'static str, &'static str> {
    if translation.site.has_tls() {
        return Ok("https");
    }
    let told = translation.site.levels().into_iter().flatten().find(|one| {
        one.is("proxy_set_header") && one.arg(0).eq_ignore_ascii_case("X-Forwarded-Proto")
    });
    match told.map(|header| header.arg(1)) {
        Some("https") => Ok("https"),
        Some("http" | "$scheme") | None => Ok("http"),
        Some(_) => Err(
            "whether clients speak https, only the proxy in front knows; it tells by \
                        X-Forwarded-Proto",
        ),
    }
}

/// `:port`, unless it is the scheme's own. Where another terminates TLS, its port is unknown.
fn port(translation: &Translation<'_>, scheme: &str) -> String {
    let listen = match translation.draft.value(LISTEN) {
        Some(Value::Text(text)) => text.parse::<SocketAddr>().ok(),
        _ => None,
    };
    let own = match (scheme, translation.site.has_tls()) {
        ("https", false) => return String::new(),
        ("https", true) => 443,
        _ => 80,
    };
    listen
        .map(|address| address.port())
        .filter(|port| *port != own)
        .map_or(String::new(), |port| format!(":{port}"))
}

pub(super) fn certificate<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    first_path(translation, given, "tls.cert");
}

pub(super) fn certificate_key<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    first_path(translation, given, "tls.key");
}

fn first_path<'t>(translation: &mut Translation<'t>, given: &[&'t Directive], key: &'static str) {
    for (index, by) in given.iter().enumerate() {
        if !translation.site.has_tls() {
            translation.draft.not_needed(by, "the site has no TLS");
        } else if index > 0 {
            let text = "one certificate is shown; the first is taken";
            translation.draft.not_translated(by, text);
        } else {
            translation.set_path(by, key);
        }
    }
}

/// `ssl_protocols`: TLS 1.2 and 1.3 are spoken unless it says 1.3 only.
pub(super) fn protocols<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    let is_old = |arg: &String| matches!(arg.as_str(), "TLSv1" | "TLSv1.1" | "SSLv2" | "SSLv3");
    for by in given {
        let draft = &mut translation.draft;
        if by.args == ["TLSv1.3"] {
            draft.set(by, "tls.min_version", Value::Text("1.3".to_owned()));
        } else if by.args.iter().any(is_old) {
            let text =
                "TLS 1.2 and 1.3 are spoken; older ones are broken, and no client needs them";
            draft.not_needed(by, text);
        } else {
            draft.not_needed(by, "TLS 1.2 and 1.3 are spoken");
        }
    }
}

/// `add_header`: those with fixed values, unless Tidegate sends them itself.
pub(super) fn add_header<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        let (name, value) = (by.arg(0), by.arg(1));
        let draft = &mut translation.draft;
        let is_header = http::HeaderName::try_from(name).is_ok()
            && http::HeaderValue::try_from(value).is_ok()
            && !value.is_empty();
        match name.to_ascii_lowercase().as_str() {
            "docker-distribution-api-version" | "x-request-id" => {
                draft.not_needed(by, "it is always sent");
            }
            "connection" | "content-length" | "te" | "trailer" | "transfer-encoding"
            | "upgrade" => draft.not_translated(by, "how a body is framed is not for a file"),
            _ if is_header && !value.contains(['$', char::REPLACEMENT_CHARACTER]) => {
                let line = format!("{name}: {value}");
                draft.add(by, "server.response_headers", line);
            }
            _ => draft.not_translated(by, "only headers with fixed values can be added"),
        }
    }
}

/// `set_real_ip_from`: who is believed about whom it speaks for. Who sets another header than
/// `X-Forwarded-For` may pass that one on as a client has written it.
pub(super) fn real_ip_from<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    let is_recursive = translation
        .nearest("real_ip_recursive")
        .is_some_and(|by| by.arg(0) == "on");
    let header = translation.nearest("real_ip_header");
    let header = header.map_or("X-Real-IP", |header| header.arg(0));
    let key = match header.to_ascii_lowercase().as_str() {
        "x-forwarded-for" => Some(TRUSTED),
        "proxy_protocol" => Some("server.proxy_protocol_from"),
        _ => None,
    };
    for by in given {
        let draft = &mut translation.draft;
        match (key, network(by.arg(0))) {
            (Some(TRUSTED), Some(network)) if is_everybody(&network) => {
                let text = format!(
                    "everybody could write who he is; write the proxy's own address to {TRUSTED}"
                );
                draft.not_translated(by, text);
            }
            (Some(key), Some(network)) => {
                draft.add(by, key, network);
                if key == TRUSTED && !is_recursive {
                    passes_over(draft, by);
                }
            }
            (Some(key), None) => {
                let text = format!("it is neither an address nor a network; write one to {key}");
                draft.not_translated(by, text);
            }
            (None, _) => {
                let text = format!(
                    "{header} is not believed; let the proxy set X-Forwarded-For, and name its \
                     network in server.trusted_proxies"
                );
                draft.not_translated(by, text);
            }
        }
    }
}

/// Says how `real_ip_recursive off` differs from what Tidegate does.
fn passes_over(draft: &mut Draft, by: &Directive) {
    let is_several = |net: IpNet| net.prefix_len() < net.max_prefix_len();
    if by.arg(0).parse().is_ok_and(is_several) {
        let text = "nginx takes the last address of X-Forwarded-For, Tidegate the last that is not \
                    in server.trusted_proxies: name the proxies' own addresses there, no network \
                    that clients are in";
        draft.leave(by, text);
    } else {
        let text = "the client is the last address of X-Forwarded-For that is not in \
                    server.trusted_proxies";
        draft.note(by, text);
    }
}

fn is_everybody(network: &str) -> bool {
    network
        .parse::<IpNet>()
        .is_ok_and(|net| net.prefix_len() == 0)
}

pub(super) fn real_ip_header<'t>(translation: &mut Translation<'t>, given: &[&'t Directive]) {
    for by in given {
        let draft = &mut translation.draft;
        match by.arg(0).to_ascii_lowercase().as_str() {
            "x-forwarded-for" => {
                draft.not_needed(by, "X-Forwarded-For of server.trusted_proxies is believed");
            }
            "proxy_protocol" => {
                draft.not_needed(
                    by,
                    "the address that the PROXY protocol tells is the client's",
                );
            }
            _ => draft.not_translated(
                by,
                "only X-Forwarded-For is believed; let the proxy in front send it",
            ),
        }
    }
}

/// The text, if it is an address or a network.
pub(super) fn network(text: &str) -> Option<String> {
    let is_one = text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok();
    is_one.then(|| text.to_owned())
}

const LISTEN: &str = "server.listen";
const TRUSTED: &str = "server.trusted_proxies";
pub(super) const REDIRECT: &str = "server.redirect_listen";
