//! Tidegate: a registry gateway in one binary.
//!
//! The folders beside this file are rooms, listed here from the bottom up; a room uses only
//! rooms of lines below its own. `ARCHITECTURE.md` is the map.

// Vocabulary: no I/O.
pub mod backoff;
pub mod clock;
pub mod failpoint;
pub mod network;
pub mod oci;
pub mod rate;
pub mod secret;
pub mod wire;

pub mod import;
pub mod telemetry;

pub mod store;
pub mod tls;

pub mod audit;
pub mod embedded;
pub mod jobs;
pub mod registry;
pub mod server;
pub mod settings;

pub mod auth;

pub mod inventory;
pub mod webhook;

pub mod gc;
pub mod quota;
pub mod replication;
pub mod retention;

pub mod api;
pub mod notification;
pub mod proxy;
pub mod token;

pub mod config;

pub mod app;

pub mod cli;
