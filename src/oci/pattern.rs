use std::fmt;

use serde::{Deserialize, Serialize};

/// A doublestar glob: `*` stays within a path component, `**` does not, `?` is one character,
/// `[a-z]` and `[^a]` are classes, `{a,b}` alternatives, `\` takes the next character as it is.
/// Alternatives may stand in 10 places and mean a thousand texts together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Box<str>);

/// Whether what a pattern matches is taken or left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decoration {
    #[default]
    Matches,
    Excludes,
}

impl Decoration {
    pub fn accepts(self, pattern: &Pattern, text: &str) -> bool {
        pattern.matches(text) == (self == Self::Matches)
    }
}

/// What a rule selects: what the pattern matches, or all else (Harbor's selectors of the kind
/// `doublestar`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawSelector", into = "RawSelector")]
pub struct Selector {
    pub decoration: Decoration,
    pub pattern: Pattern,
}

#[derive(Serialize, Deserialize)]
struct RawSelector {
    excludes: bool,
    pattern: String,
}

impl TryFrom<RawSelector> for Selector {
    type Error = InvalidPattern;

    fn try_from(raw: RawSelector) -> Result<Self, Self::Error> {
        Ok(Self {
            decoration: if raw.excludes {
                Decoration::Excludes
            } else {
                Decoration::Matches
            },
            pattern: Pattern::parse(&raw.pattern)?,
        })
    }
}

impl From<Selector> for RawSelector {
    fn from(selector: Selector) -> Self {
        Self {
            excludes: selector.decoration == Decoration::Excludes,
            pattern: selector.pattern.to_string(),
        }
    }
}

impl Selector {
    /// Harbor's words for what matches and for what does not, of repositories and of tags.
    pub const REPOSITORY_WORDS: [&'static str; 2] = ["repoMatches", "repoExcludes"];
    pub const TAG_WORDS: [&'static str; 2] = ["matches", "excludes"];

    /// Harbor's kind of selectors that have globs.
    pub const KIND: &'static str = "doublestar";

    /// Reads a selector in the `words` for its decorations. The error says what is wrong.
    pub fn parse(
        kind: &str,
        decoration: &str,
        pattern: &str,
        [matches, excludes]: [&str; 2],
    ) -> Result<Self, String> {
        if kind != Self::KIND {
            return Err(format!(
                "the kind of a selector must be `{}`, not `{kind}`",
                Self::KIND
            ));
        }
        let decoration = match decoration {
            word if word == matches => Decoration::Matches,
            word if word == excludes => Decoration::Excludes,
            other => {
                return Err(format!(
                    "the decoration must be `{matches}` or `{excludes}`, not `{other}`"
                ));
            }
        };
        let pattern = Pattern::parse(pattern).map_err(|error| error.to_string())?;
        Ok(Self {
            decoration,
            pattern,
        })
    }

    pub fn accepts(&self, text: &str) -> bool {
        self.decoration.accepts(&self.pattern, text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern `{pattern}` {problem}")]
pub struct InvalidPattern {
    pattern: String,
    problem: &'static str,
}

impl Pattern {
    pub const MAX_BYTES: usize = 1024;

    /// The matcher accepts whatever it is given, so what is malformed is refused here.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        match problem_of(text) {
            None => Ok(Self(text.into())),
            Some(problem) => Err(InvalidPattern {
                pattern: text.chars().take(160).collect(),
                problem,
            }),
        }
    }

    /// The empty pattern matches everything, as in Harbor.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_empty() || fast_glob::glob_match(&*self.0, text)
    }

    /// The text, if it matches nothing but itself.
    pub fn literal(&self) -> Option<&str> {
        is_plain(&self.0).then_some(&*self.0)
    }

    /// With what component everything begins that it matches, if it says so: `a` of `a/**`.
    pub fn first_component(&self) -> Option<&str> {
        let first = self.0.split('/').next()?;
        is_plain(first).then_some(first)
    }

    /// A text that the pattern matches, for all but odd ones: wildcards become an `x`, classes
    /// and alternatives their first.
    pub fn example(&self) -> String {
        let mut example = String::new();
        let mut characters = self.0.chars().peekable();
        // Within alternatives after the first.
        let mut passed_over = 0_u32;
        let mut depth = 0_u32;
        while let Some(character) = characters.next() {
            match character {
                '{' if passed_over == 0 => depth += 1,
                '{' => passed_over += 1,
                ',' if depth > 0 && passed_over == 0 => passed_over = 1,
                '}' if passed_over > 1 => passed_over -= 1,
                '}' => (passed_over, depth) = (0, depth.saturating_sub(1)),
                _ if passed_over > 0 => {}
                '*' => {
                    while characters.next_if_eq(&'*').is_some() {}
                    example.push('x');
                }
                '?' => example.push('x'),
                '[' => {
                    let class: String = characters.by_ref().take_while(|c| *c != ']').collect();
                    let first = class.chars().next().filter(char::is_ascii_alphanumeric);
                    example.push(first.unwrap_or('x'));
                }
                '\\' => example.extend(characters.next()),
                plain => example.push(plain),
            }
        }
        example
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the text is there and without anything that means something else than itself.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(['*', '?', '[', '{', '\\'])
}

fn problem_of(text: &str) -> Option<&'static str> {
    if text.len() > Pattern::MAX_BYTES {
        return Some("is longer than 1024 bytes");
    }
    if text.starts_with('!') {
        return Some("begins with `!`, which would select everything else; use `excludes`");
    }
    if !text.is_ascii() {
        return Some("has characters that no repository name or tag can have");
    }
    let mut characters = text.chars();
    let mut groups = 0_usize;
    let mut ways = Ways::default();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.next().is_none() => return Some("ends with a lone `\\`"),
            '[' => {
                if let Some(problem) = class_problem(&mut characters) {
                    return Some(problem);
                }
            }
            '{' => {
                groups += 1;
                ways.open();
            }
            ',' => ways.next(),
            '}' if ways.outer.is_empty() => return Some("closes a `}` that was not opened"),
            '}' => ways.close(),
            _ => {}
        }
    }
    if !ways.outer.is_empty() {
        return Some("does not close its `{`");
    }
    if groups > MAX_GROUPS {
        return Some("has alternatives in more than 10 places");
    }
    (ways.here > MAX_WAYS).then_some("means more than 1000 texts with its alternatives")
}

