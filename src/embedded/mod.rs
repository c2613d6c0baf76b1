//! A complete OCI registry (distribution-spec 1.1) on the local file system, in process.
//!
//! [`Registry::exchange`] is the door: requests under `/v2/` go in, answers come out, and whoever
//! forwards to it cannot tell it from a remote registry. Nobody is signed in or refused here:
//! whoever holds the exchange may do everything.
//!
//! Read `registry.rs` first, then `disk/` (what lies where, and in which order it is written) and
//! `upload/` (sessions). `endpoint/` holds one file for each group of endpoints. This room knows
//! no users, no projects and no network.
//!
//! Deleting takes references away; [`Registry::collect`] gives the space back.

mod answer;
mod collect;
mod condemned;
mod config;
mod disk;
mod endpoint;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod metrics;
mod registry;
mod threads;
mod upload;

pub use collect::{CollectError, Collected, Collection, Effect, Told};
pub use condemned::Condemned;
pub use config::{Config, Durability};
pub use error::Error;
pub use metrics::Metrics;
pub use registry::Registry;

#[cfg(test)]
mod tests;
