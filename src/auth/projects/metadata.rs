use std::collections::BTreeMap;

use crate::auth::Error;

/// A project's settings by Harbor's names (`ProjectMetadata` in its API); all values are text.
pub type Metadata = BTreeMap<String, String>;

pub(super) const PUBLIC: &str = "public";

/// Settings that keep the rules.
pub(super) struct Checked {
    pub public: Option<bool>,
    pub others: Metadata,
}

/// Checks names and values; `public` is told apart, because decisions are taken by it.
pub(super) fn checked(mut settings: Metadata) -> Result<Checked, Error> {
    for (name, value) in &settings {
        let well_formed = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if !well_formed {
            return Err(Error::Invalid(format!(
                "`{name}` is not a name of a project setting: lower-case letters and _"
            )));
        }
        if BOOLEANS.contains(&name.as_str()) && !matches!(value.as_str(), "true" | "false") {
            return Err(Error::Invalid(format!(
                "project setting `{name}` must be `true` or `false`, not `{value}`"
            )));
        }
        if name == "severity" && !SEVERITIES.contains(&value.as_str()) {
            return Err(Error::Invalid(format!(
                "project setting `severity` must be one of {}, not `{value}`",
                SEVERITIES.join(", ")
            )));
        }
        if value.len() > 1024 {
            return Err(Error::Invalid(format!(
                "project setting `{name}` is longer than 1024 bytes"
            )));
        }
    }
    let public = settings.remove(PUBLIC).map(|value| value == "true");
    Ok(Checked {
        public,
        others: settings,
    })
}

const BOOLEANS: &[&str] = &[
    PUBLIC,
    "enable_content_trust",
    "enable_content_trust_cosign",
    "prevent_vul",
    "auto_scan",
    "auto_sbom_generation",
    "reuse_sys_cve_allowlist",
    "proxy_cache_local_on_not_found",
];

const SEVERITIES: &[&str] = &["none", "low", "medium", "high", "critical"];

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Metadata {
        Metadata::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn settings_are_checked_by_name() {
        assert_eq!(checked(one("public", "true")).unwrap().public, Some(true));
        assert_eq!(checked(Metadata::new()).unwrap().public, None);
        assert_eq!(checked(one("retention_id", "7")).unwrap().others.len(), 1);
        let long = "x".repeat(1025);
        for (name, value) in [
            ("public", "yes"),
            ("auto_scan", "1"),
            ("severity", "awful"),
            ("Bad", "x"),
            ("", "x"),
            ("retention_id", &long),
        ] {
            assert!(checked(one(name, value)).is_err(), "{name}={value}");
        }
    }
}