/// Counts the texts that alternatives mean together: the matcher tries them one by one.
struct Ways {
    /// Of the text up to here, from where the alternative begins.
    here: u32,
    /// Of the alternatives before this one.
    before: u32,
    /// The same of the groups around this one, the outermost first.
    outer: Vec<(u32, u32)>,
}

impl Default for Ways {
    fn default() -> Self {
        Self {
            here: 1,
            before: 0,
            outer: Vec::new(),
        }
    }
}

impl Ways {
    fn open(&mut self) {
        self.outer.push((self.here, self.before));
        (self.here, self.before) = (1, 0);
    }

    /// A comma, which is only one where alternatives are.
    fn next(&mut self) {
        if !self.outer.is_empty() {
            self.before = self.before.saturating_add(self.here);
            self.here = 1;
        }
    }

    fn close(&mut self) {
        let group = self.before.saturating_add(self.here);
        if let Some((here, before)) = self.outer.pop() {
            (self.here, self.before) = (here.saturating_mul(group), before);
        }
    }
}

/// The matcher's own limit, beyond which it matches nothing.
const MAX_GROUPS: usize = 10;
/// Rules are asked for each of thousands of tags. In the slow build of `tests/fuzz` this many take
/// some milliseconds, ten places of three half a second, and ten of thirty would take for ever.
const MAX_WAYS: u32 = 1000;

/// Reads a class after its `[`.
fn class_problem(characters: &mut std::str::Chars<'_>) -> Option<&'static str> {
    let rest = characters.as_str();
    let negation = usize::from(rest.starts_with(['^', '!']));
    if rest[negation..].starts_with(']') {
        return Some("has an empty class `[]`");
    }
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.next().is_none() => break,
            ']' => return None,
            _ => {}
        }
    }
    Some("does not close its `[`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_harbor_documents() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("", &["library/hello-world", "x"], &[]),
            (
                "library/hello-world",
                &["library/hello-world"],
                &["library/hello", "a/library/hello-world"],
            ),
            (
                "library/*",
                &["library/hello-world"],
                &["library/my/hello-world", "library"],
            ),
            (
                "library/**",
                &["library/hello-world", "library/my/hello-world"],
                &["goharbor/core"],
            ),
            ("**", &["library/hello-world", "a/b/c/d", "v1"], &[]),
            (
                "{library,goharbor}/**",
                &["library/hello-world", "goharbor/core"],
                &["google/hello-world"],
            ),
            ("**/app", &["a/app", "a/b/app"], &["a/apps"]),
            ("1.?", &["1.0", "1.9"], &["1.01", "1."]),
            ("v1.*", &["v1.0", "v1.0-rc"], &["v2.0"]),
            ("[0-9]*", &["1", "10-alpine"], &["latest"]),
            ("[^l]*", &["main"], &["latest"]),
            ("{v*,release-*}", &["v1", "release-2"], &["dev"]),
        ];
        for (pattern, matching, other) in cases {
            let compiled = Pattern::parse(pattern).unwrap();
            for text in *matching {
                assert!(compiled.matches(text), "`{pattern}` should match `{text}`");
            }
            for text in *other {
                assert!(
                    !compiled.matches(text),
                    "`{pattern}` should not match `{text}`"
                );
            }
        }
    }

    #[test]
    fn the_first_component_is_known_where_it_is_written_out() {
        for (pattern, first) in [
            ("a/**", Some("a")),
            ("a", Some("a")),
            ("a/{b,c}", Some("a")),
            ("", None),
            ("**/a", None),
            ("a*/b", None),
            ("{a/b,c/d}", None),
            ("[a]/b", None),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            assert_eq!(pattern.first_component(), first, "{pattern}");
        }
    }

    #[test]
    fn malformed_patterns_are_refused_with_a_reason() {
        for (pattern, reason) in [
            ("!library/**", "use `excludes`"),
            ("a[", "close its `[`"),
            ("a[b", "close its `[`"),
            ("a[]", "empty class"),
            ("a[^]", "empty class"),
            ("{a,b", "close its `{`"),
            ("a}", "not opened"),
            ("a\\", "lone"),
            ("ä", "characters"),
            (&"a".repeat(1025), "longer"),
            (&"{a}".repeat(11), "10 places"),
            (&"{,a,**}".repeat(10), "1000 texts"),
            (&format!("{{{},x}}", "{a,b,c}".repeat(7)), "1000 texts"),
        ] {
            let error = Pattern::parse(pattern).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        for fine in [
            "a\\[",
            "[\\]]",
            "{a,{b,c}}",
            "[!a]",
            "a\\\\",
            "{a,b}{c,d},{e,f}",
        ] {
            assert!(Pattern::parse(fine).is_ok(), "{fine}");
        }
    }
}
