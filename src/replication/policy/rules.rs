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
        self.trigger_problem()
    }

    fn trigger_problem(&self) -> Option<String> {
        match &self.trigger {
            Trigger::Manual => None,
            Trigger::Scheduled { cron } => cron_problem(cron),
            Trigger::EventBased if !self.source.is_local() => {
                Some("event_based needs the local registry as source".to_owned())
            }
            Trigger::EventBased if self.single_active => {
                Some("single_active_replication is not for event_based policies".to_owned())
            }
            Trigger::EventBased => None,
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
    if minutes.is_some_and(|minutes| minutes.starts_with('*')) {
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
    use crate::replication::{
        RegistryId,
        policy::{Namespace, Replace, tests::spec},
    };

    #[test]
    fn policies_that_make_no_sense_are_refused_with_a_reason() {
        let scheduled = |cron: &str| Trigger::Scheduled {
            cron: cron.to_owned(),
        };
        let namespace = |path: &str| Namespace {
            path: path.to_owned(),
            replace: Replace::All,
        };
        let cases = [
            (
                PolicySpec {
                    name: " ".to_owned(),
                    ..spec()
                },
                "name",
            ),
            (
                PolicySpec {
                    destination: RegistryId::LOCAL,
                    ..spec()
                },
                "not both",
            ),
            (
                PolicySpec {
                    source: RegistryId(2),
                    ..spec()
                },
                "not neither",
            ),
            (
                PolicySpec {
                    namespace: namespace("/a"),
                    ..spec()
                },
                "not a namespace",
            ),
            (
                PolicySpec {
                    namespace: namespace("A"),
                    ..spec()
                },
                "not a namespace",
            ),
            (
                PolicySpec {
                    trigger: scheduled("bad"),
                    ..spec()
                },
                "cron",
            ),
            (
                PolicySpec {
                    trigger: scheduled("5 0 2 * * *"),
                    ..spec()
                },
                "seconds",
            ),
            (
                PolicySpec {
                    trigger: scheduled("0 * 2 * * *"),
                    ..spec()
                },
                "every minute",
            ),
            (
                PolicySpec {
                    single_active: true,
                    ..spec()
                },
                "single_active",
            ),
            (
                PolicySpec {
                    source: RegistryId(1),
                    destination: RegistryId::LOCAL,
                    ..spec()
                },
                "local registry as source",
            ),
        ];
        for (policy, reason) in cases {
            let error = policy.check().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert!(spec().check().is_ok());
        assert!(
            PolicySpec {
                trigger: scheduled("0 0 2 * * *"),
                ..spec()
            }
            .check()
            .is_ok()
        );
    }
}
