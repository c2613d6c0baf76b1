//! What administrators set while the gateway runs, by Harbor's names (`GET /configurations`).
//!
//! `names.rs` is the table of names with their rules, [`Values`] what the other rooms read of
//! them. A value in the configuration comes before one in the database, and that before the
//! default; a configured one cannot be changed. [`Settings`] changes values, a [`Reader`] has
//! them at hand without asking the database. The room does not know what the values do.
//! Start with `names.rs`.

mod change;
mod config;
mod endpoint;
mod error;
mod names;
pub(crate) mod queries;
mod reader;
#[cfg(test)]
mod tests;
mod values;

pub use change::{Item, Settings};
pub use config::Config;
pub use endpoint::{Endpoint, Transport};
pub use error::{Error, Kind};
pub use names::schemas;
pub use reader::Reader;
pub use values::{ProjectCreation, Values};

/// Values by their names.
pub type Named = std::collections::BTreeMap<String, serde_json::Value>;
