//! Webhooks: what happens in a project, told to the HTTP receivers that its policies name.
//!
//! [`Webhooks::fire`] takes an [`Event`]; for a change that the registry has yet to make
//! [`Webhooks::begin`] and the [`Begun`] it returns do. An event is kept in a local file
//! (`outbox`) until one transaction has made of it, for each policy that wants it, an execution
//! and one job for each target. The job sends the bytes that were stored then, however often it
//! tries (`delivery`).
//!
//! The room knows no proxy, no replication and no API: `app` tells it what happens. Read
//! `event.rs` first, then `outbox/mod.rs` and `desk.rs`.

mod config;
mod delivery;
mod desk;
mod error;
mod event;
mod executions;
mod handle;
mod metrics;
mod outbox;
mod payload;
mod policies;
mod policy;
pub(crate) mod queries;
mod snapshot;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use error::{Error, Kind};
pub use event::{Event, EventType, Resource};
pub use executions::{Execution, Task};
pub use handle::{Begun, Parts, Webhooks};
pub use metrics::Metrics;
pub use policies::LastTrigger;
pub use policy::{
    ExecutionId, NewTarget, NotifyType, PayloadFormat, Policy, PolicyId, PolicySpec, Target, TaskId,
};
