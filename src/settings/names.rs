//! The names, their rules and defaults: one table. Names, types and defaults are Harbor's.

use serde_json::{Value, json};

use super::{Endpoint, Error, Named, Values};

/// One name.
#[derive(Debug)]
pub(super) struct Name {
    pub text: &'static str,
    pub rule: Rule,
    pub default: Default,
}

/// What a name has when nobody has set it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Default {
    Flag(bool),
    Number(i64),
    Text(&'static str),
}

/// Which values a name takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    Flag,
    /// Whole numbers from the first to the second.
    Number(i64, i64),
    /// -1, or whole numbers from 1 to this.
    NumberOrNone(i64),
    Choice(&'static [&'static str]),
    /// Text that this finds no fault with; what it returns ends the sentence "the setting …".
    Text(fn(&str) -> Result<(), &'static str>),
    /// The default alone.
    Constant,
}

pub(super) static NAMES: &[Name] = &[
    name("auth_mode", Rule::Constant, Default::Text("db_auth")),
    name("primary_auth_mode", Rule::Constant, Default::Flag(false)),
    name("read_only", Rule::Flag, Default::Flag(false)),
    name(
        "project_creation_restriction",
        Rule::Choice(&["everyone", "adminonly"]),
        Default::Text("everyone"),
    ),
    name("self_registration", Rule::Flag, Default::Flag(false)),
    name(
        "token_expiration",
        Rule::Number(1, MAX_TOKEN_MINUTES),
        Default::Number(30),
    ),
    name(
        "robot_token_duration",
        Rule::NumberOrNone(MAX_ROBOT_DAYS),
        Default::Number(30),
    ),
    name(
        "robot_name_prefix",
        Rule::Text(prefix),
        Default::Text("robot$"),
    ),
    name("banner_message", Rule::Text(banner), Default::Text("")),
    name("notification_enable", Rule::Flag, Default::Flag(true)),
    name("quota_per_project_enable", Rule::Flag, Default::Flag(true)),
    name(
        "storage_per_project",
        Rule::NumberOrNone(MAX_STORAGE_BYTES),
        Default::Number(-1),
    ),
    name("pull_time_update_disable", Rule::Flag, Default::Flag(false)),
    name(
        "pull_count_update_disable",
        Rule::Flag,
        Default::Flag(false),
    ),
    name("pull_audit_log_disable", Rule::Flag, Default::Flag(false)),
    name(FORWARD, Rule::Text(receiver), Default::Text("")),
    name(SKIP_DATABASE, Rule::Flag, Default::Flag(false)),
    name(
        "disabled_audit_log_event_types",
        Rule::Text(words),
        Default::Text(""),
    ),
    name(
        "scanner_skip_update_pulltime",
        Rule::Constant,
        Default::Flag(false),
    ),
];

const fn name(name: &'static str, rule: Rule, default: Default) -> Name {
    Name {
        text: name,
        rule,
        default,
    }
}

/// The name's entry in the table.
pub(super) fn find(name: &str) -> Result<&'static Name, Error> {
    let mut found = NAMES.iter().filter(|known| known.text == name);
    found.next().ok_or_else(|| Error::Unknown(name.to_owned()))
}

/// JSON Schemas of what the names take, for documents.
pub fn schemas() -> impl Iterator<Item = (&'static str, Value)> {
    NAMES.iter().map(|name| (name.text, name.schema()))
}

impl Name {
    fn schema(&self) -> Value {
        let mut schema = match self.rule {
            Rule::Flag => json!({"type": "boolean"}),
            Rule::Number(least, most) => {
                json!({"type": "integer", "minimum": least, "maximum": most})
            }
            Rule::NumberOrNone(most) => {
                json!({"type": "integer", "minimum": -1, "maximum": most})
            }
            Rule::Choice(words) => json!({"type": "string", "enum": words}),
            Rule::Text(_) => json!({"type": "string"}),
            Rule::Constant => json!({"const": self.default()}),
        };
        schema["default"] = self.default();
        schema
    }

