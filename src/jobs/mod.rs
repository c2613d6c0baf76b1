//! The job engine: a durable queue, its workers and its schedules, for every background kind.
//!
//! Jobs live in the database; [`Jobs`] is the handle that enqueues, stops, retries and reads
//! them, [`Runner`] claims and runs them with the [`Handler`] of their kind, and [`Schedules`]
//! enqueues them by [`Cron`] expressions. At least one run follows every accepted wish; a run
//! may happen twice, so handlers bring about a state instead of counting.
//!
//! This room knows no kind of job: what is replicated, collected or delivered is its callers'.
//! Start with `lifecycle.rs` (what may happen to a job), then `queue.rs` and `runner.rs`.

mod breaker;
mod bulk;
mod claim;
mod config;
mod cron;
mod error;
mod failure;
mod fairness;
mod handler;
mod instance;
mod job;
mod lane;
mod launch;
mod lease;
mod ledger;
mod lifecycle;
mod log;
mod metrics;
mod pause;
mod progress;
pub(crate) mod queries;
mod queue;
mod runner;
mod schedule;
mod setback;
mod settler;
mod slots;
mod state;
mod system;
#[cfg(test)]
mod tests;
mod wake;
mod worker;

pub use bulk::Filter;
pub use config::Config;
pub use cron::{Cron, CronError};
pub use error::Error;
pub use failure::{Class, Failure};
pub use handler::{Handler, Running};
pub use instance::{Instance, Work};
pub use job::{Enqueued, Job, JobId, NewJob};
pub use launch::{ByHand, Launch};
pub use ledger::{Backlog, ParkedTarget, Schedule, Selected};
pub use log::Log;
pub use metrics::Metrics;
pub use pause::{Queue, SCHEDULER};
pub use progress::Progress;
pub use queue::{Jobs, Stopping};
pub use runner::Runner;
pub use schedule::{Firing, NewSchedule, Outcome, Overlap, Schedules};
pub use state::{State, UnknownState};
pub use system::{Cadence, SystemJob, SystemRun, SystemSchedule, Trigger};
