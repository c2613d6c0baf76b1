//! Retention: which tags of a project are kept, and the deletion of the others.
//!
//! `evaluate` decides without I/O and clock: rules and a view of one repository in, a plan
//! out. `run` reads the view, writes the plan down as a task of an execution and carries it out,
//! no faster than configured, through [`inventory::Registry`](crate::inventory::Registry): the
//! guards of the proxy, the audit trail and replication see each deletion as if a client had
//! made it. The room does not know HTTP. Read `policy/mod.rs` first, then `evaluate/mod.rs`.

mod config;
mod error;
mod evaluate;
mod executions;
mod handle;
mod metrics;
mod policies;
mod policy;
mod queries;
mod run;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use error::{Error, Kind};
pub use executions::{Execution, Mode, Task};
pub use handle::{Parts, Retention};
pub use metrics::Metrics;
pub use policy::{MAX_RULES, Policy, PolicySpec, RuleSpec, SelectorSpec, Template};

crate::store::ids! {
    /// A retention policy.
    PolicyId;
    /// A run of a policy.
    ExecutionId;
    /// A repository of a run.
    TaskId;
}
