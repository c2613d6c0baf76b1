//! How much of what a pusher wrote stands in lists. A page has up to a hundred artifacts, and a
//! manifest may have 4 MiB of annotations.

use serde::Serialize;
use serde_json::{Map, Value};

/// What of an artifact's texts still fits; those that do not are left out.
pub(super) struct Space {
    bytes: usize,
}

impl Space {
    pub(super) const fn new() -> Self {
        Self { bytes: SHOWN_BYTES }
    }

    pub(super) fn text(&mut self, text: String) -> Option<String> {
        self.bytes = self.bytes.checked_sub(text.len())?;
        Some(text)
    }

    /// The members that fit.
    pub(super) fn members<'a, V: Serialize + 'a>(
        &mut self,
        members: impl IntoIterator<Item = (&'a String, &'a V)>,
    ) -> Map<String, Value> {
        let fitting = members.into_iter().filter_map(|(name, value)| {
            let value = serde_json::to_value(value).ok()?;
            let bytes = name.len() + value.to_string().len();
            self.bytes = self.bytes.checked_sub(bytes)?;
            Some((name.clone(), value))
        });
        fitting.collect()
    }
}

/// The beginning of a media type, which has no more characters than this (RFC 6838 §4.2), and no
/// NUL, which PostgreSQL refuses.
pub(super) fn media_type(text: &str) -> String {
    text[..text.floor_char_boundary(MEDIA_TYPE_BYTES)].replace('\0', "\u{fffd}")
}

/// A hundred times as much as usual.
const SHOWN_BYTES: usize = 64 * 1024;
const MEDIA_TYPE_BYTES: usize = 255;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_and_the_rest_is_not() {
        let mut annotations: BTreeMap<String, String> = BTreeMap::new();
        annotations.insert("a".into(), "x".repeat(SHOWN_BYTES));
        annotations.insert("b".into(), "\0".repeat(SHOWN_BYTES / 6 + 1));
        annotations.insert("c".into(), "small".into());
        let mut space = Space::new();
        let shown = space.members(&annotations);
        assert_eq!(shown.keys().collect::<Vec<_>>(), ["c"]);
        let rest = "y".repeat(SHOWN_BYTES - "c\"small\"".len());
        assert_eq!(space.text(format!("{rest}y")), None);
        assert!(space.text(rest).is_some());
        assert_eq!(space.text("z".into()), None);
    }

    #[test]
    fn media_types_end_where_the_rfc_ends_them() {
        assert_eq!(media_type("text/plain"), "text/plain");
        assert_eq!(media_type(&"ä".repeat(200)), "ä".repeat(127));
        assert_eq!(media_type("a\0b"), "a\u{fffd}b");
    }
}
