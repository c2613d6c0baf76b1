use regex_lite::Captures;

use super::{
    location::{self, Kind},
    tree::Directive,
    variables::Variables,
};

/// Where a request goes that reaches a `server`.
#[derive(Debug)]
pub(super) enum Route<'t> {
    Proxied(Proxied<'t>),
    /// To another URL: by `return` or by `rewrite`.
    Redirected {
        to: String,
    },
    /// Answered by nginx itself.
    Answered,
}

/// A request that is passed on.
#[derive(Debug)]
pub(super) struct Proxied<'t> {
    /// The locations that pass it on, outermost first.
    pub(super) locations: Vec<&'t Directive>,
    /// Locations that it came to before and that have changed its path.
    pub(super) before: Vec<&'t Directive>,
    /// `proxy_pass`.
    pub(super) by: &'t Directive,
    /// The whole URL, or the variable whose value only a request has.
    pub(super) url: Result<String, String>,
    /// The request's path when it came there.
    path: String,
    /// Directives that changed the path, and those that set variables.
    pub(super) steps: Vec<&'t Directive>,
}

impl Proxied<'_> {
    /// Whether a request for `asked` is sent on for another name, as far as that is known.
    pub(super) fn renames(&self, asked: &str) -> bool {
        let sent = self.url.as_deref().unwrap_or(&self.path);
        !sent.ends_with(asked)
    }
}

/// Follows a GET of `path` through a server; conditions (`if`) are taken as not met.
pub(super) fn follow<'t>(server: &'t Directive, path: &str, scheme: &str) -> Route<'t> {
    let mut walk = Walk::new(path, scheme);
    if let Some(route) = walk.rewrite(server.inner()) {
        return route;
    }
    for _round in 0..MAX_ROUNDS {
        let mut locations = location::find(server.inner(), &walk.path);
        walk.moved = false;
        walk.stays = false;
        for location in &locations {
            walk.capture(location);
        }
        let level = locations.last().map_or(server.inner(), |last| last.inner());
        if !locations.is_empty() {
            if let Some(route) = walk.rewrite(level) {
                return route;
            }
            if walk.moved && !walk.stays {
                walk.before.extend(locations);
                continue;
            }
        }
        let fallback = level.iter().find(|directive| directive.is("try_files"));
        let named = fallback.and_then(|files| {
            location::named(server.inner(), files.args.last().map_or("", String::as_str))
        });
        if let Some(named) = named {
            locations = vec![named];
            walk.steps.extend(fallback);
            if let Some(route) = walk.rewrite(named.inner()) {
                return route;
            }
        }
        return walk.pass(locations);
    }
    Route::Answered
}

struct Walk<'t> {
    path: String,
    variables: Variables,
    /// Whether the location has changed the path, and whether it keeps the request all the same.
    moved: bool,
    stays: bool,
    before: Vec<&'t Directive>,
    steps: Vec<&'t Directive>,
}

impl<'t> Walk<'t> {
    fn new(path: &str, scheme: &str) -> Self {
        let mut variables = Variables::default();
        variables.set("request_uri", path.to_owned());
        variables.set("scheme", scheme.to_owned());
        for empty in ["args", "is_args", "query_string"] {
            variables.set(empty, String::new());
        }
        let mut walk = Self {
            path: String::new(),
            variables,
            moved: false,
            stays: false,
            before: Vec::new(),
            steps: Vec::new(),
        };
        walk.go(path.to_owned());
        walk
    }

    fn go(&mut self, path: String) {
        for name in ["uri", "document_uri"] {
            self.variables.set(name, path.clone());
        }
        self.path = path;
    }

    /// Sets `$1` and so on by what a location's regular expression has matched.
    fn capture(&mut self, location: &Directive) {
        if Kind::of(location) != Kind::Regex {
            return;
        }
        let Some(regex) = location::regex(location) else {
            return;
        };
        let path = self.path.clone();
        if let Some(captures) = regex.captures(&path) {
            self.keep(&captures);
        }
    }

    fn keep(&mut self, captures: &Captures<'_>) {
        for (index, group) in captures.iter().enumerate() {
            let text = group.map_or("", |group| group.as_str());
            self.variables.set(&index.to_string(), text.to_owned());
        }
    }

