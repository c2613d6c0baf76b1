use std::{collections::BTreeMap, fmt, fmt::Write};

use super::tree::Directive;

/// What became of a directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Into these keys; with what is to be known besides and what is left to do, each empty
    /// where there is nothing.
    Translated {
        keys: Vec<&'static str>,
        note: String,
        left: String,
    },
    /// Tidegate does it by itself, or has no use for it: why.
    NotNeeded(String),
    /// Why, and what to do.
    NotTranslated(String),
}

/// The value of a key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(u64),
    Decimal(f64),
    Flag(bool),
    Texts(Vec<String>),
}

/// The configuration that is being written, and what became of each directive.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// By `section.key`, in the order of their first setting.
    values: Vec<(&'static str, Value)>,
    verdicts: BTreeMap<usize, Verdict>,
}

impl Draft {
    /// Sets a key; the directive is translated into it.
    pub(super) fn set(&mut self, by: &Directive, key: &'static str, value: Value) {
        self.put(key, value);
        self.translated(by, key);
    }

    /// Sets a key that no directive says itself.
    pub(super) fn put(&mut self, key: &'static str, value: Value) {
        match self.values.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.values.push((key, value)),
        }
    }

    /// Raises a number to at least `number`.
    pub(super) fn raise(&mut self, by: &Directive, key: &'static str, number: u64) {
        let old = match self.value(key) {
            Some(Value::Number(old)) => *old,
            _ => 0,
        };
        self.set(by, key, Value::Number(number.max(old)));
    }

    /// Adds to a list, unless it is there.
    pub(super) fn add(&mut self, by: &Directive, key: &'static str, text: String) {
        let mut texts = match self.value(key) {
            Some(Value::Texts(texts)) => texts.clone(),
            _ => Vec::new(),
        };
        if !texts.contains(&text) {
            texts.push(text);
        }
        self.set(by, key, Value::Texts(texts));
    }

    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        let found = self.values.iter().find(|(known, _)| *known == key);
        found.map(|(_, value)| value)
    }

    /// The directive has gone into a key.
    pub(super) fn translated(&mut self, by: &Directive, key: &'static str) {
        if let Some(Verdict::Translated { keys, .. }) = self.verdicts.get_mut(&by.id) {
            if !keys.contains(&key) {
                keys.push(key);
            }
            return;
        }
        let verdict = Verdict::Translated {
            keys: vec![key],
            note: String::new(),
            left: String::new(),
        };
        self.verdicts.insert(by.id, verdict);
    }

    /// What is to be known about a directive that was translated.
    pub(super) fn note(&mut self, by: &Directive, text: &str) {
        if let Some(Verdict::Translated { note, .. }) = self.verdicts.get_mut(&by.id) {
            append(note, text);
        }
    }

    /// What a person has to do about a directive although it was translated.
    pub(super) fn leave(&mut self, by: &Directive, text: &str) {
        if let Some(Verdict::Translated { left, .. }) = self.verdicts.get_mut(&by.id) {
            append(left, text);
        }
    }

    pub(super) fn not_needed(&mut self, directive: &Directive, why: impl Into<String>) {
        let verdict = Verdict::NotNeeded(why.into());
        self.verdicts.entry(directive.id).or_insert(verdict);
    }

    pub(super) fn not_translated(&mut self, directive: &Directive, why: impl Into<String>) {
        let verdict = Verdict::NotTranslated(why.into());
        self.verdicts.entry(directive.id).or_insert(verdict);
    }

    pub(super) fn verdict(&self, directive: &Directive) -> Option<&Verdict> {
        self.verdicts.get(&directive.id)
    }

    /// `key = value` of each key, those that a password is in without it.
    pub(super) fn shown(&self, keys: &[&str]) -> String {
        let one = |key: &&str| match self.value(key) {
            Some(_) if key.ends_with("password") => format!("{key} = …"),
            Some(value) => format!("{key} = {value}"),
            None => (*key).to_owned(),
        };
        keys.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// The sections of the file, in TOML.
    pub(super) fn toml(&self) -> String {
        let mut sections: Vec<(&str, String)> = Vec::new();
        for (path, value) in &self.values {
            let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
            let line = format!("{key} = {value}\n");
            match sections.iter_mut().find(|(known, _)| *known == section) {
                Some((_, lines)) => lines.push_str(&line),
                None => sections.push((section, line)),
            }
        }
        // A table within a section must come behind the section's own keys; names sort so.
        sections.sort_by_key(|(section, _)| {
            let head = section.split('.').next().unwrap_or_default();
            let place = SECTIONS.iter().position(|known| *known == head);
            (place.unwrap_or(SECTIONS.len()), *section)
        });
        let mut text = String::new();
        for (section, lines) in sections {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n[{section}]\n{lines}");
        }
        text
    }
}

/// Another clause of a sentence, unless it is there.
fn append(sentence: &mut String, clause: &str) {
    if sentence.split("; ").any(|known| known == clause) {
        return;
    }
    if !sentence.is_empty() {
        sentence.push_str("; ");
    }
    sentence.push_str(clause);
}

/// In TOML.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", quoted(text)),
            Self::Number(number) => write!(f, "{number}"),
            // With a point, as TOML wants it.
            Self::Decimal(number) => write!(f, "{number:?}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Texts(texts) => {
                let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
                write!(f, "[{}]", texts.join(", "))
            }
        }
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_control() => {
                let _ = write!(quoted, "\\U{:08X}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

const SECTIONS: [&str; 6] = ["server", "tls", "upstream", "access", "limits", "telemetry"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_text_it_is_one_toml_string() {
        for text in ["", "a\"b\\c", "\n\t\u{7f}\u{0}", "ä€😀", "'''", "${x}"] {
            let parsed: toml::Table = format!("key = {}", quoted(text)).parse().unwrap();
            assert_eq!(parsed["key"].as_str(), Some(text));
        }
    }

    #[test]
    fn sections_stand_in_order_whatever_was_set_first() {
        let mut draft = Draft::default();
        draft.put(
            "upstream.connections.idle_timeout_seconds",
            Value::Number(9),
        );
        draft.put("upstream.url", Value::Text("http://a".to_owned()));
        draft.put(
            "server.trusted_proxies",
            Value::Texts(vec!["::1".to_owned()]),
        );
        draft.put(
            "server.trusted_proxies",
            Value::Texts(vec!["::2".to_owned()]),
        );
        draft.put("tls.mode", Value::Text("off".to_owned()));
        assert_eq!(
            draft.toml(),
            "\n[server]\ntrusted_proxies = [\"::2\"]\n\n[tls]\nmode = \"off\"\n\
             \n[upstream]\nurl = \"http://a\"\n\
             \n[upstream.connections]\nidle_timeout_seconds = 9\n"
        );
    }
}
