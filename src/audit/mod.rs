//! The audit log: who did what to which thing, and whether it worked.
//!
//! [`Recorder`] takes events from every room and never waits: they go through a bounded queue
//! to one [`Writer`], which writes them in batches, and through others to the [`Forwarder`], which
//! sends them on. [`Log`] reads them back, [`Purge`] deletes what is old. The room knows the words
//! of its events only, not the rooms that send them. An event in a queue is lost with the process;
//! nothing may depend on one.

mod config;
mod event;
mod forward;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod log;
mod metrics;
mod purge;
pub(crate) mod queries;
mod recorder;
#[cfg(test)]
mod tests;
mod types;
mod writer;

pub use config::Config;
pub use event::{EVENT_TYPES, Event, Operation, Outcome};
pub use forward::Forwarder;
pub use log::{Entry, Log, View};
pub use metrics::Metrics;
pub use purge::{Purge, PurgeParameters};
pub use recorder::Recorder;
pub use types::check_types;
pub use writer::Writer;