    /// The rewrite module's directives of one level, in order; an answer ends the request.
    fn rewrite(&mut self, level: &'t [Directive]) -> Option<Route<'t>> {
        for directive in level {
            match directive.name.as_str() {
                "set" => self.set(directive),
                "return" => return Some(answer(directive)),
                "break" => {
                    self.stays = true;
                    return None;
                }
                "rewrite" => match self.rewrite_by(directive) {
                    Step::On => {}
                    Step::Ends => return None,
                    Step::Leaves(route) => return Some(route),
                },
                _ => {}
            }
        }
        None
    }

    fn set(&mut self, set: &'t Directive) {
        let name = set.arg(0).trim_start_matches('$');
        match self.variables.expand(set.arg(1)) {
            Ok(value) => self.variables.set(name, value),
            Err(_unknown) => self.variables.forget(name),
        }
        self.steps.push(set);
    }

    fn rewrite_by(&mut self, by: &'t Directive) -> Step<'t> {
        let Some(regex) = location::compile(by.arg(0), false) else {
            return Step::On;
        };
        let path = self.path.clone();
        let Some(captures) = regex.captures(&path) else {
            return Step::On;
        };
        let (to, flag) = (by.arg(1), by.arg(2));
        let leaves = ["http://", "https://", "$scheme"]
            .iter()
            .any(|beginning| to.starts_with(beginning));
        if leaves || matches!(flag, "redirect" | "permanent") {
            let to = to.to_owned();
            return Step::Leaves(Route::Redirected { to });
        }
        self.keep(&captures);
        self.steps.push(by);
        let Ok(to) = self.variables.expand(to) else {
            // Nobody knows where it goes.
            return Step::Leaves(Route::Answered);
        };
        self.go(to.split('?').next().unwrap_or_default().to_owned());
        self.moved = true;
        match flag {
            "break" => {
                self.stays = true;
                Step::Ends
            }
            "last" => Step::Ends,
            _ => Step::On,
        }
    }

    fn pass(self, locations: Vec<&'t Directive>) -> Route<'t> {
        let innermost = locations.last();
        let by = innermost.and_then(|last| last.children("proxy_pass").next());
        let Some(by) = by else {
            return Route::Answered;
        };
        let url = self.variables.expand(by.arg(0)).map(|to| {
            let (server, path) = split(&to);
            let is_computed = by.arg(0).contains('$');
            let path = match (path, innermost) {
                (Some(path), _) if is_computed => path.to_owned(),
                (Some(path), Some(last)) if !self.stays && Kind::of(last) != Kind::Regex => {
                    let kept = self.path.get(location::text(last).len()..);
                    format!("{path}{}", kept.unwrap_or_default())
                }
                _ => self.path.clone(),
            };
            format!("{server}{path}")
        });
        Route::Proxied(Proxied {
            locations,
            before: self.before,
            by,
            url,
            path: self.path,
            steps: self.steps,
        })
    }
}

/// Where `return` sends the client.
fn answer(by: &Directive) -> Route<'_> {
    let (code, url) = match by.args.as_slice() {
        [code, url, ..] => (code.as_str(), url.as_str()),
        [url] if url.contains("://") => ("302", url.as_str()),
        _ => return Route::Answered,
    };
    if !matches!(code, "301" | "302" | "303" | "307" | "308") {
        return Route::Answered;
    }
    let to = url.to_owned();
    Route::Redirected { to }
}

enum Step<'t> {
    On,
    Ends,
    Leaves(Route<'t>),
}

/// `scheme://host`, and the path where the URL has one.
pub(super) fn split(url: &str) -> (&str, Option<&str>) {
    let begin = url.find("://").map_or(0, |at| at + 3);
    match url[begin..].find('/') {
        Some(slash) => (&url[..begin + slash], Some(&url[begin + slash..])),
        None => (url, None),
    }
}

/// nginx's own limit of internal redirections (`NGX_HTTP_MAX_URI_CHANGES`).
const MAX_ROUNDS: usize = 10;
