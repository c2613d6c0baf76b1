//! What is said of an event: a syslog message, or a line of JSON.

use std::fmt::Write;

use serde::Serialize;

use crate::audit::{Outcome, recorder::Noted};

/// Who says it.
#[derive(Debug)]
pub(in crate::audit) struct Origin {
    host: String,
    process: u32,
}

impl Origin {
    /// This process on this machine.
    pub(in crate::audit) fn here() -> Self {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host: String = name.chars().filter(char::is_ascii_graphic).collect();
        Self {
            host: if host.is_empty() {
                "-".to_owned()
            } else {
                host
            },
            process: std::process::id(),
        }
    }

    /// A message of RFC 5424 that is cut at `limit` bytes where its text allows. Control
    /// characters become spaces: a line break in a name would forge a message.
    pub(in crate::audit) fn message(&self, noted: &Noted, limit: usize) -> String {
        let event = &noted.event;
        let severity = match event.outcome {
            Outcome::Succeeded => INFORMATIONAL,
            Outcome::Failed => WARNING,
        };
        let priority = LOG_AUDIT * 8 + severity;
        let (operation, thing) = (event.operation.as_str(), event.resource_type);
        let mut message = format!(
            "<{priority}>1 {} {} {APP_NAME} {} {operation}_{thing} [{SD_ID}",
            noted.at, self.host, self.process,
        );
        let source = event.source.map(|source| source.to_string());
        for (name, value) in [
            ("operation", Some(operation)),
            ("resource_type", Some(thing)),
            ("resource", Some(event.resource.as_str())),
            ("project", event.project.as_deref()),
            ("result", Some(word(event.outcome))),
            ("user", Some(event.user.as_str())),
            ("source", source.as_deref()),
            ("request_id", event.request_id.as_deref()),
        ] {
            if let Some(value) = value {
                // Writing to a `String` cannot fail.
                let _ = write!(
                    message,
                    " {name}=\"{}\"",
                    escaped(cut(value, LONGEST_VALUE))
                );
            }
        }
        message.push_str("] \u{feff}");
        let text = text(noted);
        message.push_str(cut(&text, limit.saturating_sub(message.len())));
        message.replace(char::is_control, " ")
    }
}

/// One object on one line, with its line break.
pub(in crate::audit) fn line(noted: &Noted) -> Vec<u8> {
    let event = &noted.event;
    let line = Line {
        time: noted.at.to_string(),
        user: &event.user,
        operation: event.operation.as_str(),
        resource_type: event.resource_type,
        resource: &event.resource,
        project: event.project.as_deref(),
        result: word(event.outcome),
        description: &event.description,
        source: event.source.map(|source| source.to_string()),
        request_id: event.request_id.as_deref(),
    };
    let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    user: &'a str,
    operation: &'a str,
    resource_type: &'a str,
    resource: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<&'a str>,
    result: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

/// The sentence: the event's own, or one made of its parts.
fn text(noted: &Noted) -> String {
    let event = &noted.event;
    let user = if event.user.is_empty() {
        "somebody"
    } else {
        &event.user
    };
    let (operation, thing) = (event.operation.as_str(), event.resource_type);
    let mut text = format!("{user}: {operation} {thing} {}", event.resource);
    if event.outcome == Outcome::Failed {
        text.push_str(", failed");
    }
    if !event.description.is_empty() {
        text.push_str(": ");
        text.push_str(&event.description);
    }
    text
}

const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "success",
        Outcome::Failed => "failure",
    }
}

/// RFC 5424 §6.3.3: these three, and nothing else.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// At most so many bytes, cut at a character.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// RFC 5424 table 1: "log audit".
const LOG_AUDIT: u8 = 13;
/// RFC 5424 table 2.
const WARNING: u8 = 4;
const INFORMATIONAL: u8 = 6;

const APP_NAME: &str = "tidegate";

/// The number is the one for documentation (RFC 5612): there is no registered one.
const SD_ID: &str = "tidegate@32473";

/// A repository with a digest, of the longest names that registries take, has less.
const LONGEST_VALUE: usize = 512;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        audit::{Event, Operation},
        clock::Timestamp,
    };

    fn noted(user: &str, resource: &str, outcome: Outcome) -> Noted {
        Noted {
            at: Timestamp::from_millis(1_800_000_000_250),
            event: Event {
                user: user.to_owned(),
                operation: Operation::Push,
                resource_type: "artifact",
                resource: resource.to_owned(),
                project: Some("team".to_owned()),
                outcome,
                description: String::new(),
                source: Some([192, 0, 2, 7].into()),
                request_id: Some(Arc::from("r-1")),
            },
        }
    }

    fn origin() -> Origin {
        Origin {
            host: "gate-1".to_owned(),
            process: 42,
        }
    }

    #[test]
    fn a_message_has_the_form_of_rfc_5424() {
        let noted = noted("alice", "team/app:1.0", Outcome::Succeeded);
        assert_eq!(
            origin().message(&noted, 2048),
            "<110>1 2027-01-15T08:00:00.25Z gate-1 tidegate 42 push_artifact \
             [tidegate@32473 operation=\"push\" resource_type=\"artifact\" \
             resource=\"team/app:1.0\" project=\"team\" result=\"success\" user=\"alice\" \
             source=\"192.0.2.7\" request_id=\"r-1\"] \
             \u{feff}alice: push artifact team/app:1.0"
        );
    }

    #[test]
    fn values_are_escaped_and_cut_and_failures_are_warnings() {
        let noted = noted(r#"a"]\b"#, &"ä".repeat(300), Outcome::Failed);
        let message = origin().message(&noted, 2048);
        assert!(message.starts_with("<108>1 "), "{message}");
        assert!(message.contains(r#" user="a\"\]\\b" "#), "{message}");
        let value = format!(" resource=\"{}\" ", "ä".repeat(256));
        assert!(message.contains(&value), "{message}");
        assert!(message.ends_with(", failed"), "{message}");
    }

    #[test]
    fn control_characters_become_spaces() {
        let mut noted = noted("a\r\n<110>1 b", "team/\u{1b}app\u{85}", Outcome::Failed);
        noted.event.description = "one\ntwo\u{7f}".to_owned();
        let message = origin().message(&noted, 2048);
        assert!(!message.contains(char::is_control), "{message:?}");
        assert!(message.contains(" user=\"a  <110>1 b\" "), "{message:?}");
        assert!(message.contains(" resource=\"team/ app \" "), "{message:?}");
        assert!(message.ends_with(", failed: one two "), "{message:?}");
    }

    #[test]
    fn only_the_text_of_a_message_is_cut() {
        let mut noted = noted("alice", "team/app:1.0", Outcome::Succeeded);
        noted.event.description = "ß".repeat(5000);
        let whole = origin().message(&noted, 100_000);
        let short = origin().message(&noted, 1024);
        assert!((1022..=1024).contains(&short.len()), "{}", short.len());
        assert!(whole.starts_with(&short));
        let least = origin().message(&noted, 10);
        assert!(least.ends_with("] \u{feff}"), "{least}");
    }

    #[test]
    fn a_line_is_an_object_whatever_is_in_it() {
        let noted = noted("a\nb", "team/\"app\"", Outcome::Failed);
        let line = line(&noted);
        let line = String::from_utf8(line).unwrap();
        assert_eq!(line.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!({
            "time": "2027-01-15T08:00:00.25Z", "user": "a\nb", "operation": "push",
            "resource_type": "artifact", "resource": "team/\"app\"", "project": "team",
            "result": "failure", "source": "192.0.2.7", "request_id": "r-1",
        });
        assert_eq!(value, expected);
    }
}
