//! Garbage collection: deletes artifacts that nothing holds if it is told to, then has the
//! registry give back the space of what nothing refers to.
//!
//! `untagged.rs` finds and deletes artifacts through [`inventory::Registry`], so that guards,
//! the audit trail and replication see each deletion. The embedded registry then collects its
//! own blobs; a remote one must do so itself, for its protocol has no way to ask for it. The
//! room does not know HTTP. Read `run.rs` first.
//!
//! [`inventory::Registry`]: crate::inventory::Registry

mod config;
mod journal;
mod metrics;
mod outcome;
mod parameters;
mod run;
#[cfg(test)]
mod tests;
mod untagged;

pub use config::Config;
pub use metrics::Metrics;
pub use parameters::GcParameters;
pub use run::{Gc, Parts};
