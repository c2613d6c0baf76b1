//! Upload sessions: content on its way in.
//!
//! A session is one file under `uploads/`, so that it outlives the process. While it is open its
//! file and the state of its hash are held in memory by a [`Sink`]; a request takes the sink out
//! as a [`Lease`] and no other request can have it meanwhile. Read `sessions.rs` first.

mod id;
mod lease;
mod receive;
mod sessions;
mod sink;
mod sweep;

pub(super) use lease::Lease;
pub(super) use receive::receive;
pub(super) use sessions::{Progress, Sessions};
