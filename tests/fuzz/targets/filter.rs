//! Globs of rules and filters, behind a first line with a text to match: simple ones mean what
//! they say, and none takes long.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use tidegate::oci::Pattern;

fuzz_target!(|data: &str| {
    let (text, pattern) = data.split_once('\n').unwrap_or((data, data));
    // No name and no tag is longer.
    let text = &text[..text.floor_char_boundary(255)];
    if let Ok(pattern) = Pattern::parse(pattern) {
        let matched = pattern.matches(text);
        let simple = !pattern.as_str().contains(['[', ']', '{', '}', '\\']);
        if simple && !pattern.as_str().contains("**") && !pattern.as_str().is_empty() {
            let expected = naive(pattern.as_str().as_bytes(), text.as_bytes());
            assert_eq!(matched, expected, "{pattern} {text}");
        }
        if let Some(literal) = pattern.literal() {
            assert_eq!(matched, literal == text, "{pattern} {text}");
        }
        if let (true, Some(first)) = (matched, pattern.first_component()) {
            assert_eq!(text.split('/').next(), Some(first), "{pattern} {text}");
        }
        pattern.example();
    }
    let escaped = literally(text);
    if let Ok(pattern) = Pattern::parse(&escaped) {
        assert!(pattern.matches(text), "{escaped} {text}");
    }
    // The machine may be busy otherwise.
    let is_slow = (0..3).all(|_| time(pattern, text) > LONGEST);
    assert!(!is_slow, "{pattern} {text}");
});

fn time(pattern: &str, text: &str) -> Duration {
    let begun = Instant::now();
    if let Ok(pattern) = Pattern::parse(pattern) {
        pattern.matches(text);
    }
    begun.elapsed()
}

/// `*` and `?` within a component, by definition.
fn naive(pattern: &[u8], text: &[u8]) -> bool {
    // Whether the pattern up to here matches the text up to each place.
    let mut matches = vec![false; text.len() + 1];
    matches[0] = true;
    for character in pattern {
        let mut next = vec![false; text.len() + 1];
        for end in 0..=text.len() {
            let last = end.checked_sub(1).map(|before| (text[before], before));
            next[end] = match (character, last) {
                (b'*', None) => matches[0],
                (b'*', Some((byte, before))) => matches[end] || (byte != b'/' && next[before]),
                (b'?', Some((byte, before))) => byte != b'/' && matches[before],
                (character, Some((byte, before))) => byte == *character && matches[before],
                (_, None) => false,
            };
        }
        matches = next;
    }
    matches[text.len()]
}

fn literally(text: &str) -> String {
    let special = |c: char| c.is_ascii_punctuation().then_some('\\');
    let escaped = text.chars().map(|c| special(c).into_iter().chain([c]));
    escaped.flatten().collect()
}

/// A rule asks for each of thousands of tags; here everything takes longer.
const LONGEST: Duration = Duration::from_millis(50);
