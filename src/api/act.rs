//! The audit record of an administrative act.

use super::{Api, caller::Caller};
use crate::audit::{Event, Operation, Outcome};

/// What was done to which thing.
#[derive(Debug)]
pub(super) struct Act<'a> {
    pub(super) operation: Operation,
    /// Harbor's word: `project`, `user`, `member`, `robot`, `registry`, `replication_policy`, …
    pub(super) resource_type: &'static str,
    pub(super) resource: &'a str,
    /// The project's name, where it is about one.
    pub(super) project: Option<&'a str>,
    /// What happened, as the end of a sentence that begins with who did it.
    pub(super) description: String,
}

impl Api {
    /// Notes that the caller did this; never waits.
    pub(super) fn record(&self, caller: &Caller, act: &Act<'_>) {
        let user = caller.principal.name().to_owned();
        self.audit.record(Event {
            description: format!("{user} {}", act.description),
            user,
            operation: act.operation,
            resource_type: act.resource_type,
            resource: act.resource.to_owned(),
            project: act.project.map(ToOwned::to_owned),
            outcome: Outcome::Succeeded,
            source: Some(caller.peer.address),
            request_id: caller.request_id.clone(),
        });
    }
}
