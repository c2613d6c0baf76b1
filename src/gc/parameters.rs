use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a collection is to do. Names, defaults and limits are Harbor's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GcParameters {
    /// Whether artifacts that nothing holds are deleted first.
    #[serde(default)]
    pub(super) delete_untagged: bool,
    /// Only tells what would go.
    #[serde(default)]
    pub(super) dry_run: bool,
    /// Repositories, or folders of blobs, worked on at once; from 1 to 10.
    #[serde(default = "one")]
    pub(super) workers: u8,
}

impl GcParameters {
    /// What a client gave, without what means nothing here; the error says in words what is
    /// wrong with it.
    pub fn check(given: &Value) -> Result<Value, String> {
        if !given.is_object() {
            return Err(format!("the parameters do not fit: {given} is no object"));
        }
        let parameters = Self::deserialize(given)
            .map_err(|error| format!("the parameters do not fit: {error}"))?;
        if !WORKERS.contains(&parameters.workers) {
            return Err(format!(
                "workers must be a number from {} to {}, not {}",
                WORKERS.start(),
                WORKERS.end(),
                parameters.workers
            ));
        }
        Ok(serde_json::json!(parameters))
    }
}

fn one() -> u8 {
    1
}

/// Harbor's limits.
const WORKERS: RangeInclusive<u8> = 1..=10;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_taken_as_harbors_clients_send_them() {
        let defaults = json!({"delete_untagged": false, "dry_run": false, "workers": 1});
        assert_eq!(GcParameters::check(&json!({})), Ok(defaults));
        let all = json!({"delete_untagged": true, "dry_run": true, "workers": 10});
        let mut given = all.clone();
        given["redis_url_reg"] = json!("redis://redis:6379/1");
        assert_eq!(GcParameters::check(&given), Ok(all));
    }

    #[test]
    fn parameters_that_make_no_sense_are_refused_with_the_reason() {
        for (given, reason) in [
            (json!({"workers": 0}), "from 1 to 10, not 0"),
            (json!({"workers": 11}), "from 1 to 10, not 11"),
            (json!({"workers": -1}), "-1"),
            (json!({"workers": "2"}), "\"2\""),
            (json!({"dry_run": 1}), "boolean"),
            (json!({"delete_untagged": "yes"}), "boolean"),
            (json!([]), "do not fit"),
        ] {
            let refused = GcParameters::check(&given).unwrap_err();
            assert!(refused.contains(reason), "{given}: {refused}");
        }
    }
}
