//! From directives to keys. `mod.rs` finds which directives count for the registry and hands
//! each name to its rule; the rules are in a file for each subject, and `fixed.rs` has the
//! directives that become no key whatever they say.

mod clients;
mod conditions;
mod fixed;
mod limits;
mod listener;
mod locations;
mod logs;
mod redirects;
mod restrictions;
mod upstream;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    draft::{Draft, Value},
    error::Error,
    site::Site,
    tree::Directive,
    units,
};

/// A translation under way.
#[derive(Debug)]
pub(super) struct Translation<'t> {
    pub(super) site: Site<'t>,
    /// What relative paths begin at.
    pub(super) folder: &'t Path,
    /// The registry's address, where the caller says it.
    pub(super) upstream: Option<&'t str>,
    pub(super) draft: Draft,
}

/// What becomes of the directives of one name that count, all of one level.
type Rule = for<'t> fn(&mut Translation<'t>, &[&'t Directive]);

impl<'t> Translation<'t> {
    /// Gives every directive of the configuration its verdict.
    pub(super) fn run(&mut self, top: &'t [Directive]) -> Result<(), Error> {
        upstream::address(self)?;
        listener::addresses(self)?;
        locations::servers(self);
        locations::locations(self);
        restrictions::around(self);
        for outside in top {
            if outside.is("http") {
                let text = "what counts for the site is told by itself";
                self.draft.not_needed(outside, text);
            } else if !std::ptr::eq(top, self.site.http) {
                fixed::judge(&mut self.draft, outside);
            }
        }
        for (name, directives) in self.effective() {
            match rule(name) {
                Some(rule) => rule(self, &directives),
                None => {
                    for directive in directives {
                        fixed::judge(&mut self.draft, directive);
                    }
                }
            }
        }
        Ok(())
    }

    /// The directives that count for the registry, by name: as nginx inherits them, those of the
    /// innermost level that has any. The others are told who counts instead.
    fn effective(&mut self) -> BTreeMap<&'t str, Vec<&'t Directive>> {
        let mut groups: BTreeMap<&str, Vec<&Directive>> = BTreeMap::new();
        for level in self.site.levels() {
            let mut seen = BTreeSet::new();
            for directive in level {
                let name = group(&directive.name);
                let members = groups.entry(name).or_default();
                if seen.insert(name) && !ADDS_UP.contains(&name) {
                    self.overrule(directive, std::mem::take(members));
                }
                members.push(directive);
            }
        }
        groups
    }

    /// Says of directives of an outer level that an inner one counts.
    fn overrule(&mut self, inner: &Directive, outer: Vec<&Directive>) {
        for directive in outer {
            let text = format!("{} counts for the registry", inner.place);
            self.draft.not_needed(directive, text);
        }
    }

    /// The first of this name that counts, from the innermost level out.
    fn nearest(&self, name: &str) -> Option<&'t Directive> {
        let mut levels = self.site.levels().into_iter().rev();
        levels.find_map(|level| level.iter().find(|directive| directive.is(name)))
    }

    /// A path as nginx takes it: relative ones begin where the configuration is.
    fn path(&self, text: &str) -> PathBuf {
        let path = self.folder.join(text);
        std::path::absolute(&path).unwrap_or(path)
    }

    /// Sets a key to the path the directive names.
    fn set_path(&mut self, by: &Directive, key: &'static str) {
        if by.arg(0).contains('$') {
            let text = "the path is made of variables; a fixed one is needed";
            return self.draft.not_translated(by, text);
        }
        if by.arg(0).contains(char::REPLACEMENT_CHARACTER) {
            let text = format!("the path is no UTF-8 text; name the file otherwise in {key}");
            return self.draft.not_translated(by, text);
        }
        if by.arg(0).contains(':') {
            let text = format!("only files can be used; write the path to {key}");
            return self.draft.not_translated(by, text);
        }
        let path = self.path(by.arg(0)).display().to_string();
        self.draft.set(by, key, Value::Text(path));
    }

    /// Raises a key to the directive's time in seconds.
    fn raise_seconds(&mut self, by: &Directive, key: &'static str) -> Option<u64> {
        let Some(time) = units::time(by.arg(0)) else {
            let text = format!("it is no time; write seconds to {key}");
            self.draft.not_translated(by, text);
            return None;
        };
        let seconds = units::seconds(time);
        self.draft.raise(by, key, seconds);
        Some(seconds)
    }
}

/// The rule of a name; none for what `fixed.rs` knows or nobody does.
fn rule(name: &str) -> Option<Rule> {
    Some(match name {
        "server_name" => listener::server_name,
        "ssl_certificate" => listener::certificate,
        "ssl_certificate_key" => listener::certificate_key,
        "ssl_protocols" => listener::protocols,
        "add_header" => listener::add_header,
        "set_real_ip_from" => listener::real_ip_from,
        "real_ip_header" => listener::real_ip_header,
        "proxy_pass" => upstream::passed,
        "upstream" => upstream::block,
        "proxy_connect_timeout" => upstream::connect_timeout,
        "proxy_read_timeout" | "proxy_send_timeout" => upstream::idle_timeout,
        "proxy_ssl_verify" => upstream::verify,
        "proxy_ssl_trusted_certificate" => upstream::trusted_certificate,
        "proxy_set_header" => upstream::set_header,
        "keepalive_timeout" => clients::keep_alive,
        "client_header_timeout" => clients::header_timeout,
        "client_body_timeout" | "send_timeout" => clients::body_timeout,
        "auth_basic" => clients::auth_basic,
        "auth_basic_user_file" => clients::user_file,
        "allow" => clients::access,
        "limit_req" => limits::requests,
        "limit_req_zone" | "limit_conn_zone" => limits::zone,
        "limit_conn" => limits::connections,
        "limit_rate" => limits::rate,
        "limit_rate_after" => limits::rate_after,
        "access_log" => logs::access_log,
        "log_format" => logs::format,
        "if" => conditions::conditions,
        "limit_except" => conditions::limit_except,
        "map" => conditions::map,
        "set" | "rewrite" | "return" | "break" | "try_files" => conditions::rewriting,
        _ => return None,
    })
}

/// `allow` and `deny` are one list.
fn group(name: &str) -> &str {
    match name {
        "deny" => "allow",
        name => name,
    }
}

/// Names whose directives count on every level, not only on the innermost.
const ADDS_UP: [&str; 13] = [
    "if",
    "include",
    "limit_conn_zone",
    "limit_req_zone",
    "location",
    "log_format",
    "map",
    "rewrite",
    "return",
    "server",
    "set",
    "upstream",
    "break",
];
