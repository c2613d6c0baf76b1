use std::collections::HashSet;

use serde_json::Value;

use crate::oci::Digest;

/// A set of digests that takes 16 bytes for each. Two that begin alike are one to it: what is in
/// it stays, so that a mistake keeps something.
#[derive(Debug, Default)]
pub(super) struct Marks(HashSet<u128>);

impl Marks {
    pub(super) fn add(&mut self, digest: &Digest) {
        self.0.insert(beginning(digest));
    }

    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.0.contains(&beginning(digest))
    }

    /// Adds every text of a manifest that is a digest, whatever it stands for, so that kinds of
    /// manifests which nobody here knows keep what they refer to. `false` when it is not JSON.
    pub(super) fn add_all_in(&mut self, manifest: &[u8]) -> bool {
        let Ok(json) = serde_json::from_slice(manifest) else {
            return false;
        };
        self.add_texts(&json);
        true
    }

    fn add_texts(&mut self, json: &Value) {
        match json {
            Value::String(text) => self.add_text(text),
            Value::Array(items) => items.iter().for_each(|item| self.add_texts(item)),
            Value::Object(members) => {
                for (name, value) in members {
                    self.add_text(name);
                    self.add_texts(value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn add_text(&mut self, text: &str) {
        if let Ok(digest) = text.parse() {
            self.add(&digest);
        }
    }
}

fn beginning(digest: &Digest) -> u128 {
    let hex = digest.hex().bytes().take(32);
    hex.fold(0, |number, digit| {
        let digit = char::from(digit).to_digit(16).unwrap_or_default();
        number << 4 | u128::from(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Algorithm;

    #[test]
    fn digests_are_told_apart() {
        let mut marks = Marks::default();
        let digests = [
            Digest::sha256(b"a"),
            Digest::sha256(b"b"),
            Digest::of(Algorithm::Sha512, b"a"),
        ];
        for (index, digest) in digests.iter().enumerate() {
            assert!(!marks.has(digest), "{digest}");
            marks.add(digest);
            assert!(digests[..=index].iter().all(|digest| marks.has(digest)));
        }
    }

    #[test]
    fn all_that_a_manifest_names_is_found_wherever_it_stands() {
        let named = [b"a", b"b", b"c", b"d"].map(|text| Digest::sha256(text));
        let [a, b, c, d] = &named;
        let escaped = b.as_str().replace(':', "\\u003a");
        let json = format!(
            r#"{{"config":{{"digest":"{a}"}},"fsLayers":[{{"blobSum":"{escaped}"}}],
                "annotations":{{"{c}":"base"}},"more":[["{d}"],1,null,true]}}"#
        );
        let mut marks = Marks::default();
        assert!(marks.add_all_in(json.as_bytes()));
        assert!(named.iter().all(|digest| marks.has(digest)));
        assert!(!marks.add_all_in(b"{"));
    }
}
