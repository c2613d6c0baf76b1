//! Whether policies send things round in a circle.

use super::{Filter, PolicySpec, Trigger};
use crate::oci::RepositoryName;

impl PolicySpec {
    /// Whether what one of the two sends away the other one brings back, by themselves. Both
    /// have the same registry at their other end.
    ///
    /// Names are tried, not proved: an example that the filters accept stands for all. Tags are
    /// not looked at. What only a person starts goes round no further than they mean it to.
    pub fn circles_with(&self, other: &Self) -> bool {
        let is_opposite = self.source.is_local() != other.source.is_local();
        let by_themselves = self.trigger != Trigger::Manual && other.trigger != Trigger::Manual;
        is_opposite && by_themselves && (self.comes_back(other) || other.comes_back(self))
    }

    /// Whether a repository has the same name on both sides.
    pub fn keeps_names(&self) -> bool {
        self.example()
            .is_some_and(|name| self.namespace.map(&name).as_ref() == Ok(&name))
    }

    fn comes_back(&self, other: &Self) -> bool {
        let round = || {
            let there = self.passes(&self.example()?)?;
            self.passes(&other.passes(&there)?)
        };
        round().is_some()
    }

    /// Where the policy takes a repository; `None` when it leaves it alone.
    fn passes(&self, repository: &RepositoryName) -> Option<RepositoryName> {
        let mapped = || self.namespace.map(repository).ok();
        self.accepts_repository(repository).then(mapped).flatten()
    }

    /// A repository that the policy takes.
    fn example(&self) -> Option<RepositoryName> {
        let named = self.filters.iter().find_map(|filter| match filter {
            Filter::Name(pattern) => Some(pattern.example()),
            Filter::Tag(..) | Filter::Resource(_) | Filter::Label(..) => None,
        });
        let any = || "some/repository".to_owned();
        let name = named.filter(|name| !name.is_empty()).unwrap_or_else(any);
        let name: RepositoryName = name.parse().ok()?;
        self.accepts_repository(&name).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::replication::{RegistryId, policy::tests::spec};

    fn push(filter: &str, namespace: &str) -> PolicySpec {
        let mut policy = spec();
        policy.filters =
            serde_json::from_value(json!([{"type": "name", "value": filter}])).unwrap();
        policy.namespace.path = namespace.to_owned();
        policy
    }

    fn pull(filter: &str, namespace: &str) -> PolicySpec {
        PolicySpec {
            source: RegistryId(1),
            destination: RegistryId::LOCAL,
            trigger: Trigger::Scheduled {
                cron: "0 0 2 * * *".to_owned(),
            },
            ..push(filter, namespace)
        }
    }

    #[test]
    fn what_comes_back_is_a_circle() {
        for (there, back) in [
            (push("**", ""), pull("**", "")),
            (push("", ""), pull("team/app", "")),
            (push("team/**", ""), pull("team/{app,web}", "")),
            (push("team/*", "backup"), pull("backup/*", "team")),
            (push("team/app[a-c]?", ""), pull("team/*", "")),
        ] {
            assert!(there.circles_with(&back), "{there:?} {back:?}");
            assert!(back.circles_with(&there), "{there:?} {back:?}");
        }
    }

    #[test]
    fn what_does_not_come_back_is_none() {
        let by_hand = PolicySpec {
            trigger: Trigger::Manual,
            ..pull("**", "")
        };
        for (there, back) in [
            (push("team/**", ""), pull("library/**", "")),
            (push("team/*", "backup"), pull("mirror/*", "team")),
            (push("team/*", ""), pull("team/*", "from-there")),
            (push("**", ""), push("**", "")),
            (push("**", ""), by_hand),
        ] {
            assert!(!there.circles_with(&back), "{there:?} {back:?}");
        }
    }
}