    pub(super) fn default(&self) -> Value {
        match self.default {
            Default::Flag(flag) => flag.into(),
            Default::Number(number) => number.into(),
            Default::Text(text) => text.into(),
        }
    }

    pub(super) const fn is_constant(&self) -> bool {
        matches!(self.rule, Rule::Constant)
    }

    /// Whether the name takes the value.
    pub(super) fn check(&self, value: &Value) -> Result<(), Error> {
        let refused = |why: String| Err(Error::Invalid(self.text, why));
        match self.rule {
            Rule::Flag if value.is_boolean() => Ok(()),
            Rule::Flag => refused("must be true or false".to_owned()),
            Rule::Number(least, most) => match value.as_i64() {
                Some(number) if (least..=most).contains(&number) => Ok(()),
                _ => refused(format!("must be a whole number from {least} to {most}")),
            },
            Rule::NumberOrNone(most) => match value.as_i64() {
                Some(number) if number == -1 || (1..=most).contains(&number) => Ok(()),
                _ => refused(format!("must be -1 or a whole number from 1 to {most}")),
            },
            Rule::Choice(words) => match value.as_str() {
                Some(word) if words.contains(&word) => Ok(()),
                _ => refused(format!("must be one of {}", words.join(", "))),
            },
            Rule::Text(fault) => match value.as_str().map(fault) {
                Some(Ok(())) => Ok(()),
                Some(Err(why)) => refused(why.to_owned()),
                None => refused("must be a text".to_owned()),
            },
            Rule::Constant if *value == self.default() => Ok(()),
            Rule::Constant => Err(Error::Constant(self.text)),
        }
    }
}

/// Whether values that nobody can change leave room for the others: what is fixed here is recorded
/// somewhere whatever the database says.
pub(super) fn check_fixed(fixed: &Named) -> Result<(), Error> {
    let skips = fixed.get(SKIP_DATABASE) == Some(&Value::Bool(true));
    let forward = fixed.get(FORWARD).and_then(Value::as_str);
    if skips && forward.is_none_or(str::is_empty) {
        let why =
            format!("is set here, so `{FORWARD}` must be, too: else nothing would be recorded");
        return Err(Error::Invalid(SKIP_DATABASE, why));
    }
    Ok(())
}

/// Whether the values can stand together.
pub(super) fn check_together(named: &Named) -> Result<(), Error> {
    let values = values(named);
    if values.skip_audit_log_database && values.audit_log_forward_endpoint.is_empty() {
        let why = format!("needs the setting `{FORWARD}`: else nothing would be recorded");
        return Err(Error::Invalid(SKIP_DATABASE, why));
    }
    Ok(())
}

/// The values as the other rooms read them. Names that are left out have their defaults.
pub(super) fn values(named: &Named) -> Values {
    let all = NAMES.iter().map(|name| {
        let value = named.get(name.text).cloned();
        let value = value.unwrap_or_else(|| name.default());
        (name.text.to_owned(), value)
    });
    // Values that were checked fit: the test of the table sees to it.
    serde_json::from_value(Value::Object(all.collect())).unwrap_or_default()
}

/// A name goes into HTTP Basic, which cannot carry a colon (RFC 7617 §2), and into shells.
fn prefix(text: &str) -> Result<(), &'static str> {
    let fits = (1..=64).contains(&text.chars().count())
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == ':');
    if fits {
        Ok(())
    } else {
        Err("must have 1 to 64 characters, no space and no colon among them")
    }
}

fn receiver(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || Endpoint::parse(text).is_some() {
        Ok(())
    } else {
        Err("must be host:port, with tcp://, udp:// or tls:// before it or nothing")
    }
}

/// Which words there are, the audit log knows.
fn words(text: &str) -> Result<(), &'static str> {
    let fits = |byte: u8| byte.is_ascii_alphabetic() || b"_, ".contains(&byte);
    if text.len() <= MAX_WORDS_BYTES && text.bytes().all(fits) {
        Ok(())
    } else {
        Err("must be a list of names with commas between them, of at most 4096 bytes")
    }
}

