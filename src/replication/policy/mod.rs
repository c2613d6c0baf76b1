//! What a policy is and what it decides. Pure: no I/O, no clock. Start here, then `filter.rs`.

mod cycle;
mod filter;
mod namespace;
mod rules;

use crate::{
    clock::Timestamp,
    oci::{Pattern, Reference, RepositoryName, companion_subject},
};

pub use filter::{Filter, InvalidFilter, RawFilter, Resource};
pub use namespace::{Namespace, Replace, Unmappable};

use super::{Change, PolicyId, RegistryId};

/// A policy as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub id: PolicyId,
    pub spec: PolicySpec,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// What a person says about a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are the switches of Harbor's policy"
)]
pub struct PolicySpec {
    pub name: String,
    pub description: String,
    pub source: RegistryId,
    pub destination: RegistryId,
    pub trigger: Trigger,
    pub filters: Vec<Filter>,
    pub namespace: Namespace,
    /// Whether what is gone at the source goes at the destination.
    pub deletion: bool,
    /// Whether a tag that points elsewhere at the destination is moved.
    pub overwrite: bool,
    pub enabled: bool,
    /// Kilobits (1024 bits) a second for all copying of this policy by one process; `None`
    /// for no limit.
    pub speed_kbps: Option<u32>,
    /// Kept for Harbor's clients; blobs are streamed whole.
    pub copy_by_chunk: bool,
    /// Whether a manual or scheduled run is skipped while another one of the policy is live.
    pub single_active: bool,
    /// Whether another policy may bring back what this one sends away.
    pub bidirectional: bool,
    /// Whether blobs go to the destination while they are pushed.
    pub tee: bool,
    /// Whether a manual or scheduled run deletes what the source has no more, of repositories
    /// that it still has; only with `deletion`.
    pub runs_delete: bool,
    pub deletion_limit: DeletionLimit,
    /// Whether layers that registries need not hold are copied like others, where the source
    /// holds them.
    pub copy_foreign_layers: bool,
}

/// How much of what it sees at the destination a run may delete; beyond it deletes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeletionLimit {
    pub count: Option<u32>,
    pub percent: Option<u8>,
}

impl DeletionLimit {
    /// Why a run may not delete `gone` of `held` tags; `None` when it may.
    pub fn objection(self, gone: u64, held: u64) -> Option<String> {
        let by_count = self.count.filter(|most| gone > u64::from(*most));
        let by_share = self
            .percent
            .filter(|most| gone.saturating_mul(100) > held.saturating_mul(u64::from(*most)));
        let limit = match (by_count, by_share) {
            (Some(most), _) => format!("max_deletions = {most}"),
            (None, Some(most)) => format!("max_deletions_percent = {most}"),
            (None, None) => return None,
        };
        Some(format!(
            "{gone} of {held} tags at the destination are gone at the source, more than {limit} \
             allows to delete: nothing is deleted"
        ))
    }
}

/// What makes a policy run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    Manual,
    /// Six fields, seconds first, UTC.
    Scheduled {
        cron: String,
    },
    EventBased,
}

impl Trigger {
    /// Harbor's word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Scheduled { .. } => "scheduled",
            Self::EventBased => "event_based",
        }
    }
}

impl PolicySpec {
    /// The registry that is not the local one.
    pub fn remote(&self) -> RegistryId {
        if self.source.is_local() {
            self.destination
        } else {
            self.source
        }
    }

    /// The one repository that can be accepted, when a name filter has no wildcards.
    pub fn only_repository(&self) -> Option<RepositoryName> {
        let name = self.name_patterns().find_map(Pattern::literal)?;
        let name: RepositoryName = name.parse().ok()?;
        self.accepts_repository(&name).then_some(name)
    }

    /// With what component every repository begins that can be accepted, when a name filter
    /// says so.
    pub fn only_component(&self) -> Option<&str> {
        self.name_patterns().find_map(Pattern::first_component)
    }

    fn name_patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.filters.iter().filter_map(|filter| match filter {
            Filter::Name(pattern) => Some(pattern),
            Filter::Tag(..) | Filter::Resource(_) | Filter::Label(..) => None,
        })
    }

    pub fn accepts_repository(&self, repository: &RepositoryName) -> bool {
        self.filters
            .iter()
            .all(|filter| filter.accepts_repository(repository.as_str()))
    }

    pub fn accepts_reference(&self, reference: &Reference) -> bool {
        self.filters
            .iter()
            .all(|filter| filter.accepts_reference(reference))
    }

    pub fn accepts_resource(&self, resource: Resource) -> bool {
        self.filters
            .iter()
            .all(|filter| filter.accepts_resource(resource))
    }

    /// `borne`: the names of the labels that the artifact bears.
    pub fn accepts_labels(&self, borne: &[String]) -> bool {
        self.filters
            .iter()
            .all(|filter| filter.accepts_labels(borne))
    }

    /// Whether it matters which labels an artifact bears.
    pub fn asks_for_labels(&self) -> bool {
        let asks = |filter: &Filter| matches!(filter, Filter::Label(..));
        self.filters.iter().any(asks)
    }

    /// Whether events of this gateway concern the policy at all.
    pub fn hears_events(&self) -> bool {
        self.enabled && self.source.is_local() && self.trigger == Trigger::EventBased
    }

    /// Whether the blobs of a push to `repository` may go to the destination at once, before
    /// anybody knows how they will be tagged or labelled. Who limits the speed limits it for all
    /// bytes.
    pub fn tees(&self, repository: &RepositoryName) -> bool {
        self.tee
            && self.speed_kbps.is_none()
            && !self.asks_for_labels()
            && self.hears_events()
            && self.accepts_repository(repository)
    }

    /// The references that `change` makes this policy look at, whatever their labels; none for
    /// most.
    pub fn affected(&self, change: &Change) -> Vec<Reference> {
        let concerned = self.hears_events()
            && (self.deletion || !change.is_deletion())
            && (self.asks_for_labels() || !change.is_of_labels())
            && self.accepts_repository(&change.repository);
        if !concerned {
            return Vec::new();
        }
        let mut references = change.references();
        references.retain(|reference| {
            self.accepts_reference(reference) || (!change.is_deletion() && may_accompany(reference))
        });
        references
    }
}

/// Whether a reference belongs by its name to an artifact that the policy may want though its
/// filters do not name it: a signature. Its copy finds out.
fn may_accompany(reference: &Reference) -> bool {
    matches!(reference, Reference::Tag(tag) if companion_subject(tag).is_some())
}

#[cfg(test)]
pub(in crate::replication) mod tests;
