//! Tidegate from the outside: the built program, real registries, real clients.
//!
//! `tests/run` installs and starts what these tests need. `harness` holds the programs they
//! drive; every other file is named for what it shows.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]
#![expect(
    unreachable_pub,
    reason = "the harness is a door of its own, as a room's is"
)]

mod harness;

mod access_log;
mod behind;
mod bidirectional;
mod clients;
mod contents;
mod demo;
mod faults;
mod fuzz;
mod garbage;
mod harborapi;
mod importing;
mod jobs;
mod layers;
mod lifecycle;
mod mirror;
mod no_lost_push;
mod notifications;
mod outage;
mod parity;
mod pulling;
mod quotas;
mod refusals;
mod renegotiation;
mod rest;
mod resume;
mod retention;
mod tee;
mod tokens;
mod waiting;
mod webhooks;
