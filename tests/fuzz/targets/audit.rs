//! Words of clients in the audit log's messages: whatever they are, a message stays one message of
//! RFC 5424, and what is in it is what was said.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tidegate::{
    audit::{Event, Operation, Outcome, fuzzing},
    clock::Timestamp,
};

fuzz_target!(|data: &str| {
    let mut words = data.splitn(4, '\n').map(str::to_owned);
    let mut word = || words.next().unwrap_or_default();
    let event = Event {
        user: word(),
        operation: Operation::Push,
        resource_type: "artifact",
        resource: word(),
        project: Some(word()),
        outcome: Outcome::Failed,
        description: word(),
        source: None,
        request_id: None,
    };
    let at = Timestamp::from_seconds(1_800_000_000);
    let line = fuzzing::line(at, event.clone());
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    let object: Value = serde_json::from_slice(&line).expect("an object");
    assert_eq!(object["user"], event.user);
    assert_eq!(object["resource"], event.resource);

    let message = fuzzing::message(at, event.clone(), 2048);
    assert!(!message.contains(char::is_control), "{message:?}");
    assert!(message.starts_with("<108>1 "));
    let parameters = structured(&message);
    let said = |name: &str| parameters.iter().find(|(known, _)| known == name);
    for (name, value) in [("user", &event.user), ("resource", &event.resource)] {
        let (_, written) = said(name).expect("it is always there");
        let value = value.replace(char::is_control, " ");
        assert!(
            value.starts_with(written.as_str()),
            "{written:?} of {value:?}"
        );
        assert!(written.len() + 4 > value.len().min(512));
    }
    assert_eq!(
        said("result").map(|(_, value)| value.as_str()),
        Some("failure")
    );
});

/// The parameters of the first element, as RFC 5424 §6.3.3 reads them.
fn structured(message: &str) -> Vec<(String, String)> {
    let start = message.find('[').expect("structured data");
    let mut rest = &message[start + 1..];
    rest = &rest[rest.find(' ').expect("an id")..];
    let mut parameters = Vec::new();
    while let Some(parameter) = rest.strip_prefix(' ') {
        let (name, quoted) = parameter.split_once("=\"").expect("a value");
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next().expect("the value ends") {
                (_, '\\') => value.push(characters.next().expect("an escape").1),
                (end, '"') => break end,
                (_, ']') => panic!("a bracket in a value: {message}"),
                (_, character) => value.push(character),
            }
        };
        parameters.push((name.to_owned(), value));
        rest = &quoted[end + 1..];
    }
    assert!(rest.starts_with("] "), "{message}");
    parameters
}
