use std::fmt::Write;

use super::{
    error::Error,
    listen,
    route::{self, Proxied, Route},
    tree::Directive,
};

/// The site that is imported, found in a whole configuration.
#[derive(Debug)]
pub(super) struct Site<'t> {
    /// What stands in `http`, or in the file itself where it is only a part of one.
    pub(super) http: &'t [Directive],
    pub(super) server: &'t Directive,
    /// The way of a manifest's request.
    pub(super) route: Proxied<'t>,
    /// Other servers that lead there with a redirect, at plain HTTP.
    pub(super) redirects: Vec<&'t Directive>,
}

impl<'t> Site<'t> {
    /// The server that passes `/v2/` on: the one that is named, or else the one that looks like
    /// a registry's.
    pub(super) fn find(top: &'t [Directive], name: Option<&str>) -> Result<Self, Error> {
        let inside = top.iter().find(|directive| directive.is("http"));
        let http = inside.map_or(top, Directive::inner);
        let servers: Vec<&Directive> = http.iter().filter(|one| one.is("server")).collect();
        let named: Vec<&Directive> = servers
            .iter()
            .copied()
            .filter(|server| name.is_none_or(|name| has_name(server, name)))
            .collect();
        if let (Some(name), true) = (name, named.is_empty()) {
            let text = format!(
                "no server has the name {name}; there are: {}",
                list(&servers)
            );
            return Err(Error::Site(text));
        }
        let (server, route) =
            choose(&named, name.is_some())?.ok_or_else(|| nothing(top, &named))?;
        let redirects = servers
            .into_iter()
            .filter(|other| !std::ptr::eq(*other, server) && leads_to(other, server))
            .collect();
        Ok(Self {
            http,
            server,
            route,
            redirects,
        })
    }

    /// Where directives may stand that count for the manifest's request, outermost first.
    pub(super) fn levels(&self) -> Vec<&'t [Directive]> {
        let mut levels = vec![self.http, self.server.inner()];
        levels.extend(self.route.locations.iter().map(|one| one.inner()));
        levels
    }

    pub(super) fn has_tls(&self) -> bool {
        has_tls(self.server)
    }

    /// The way of another request to the registry.
    pub(super) fn follow(&self, path: &str) -> Route<'t> {
        route::follow(self.server, path, scheme(self.server))
    }
}

/// A server, and the way of a manifest's request through it.
type Candidate<'t> = (&'t Directive, Proxied<'t>);

/// None where no server passes requests on.
fn choose<'t>(servers: &[&'t Directive], is_named: bool) -> Result<Option<Candidate<'t>>, Error> {
    let mut candidates: Vec<Candidate<'t>> = servers
        .iter()
        .filter_map(
            |server| match route::follow(server, SAMPLE, scheme(server)) {
                Route::Proxied(proxied) => Some((*server, proxied)),
                Route::Redirected { .. } | Route::Answered => None,
            },
        )
        .collect();
    let narrower: [fn(&Candidate<'_>) -> bool; 2] =
        [speaks_of_the_registry, |(server, _)| has_tls(server)];
    for is_it in narrower {
        if candidates.iter().any(is_it) {
            candidates.retain(is_it);
        }
    }
    if candidates.len() > 1 && !is_named {
        let all: Vec<&Directive> = candidates.iter().map(|(server, _)| *server).collect();
        return Err(Error::Site(format!(
            "several servers pass /v2/ on: {}; choose one by --server-name NAME",
            list(&all)
        )));
    }
    Ok(candidates.into_iter().next())
}

/// Why no server was found, with the includes that may have had it.
fn nothing(top: &[Directive], servers: &[&Directive]) -> Error {
    let mut text = format!(
        "no server passes /v2/ on, expected one with a location for it and proxy_pass; there are: \
         {}",
        list(servers)
    );
    let mut empty = Vec::new();
    empty_includes(top, &mut empty);
    for (index, include) in empty.iter().enumerate() {
        let separator = if index == 0 {
            "; no file matches "
        } else {
            ", "
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{include} ({})", include.place);
    }
    Error::Site(text)
}

fn empty_includes<'t>(level: &'t [Directive], found: &mut Vec<&'t Directive>) {
    for directive in level {
        if directive.matches_no_file {
            found.push(directive);
        }
        empty_includes(directive.inner(), found);
    }
}

/// `name (file:line)` of each.
fn list(servers: &[&Directive]) -> String {
    let mut text = String::new();
    for server in servers {
        let name = names(server).next().unwrap_or("without a name");
        let separator = if text.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{name} ({})", server.place);
    }
    if text.is_empty() {
        text.push_str("none");
    }
    text
}

/// What is in `server_name`.
pub(super) fn names(server: &Directive) -> impl Iterator<Item = &str> {
    server
        .children("server_name")
        .flat_map(|names| names.args.iter().map(String::as_str))
}

fn has_name(server: &Directive, name: &str) -> bool {
    names(server).any(|own| own.eq_ignore_ascii_case(name))
}

fn has_tls(server: &Directive) -> bool {
    listen::of(server).iter().any(|listen| listen.tls)
}

fn scheme(server: &Directive) -> &'static str {
    if has_tls(server) { "https" } else { "http" }
}

/// Whether anything in it is only said about a registry: where requests to `/v2/` go, or the
/// registry's own header.
fn speaks_of_the_registry((server, route): &Candidate<'_>) -> bool {
    let header = "docker-distribution-api-version";
    let is_about = |directive: &Directive| match directive.name.as_str() {
        "location" | "rewrite" | "if" => directive.args.iter().any(|arg| begins_with_v2(arg)),
        "server_name" => false,
        _ => directive
            .args
            .iter()
            .any(|arg| arg.eq_ignore_ascii_case(header)),
    };
    let (_, path) = route::split(route.by.arg(0));
    let mut passed = path.into_iter().flat_map(|path| path.split('/'));
    server.any(&is_about) || passed.any(|part| part == "v2")
}

/// Whether a path, or a pattern of one, begins with `/v2`; also `^/(v1|v2)/`.
fn begins_with_v2(text: &str) -> bool {
    let path = text.trim_start_matches(['^', '(', '~', '*', '=', '\\']);
    let Some(path) = path.strip_prefix('/') else {
        return false;
    };
    let first = path.split('/').next().unwrap_or_default();
    let mut words = first.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| word == "v2")
}

/// Whether a server at plain HTTP sends clients of the other to https.
fn leads_to(server: &Directive, chosen: &Directive) -> bool {
    if has_tls(server) || !has_tls(chosen) {
        return false;
    }
    let goes = match route::follow(server, SAMPLE, "http") {
        Route::Redirected { to } => to.starts_with("https://"),
        // Certbot's: `if ($host = name) { return 301 https://…; }` before `return 404`.
        Route::Answered => server.children("if").any(|condition| {
            let returns = condition.children("return").next();
            condition.arg(0).contains("$host")
                && returns.is_some_and(|by| by.arg(1).starts_with("https://"))
        }),
        Route::Proxied(_) => false,
    };
    let is_for_all = names(server).all(|name| matches!(name, "_" | ""))
        || server
            .children("listen")
            .any(|listen| listen.args.iter().any(|arg| arg == "default_server"));
    goes && (is_for_all || names(server).any(|name| has_name(chosen, name)))
}

/// What a client asks for when it pulls.
pub(super) const SAMPLE: &str = "/v2/project/app/manifests/latest";