fn banner(text: &str) -> Result<(), &'static str> {
    if text.len() <= MAX_BANNER_BYTES && !text.contains('\0') {
        Ok(())
    } else {
        Err("must have at most 8192 bytes")
    }
}

/// Thirty days: a token cannot be taken back one by one.
const MAX_TOKEN_MINUTES: i64 = 43_200;
/// A hundred years, as for each robot.
const MAX_ROBOT_DAYS: i64 = 36_500;
/// Harbor's limit, 1024 TiB.
const MAX_STORAGE_BYTES: i64 = 1024 << 40;
/// The banner is part of `GET /systeminfo`, which every page of a portal reads.
const MAX_BANNER_BYTES: usize = 8192;
/// All types of events there are have a quarter of it.
const MAX_WORDS_BYTES: usize = 4096;

const FORWARD: &str = "audit_log_forward_endpoint";
const SKIP_DATABASE: &str = "skip_audit_log_database";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_and_the_values_have_the_same_names_and_defaults() {
        let values = values(&Named::new());
        assert_eq!(values, Values::default());
        let written = serde_json::to_value(&values).unwrap();
        let typed = written.as_object().unwrap();
        for name in NAMES.iter().filter(|name| !name.is_constant()) {
            assert_eq!(typed.get(name.text), Some(&name.default()), "{}", name.text);
            name.check(&name.default()).unwrap();
        }
        let changeable = NAMES.iter().filter(|name| !name.is_constant()).count();
        assert_eq!(typed.len(), changeable);
    }

    #[test]
    fn values_are_checked_by_name() {
        let good = [
            ("read_only", json!(true)),
            ("project_creation_restriction", json!("adminonly")),
            ("token_expiration", json!(1)),
            ("token_expiration", json!(43_200)),
            ("robot_token_duration", json!(-1)),
            ("robot_name_prefix", json!("ci-")),
            ("storage_per_project", json!(-1)),
            ("storage_per_project", json!(1_i64 << 50)),
            (
                "banner_message",
                json!("{\"message\":\"x\",\"type\":\"info\"}"),
            ),
            ("auth_mode", json!("db_auth")),
            ("audit_log_forward_endpoint", json!("")),
            ("audit_log_forward_endpoint", json!("tls://logs:6514")),
            (
                "disabled_audit_log_event_types",
                json!("create_user, pull_artifact"),
            ),
        ];
        for (name, value) in good {
            let checked = find(name).unwrap().check(&value);
            assert!(checked.is_ok(), "{name} {value} {checked:?}");
        }
        let bad = [
            ("read_only", json!("true")),
            ("read_only", json!(null)),
            ("project_creation_restriction", json!("nobody")),
            ("project_creation_restriction", json!(1)),
            ("token_expiration", json!(0)),
            ("token_expiration", json!(1.5)),
            ("token_expiration", json!(43_201)),
            ("token_expiration", json!("30")),
            ("robot_token_duration", json!(0)),
            ("robot_token_duration", json!(36_501)),
            ("robot_name_prefix", json!("")),
            ("robot_name_prefix", json!("a b")),
            ("robot_name_prefix", json!("a:")),
            ("storage_per_project", json!(0)),
            ("storage_per_project", json!((1_i64 << 50) + 1)),
            ("banner_message", json!("x".repeat(8193))),
            ("audit_log_forward_endpoint", json!("logs")),
            ("audit_log_forward_endpoint", json!("http://logs:80")),
            ("disabled_audit_log_event_types", json!("create-user")),
            ("disabled_audit_log_event_types", json!("a,".repeat(2049))),
        ];
        for (name, value) in bad {
            let checked = find(name).unwrap().check(&value);
            assert!(
                matches!(checked, Err(Error::Invalid(..))),
                "{name} {value} {checked:?}"
            );
        }
        let other_mode = find("auth_mode").unwrap().check(&json!("ldap_auth"));
        assert!(matches!(other_mode, Err(Error::Constant("auth_mode"))));
        assert!(matches!(find("ldap_url"), Err(Error::Unknown(_))));
    }
}
