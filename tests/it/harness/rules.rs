use serde_json::{Value, json};

/// A rule for the tags of all repositories that match a pattern (doublestar), as immutable tags and
/// retention have it; what else a rule says is the test's to add.
pub fn rule_for_tags(pattern: &str) -> Value {
    let selector = |decoration: &str, pattern: &str| json!([{ "kind": "doublestar", "decoration": decoration, "pattern": pattern }]);
    json!({
        "tag_selectors": selector("matches", pattern),
        "scope_selectors": { "repository": selector("repoMatches", "**") },
    })
}
