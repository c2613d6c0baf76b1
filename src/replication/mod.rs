//! Mirroring: registries to copy from and to, policies, intents, executions and the copying itself.
//!
//! A push that some policy cares about is written down as an *intent* before the registry can
//! commit it, becomes an execution with one task for each artifact when the registry has said
//! yes, and a task's job makes the destination's reference equal to what the source has then.
//! This room does not know who pushes, nor over which protocol people ask about policies.
//! Read `policy/mod.rs` (what a policy decides) first, then `intents/mod.rs` and `transfer/mod.rs`.

mod change;
mod executions;
mod id;
pub mod policy;
mod registries;

pub use change::{Change, ChangeKind};
pub use executions::{
    Counts, Execution, ExecutionQuery, Operation, Page, Paged, Status, Task, TaskQuery,
};
pub use id::{ExecutionId, IntentId, PolicyId, RegistryId, TaskId};
pub use policy::{Policy, PolicySpec, Trigger};
pub use registries::{Health, NewCredential, NewRegistry, Registry, RegistryChange};
