//! Storage limits of projects: what a push would add is reserved before it can be stored.
//!
//! What a project uses is counted by the index, with each manifest. What is on its way, or here
//! and in no manifest yet, is held in memory: `ledger.rs` decides, without I/O and clock, whether
//! something still fits, and `handle.rs` reads the project's use for it from the database. The
//! room does not know HTTP; `proxy` asks it before bytes reach the registry. Projects without a
//! limit cost nothing. Read `handle.rs` first.

mod config;
mod error;
mod handle;
mod ledger;
mod list;
mod metrics;
mod queries;
mod reservation;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use error::{Error, Exceeded, Kind};
pub use handle::{Parts, Pusher, Quota};
pub use list::ProjectQuota;
pub use metrics::Metrics;
pub use reservation::Reservation;
