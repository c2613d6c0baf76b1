//! Which policies make sense, by Harbor's rules.

use super::{PolicySpec, Trigger};
use crate::{jobs::Cron, oci::RepositoryName, replication::Error};

impl PolicySpec {
    /// Checks what can be checked without looking anything up.
    pub fn check(&self) -> Result<(), Error> {
        self.problem()
            .map_or(Ok(()), |problem| Err(Error::Invalid(problem)))
    }

    fn problem(&self) -> Option<String> {
        if self.name.trim().is_empty() || self.name.len() > MAX_NAME_BYTES {
            return Some(format!(
                "the policy's name must have 1 to {MAX_NAME_BYTES} bytes"
            ));
        }
        if self.source.is_local() == self.destination.is_local() {
            let sides = "either the source or the destination registry must be the local one";
            return Some(format!("{sides}, not both and not neither"));
        }
        if self.filters.len() > MAX_FILTERS {
            return Some(format!("a policy has at most {MAX_FILTERS} filters"));
        }
        if !is_namespace(&self.namespace.path) {
            let path = &self.namespace.path;
            return Some(format!(
                "`{path}` is not a namespace: path components, lower case"
            ));
        }
        if self.asks_for_labels() && !self.source.is_local() {
            let why = "which labels an artifact bears is known of the local registry only";
            return Some(format!("a label filter needs it as source: {why}"));
        }
        if self.runs_delete && !self.deletion {
            return Some("runs_delete needs deletion".to_owned());
        }
        self.trigger_problem()
    }

    fn trigger_problem(&self) -> Option<String> {
        match &self.trigger {
            Trigger::Scheduled { cron } => cron_problem(cron),
            Trigger::EventBased if !self.source.is_local() => {
                Some("event_based needs the local registry as source".to_owned())
            }
            Trigger::EventBased if self.single_active => {
                Some("single_active_replication is not for event_based policies".to_owned())
            }
            Trigger::Manual | Trigger::EventBased => None,
        }
    }
}

/// Harbor wants the seconds field to be 0 and the minutes to be named, so that no schedule
/// fires every second or minute.
fn cron_problem(cron: &str) -> Option<String> {
    if let Err(error) = Cron::parse(cron) {
        return Some(format!("the cron expression `{cron}`: {error}"));
    }
    let mut fields = cron.split_ascii_whitespace();
    let (seconds, minutes) = (fields.next(), fields.next());
    if seconds != Some("0") {
        return Some(format!(
            "the cron expression `{cron}` must have 0 as its seconds"
        ));
    }
    if minutes == Some("*") {
        return Some(format!(
            "the cron expression `{cron}` must not run every minute"
        ));
    }
    None
}

fn is_namespace(path: &str) -> bool {
    path.is_empty() || path.parse::<RepositoryName>().is_ok()
}

/// Harbor's column width.
const MAX_NAME_BYTES: usize = 256;
/// Far more than Harbor's portal can make; a bound for the matching work of one push.
const MAX_FILTERS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oci::Decoration,
        replication::{
            RegistryId,
            policy::{Filter, tests::spec},
        },
    };

    /// Why a policy that was changed so is refused.
    fn refusal(change: impl FnOnce(&mut PolicySpec)) -> Option<String> {
        let mut policy = spec();
        change(&mut policy);
        policy.check().err().map(|error| error.to_string())
    }

    fn scheduled(cron: &str) -> Trigger {
        Trigger::Scheduled {
            cron: cron.to_owned(),
        }
    }

    #[track_caller]
    fn assert_refused(reason: &str, change: impl FnOnce(&mut PolicySpec)) {
        let refusal = refusal(change).unwrap();
        assert!(refusal.contains(reason), "{refusal}");
    }

    #[test]
    fn policies_that_make_no_sense_are_refused_with_a_reason() {
        assert_refused("name", |policy| policy.name = " ".to_owned());
        assert_refused("not both", |policy| policy.destination = RegistryId::LOCAL);
        assert_refused("not neither", |policy| policy.source = RegistryId(2));
        assert_refused("not a namespace", |policy| {
            policy.namespace.path = "/a".to_owned();
        });
        assert_refused("not a namespace", |policy| {
            policy.namespace.path = "A".to_owned();
        });
        assert_refused("single_active", |policy| policy.single_active = true);
        assert_refused("needs deletion", |policy| policy.runs_delete = true);
        assert_refused("label filter", |policy| {
            std::mem::swap(&mut policy.source, &mut policy.destination);
            policy.trigger = Trigger::Manual;
            policy.filters = vec![Filter::Label(vec!["a".to_owned()], Decoration::Matches)];
        });
        assert_refused("local registry as source", |policy| {
            std::mem::swap(&mut policy.source, &mut policy.destination);
        });
        assert_eq!(refusal(|_| {}), None);
    }

    #[test]
    fn schedules_name_their_minutes() {
        for (cron, reason) in [
            ("bad", "cron"),
            ("5 0 2 * * *", "seconds"),
            ("0 * 2 * * *", "every minute"),
        ] {
            assert_refused(reason, |policy| policy.trigger = scheduled(cron));
        }
        assert_eq!(
            refusal(|policy| policy.trigger = scheduled("0 0 2 * * *")),
            None
        );
    }
}
