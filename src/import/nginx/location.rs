use regex_lite::{Regex, RegexBuilder};

use super::tree::Directive;

/// The locations that serve a path, outermost first; empty where only the server itself does.
///
/// nginx's order (`ngx_http_core_find_location`): an exact one; else the longest prefix, then
/// what is nested in it; unless that was `^~`, the first regular expression that matches.
/// A regular expression that is not understood matches nothing.
pub(super) fn find<'t>(level: &'t [Directive], path: &str) -> Vec<&'t Directive> {
    search(level, path).chain
}

/// The named location `@name`.
pub(super) fn named<'t>(level: &'t [Directive], name: &str) -> Option<&'t Directive> {
    locations(level).find(|location| location.args == [name])
}

struct Found<'t> {
    chain: Vec<&'t Directive>,
    /// Whether no regular expression around it is asked any more.
    settled: bool,
}

fn search<'t>(level: &'t [Directive], path: &str) -> Found<'t> {
    let of_kind = |kind: Kind| locations(level).filter(move |location| Kind::of(location) == kind);
    if let Some(exact) = of_kind(Kind::Exact).find(|location| text(location) == path) {
        return Found {
            chain: vec![exact],
            settled: true,
        };
    }
    let prefix = of_kind(Kind::Prefix)
        .filter(|location| path.starts_with(text(location)))
        .max_by_key(|location| text(location).len());
    let mut chain = Vec::new();
    if let Some(prefix) = prefix {
        let inner = search(prefix.inner(), path);
        chain = vec![prefix];
        chain.extend(inner.chain);
        if inner.settled || prefix.arg(0) == "^~" {
            return Found {
                chain,
                settled: inner.settled,
            };
        }
    }
    let regex = of_kind(Kind::Regex)
        .find(|location| regex(location).is_some_and(|regex| regex.is_match(path)));
    let Some(regex) = regex else {
        return Found {
            chain,
            settled: false,
        };
    };
    chain = vec![regex];
    chain.extend(search(regex.inner(), path).chain);
    Found {
        chain,
        settled: true,
    }
}

fn locations(level: &[Directive]) -> impl Iterator<Item = &Directive> {
    level.iter().filter(|directive| directive.is("location"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Exact,
    /// Also `^~`.
    Prefix,
    Regex,
    /// `@name`
    Named,
}

impl Kind {
    pub(super) fn of(location: &Directive) -> Self {
        let first = location.arg(0);
        match first {
            "=" => Self::Exact,
            "~" | "~*" => Self::Regex,
            "^~" => Self::Prefix,
            _ if first.starts_with('@') => Self::Named,
            // Modifiers may touch their text.
            _ if first.starts_with('=') => Self::Exact,
            _ if first.starts_with('~') => Self::Regex,
            _ => Self::Prefix,
        }
    }
}

/// What is compared with the path.
pub(super) fn text(location: &Directive) -> &str {
    match location.args.as_slice() {
        [_modifier, text, ..] => text,
        [text] => text.trim_start_matches(['=', '^', '~', '*']),
        [] => "",
    }
}

pub(super) fn regex(location: &Directive) -> Option<Regex> {
    let modifier = location.arg(0);
    compile(text(location), modifier.starts_with("~*"))
}

/// A PCRE pattern, as far as it has no look-around and no back references.
pub(super) fn compile(pattern: &str, ignores_case: bool) -> Option<Regex> {
    // What only escapes a slash, regex-lite does not know.
    let pattern = pattern.replace("\\/", "/");
    RegexBuilder::new(&pattern)
        .case_insensitive(ignores_case)
        .build()
        .ok()
}
