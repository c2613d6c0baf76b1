//! Mirroring: registries to copy from and to, policies, intents, executions and the copying itself.
//!
//! A push that some policy cares about is written down as an *intent* before the registry can
//! commit it, becomes an execution with one task for each artifact when the registry has said
//! yes, and a task's job makes the destination's reference equal to what the source has then.
//! This room does not know who pushes, nor over which protocol people ask about policies.
//! Read `policy/mod.rs` (what a policy decides) first, then `intents/mod.rs` and `transfer/mod.rs`.

mod change;
mod config;
mod error;
mod execute;
pub(crate) mod executions;
mod handle;
mod id;
pub(crate) mod intents;
mod lag;
mod metrics;
mod origin;
mod places;
pub(crate) mod policies;
pub mod policy;
pub(crate) mod registries;
mod standing;
mod tee;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod transfer;
pub(crate) mod uploads;

pub use change::{Change, ChangeKind};
pub use config::{Config, Mode};
pub use error::{Error, Kind};
pub use execute::{Deed, Plan, Step};
pub use executions::{Counts, Execution, Operation, Status, Task};
pub use handle::{Parts, Replication};
pub use id::{ExecutionId, IntentId, PolicyId, RegistryId, TaskId};
pub use intents::Ticket;
pub use lag::{Lag, PolicyLag, TargetLag};
pub use metrics::Metrics;
pub use origin::Origin;
pub use policy::{Policy, PolicySpec, Trigger};
pub use registries::{Health, NewCredential, NewRegistry, Registry, RegistryChange};
pub use standing::{Awaited, Progress, Standing, TargetStanding};
pub use tee::Teed;

use handle::Shared;

/// Whose limits and breaker the jobs of a registry fall under.
fn job_target(registry: RegistryId) -> String {
    format!("registry/{registry}")
}
