use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::audit::types::Types;

/// What a purge is to delete. Names and limits are Harbor's.
#[derive(Debug, Serialize, Deserialize)]
pub struct PurgeParameters {
    /// Hours that entries are kept at least, from 1 to 240000.
    pub(super) audit_retention_hour: u32,
    /// Types of events with commas between them; of no type, nothing is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) include_event_types: Option<String>,
    /// Counts where `include_event_types` is missing: operations with commas between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) include_operations: Option<String>,
    /// Only counts.
    #[serde(default)]
    pub(super) dry_run: bool,
}

impl PurgeParameters {
    /// What a client gave, without what means nothing here; the error says in words what is
    /// wrong with it.
    pub fn check(given: &Value) -> Result<Value, String> {
        let parameters = Self::deserialize(given)
            .map_err(|error| format!("the parameters do not fit: {error}"))?;
        if !(1..=MOST_HOURS).contains(&parameters.audit_retention_hour) {
            return Err(format!(
                "audit_retention_hour must be a number from 1 to {MOST_HOURS}, not {}",
                parameters.audit_retention_hour
            ));
        }
        parameters.types()?;
        Ok(serde_json::json!(parameters))
    }

    pub(super) fn types(&self) -> Result<Types, String> {
        match (&self.include_event_types, &self.include_operations) {
            (Some(types), _) => Types::parse(types),
            (None, Some(operations)) => Types::of_operations(operations),
            (None, None) => Err(
                "include_event_types is missing: it lists the types of events to delete".to_owned(),
            ),
        }
    }
}

/// Harbor's limit, 27 years.
const MOST_HOURS: u32 = 240_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_taken_as_harbors_clients_send_them() {
        let given = json!({
            "audit_retention_hour": 168, "dry_run": true, "something": 1,
            "include_event_types": "create_artifact,delete_artifact,pull_artifact",
        });
        let mut kept = given.clone();
        kept.as_object_mut().unwrap().remove("something");
        assert_eq!(PurgeParameters::check(&given), Ok(kept));
        let older = json!({"audit_retention_hour": 1, "include_operations": "create,pull"});
        let kept = PurgeParameters::check(&older).unwrap();
        assert_eq!(kept["dry_run"], false);
    }

    #[test]
    fn parameters_that_make_no_sense_are_refused_with_the_reason() {
        let types = "delete_user";
        for (given, reason) in [
            (
                json!({"include_event_types": types}),
                "audit_retention_hour",
            ),
            (
                json!({"audit_retention_hour": 5}),
                "include_event_types is missing",
            ),
            (
                json!({"audit_retention_hour": 0, "include_event_types": types}),
                "from 1 to",
            ),
            (
                json!({"audit_retention_hour": 240_001, "include_event_types": types}),
                "from 1 to",
            ),
            (
                json!({"audit_retention_hour": -1, "include_event_types": types}),
                "-1",
            ),
            (
                json!({"audit_retention_hour": "5", "include_event_types": types}),
                "\"5\"",
            ),
            (
                json!({"audit_retention_hour": 5, "include_event_types": "x"}),
                "`x`",
            ),
            (
                json!({"audit_retention_hour": 5, "include_operations": "x"}),
                "`x`",
            ),
            (
                json!({"audit_retention_hour": 5, "include_event_types": types, "dry_run": 1}),
                "boolean",
            ),
        ] {
            let refused = PurgeParameters::check(&given).unwrap_err();
            assert!(refused.contains(reason), "{given}: {refused}");
        }
    }
}
