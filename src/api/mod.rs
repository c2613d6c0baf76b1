//! Harbor's REST API v2.0, below `/api/v2.0`: projects, people, groups, robots, registries, replication;
//! and the job API below `/api/v1`.
//!
//! One file for each tag of the contract (`users.rs`, `projects.rs`, …): its routes, its JSON
//! shapes, thin handlers, whose signatures are what `openapi` tells of them. They share `error.rs`
//! (Harbor's error JSON), `json.rs` (bodies), `answer.rs` (what was made, texts), `paging.rs` with
//! `filter.rs` and `sort.rs` (lists), `caller.rs` (who asks), `access.rs` (may they). The room
//! does not know sockets, SQL or the registry protocol; what it shows of the registry behind comes
//! from the index, what it changes goes through [`Registry`]. Read `users.rs` first.

mod access;
mod act;
mod adapters;
mod answer;
mod artifacts;
mod audit_logs;
mod caller;
mod configurations;
mod error;
mod executions;
mod filter;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod groups;
mod health;
mod immutable;
mod jobs;
mod jobservice;
mod json;
mod labels;
mod members;
mod metadata;
mod openapi;
mod paging;
mod path;
mod permissions;
mod policies;
mod probe;
mod projects;
mod quotas;
mod registries;
mod replication;
mod repositories;
mod retentions;
mod robots;
mod router;
mod schedules;
mod search;
mod sort;
mod system;
mod system_jobs;
#[cfg(test)]
mod tests;
mod users;
mod webhooks;

use std::{path::PathBuf, sync::Arc};

use crate::{
    audit::{Log, Purge, Recorder},
    auth::Auth,
    clock::SharedClock,
    gc::Gc,
    inventory::{Inventory, Registry},
    jobs::Jobs,
    quota::Quota,
    replication::Replication,
    retention::Retention,
    settings::Settings,
    webhook::Webhooks,
};

pub use openapi::Operation;
pub use probe::Probe;
pub use router::Router;

/// What the API stands on.
#[derive(Debug)]
pub struct Parts {
    pub auth: Auth,
    pub settings: Settings,
    pub replication: Replication,
    pub retention: Retention,
    pub gc: Gc,
    pub webhooks: Webhooks,
    pub quota: Quota,
    pub jobs: Jobs,
    pub audit: Recorder,
    pub audit_log: Log,
    pub audit_purge: Purge,
    pub clock: SharedClock,
    /// The index of what the registry behind holds, and the way to change it.
    pub inventory: Inventory,
    pub registry: Arc<dyn Registry>,
    /// Shown by `GET /health`, in this order.
    pub probes: Vec<Arc<dyn Probe>>,
    pub installation: Installation,
    /// What other rooms serve, for the document about the whole.
    pub elsewhere: Vec<Operation>,
}

/// The API's state in its handlers.
#[derive(Debug)]
struct Api {
    parts: Parts,
    /// The OpenAPI document, as JSON.
    document: bytes::Bytes,
}

impl std::ops::Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

type Shared = Arc<Api>;

/// What is fixed about this gateway, for `GET /systeminfo`.
#[derive(Debug, Clone, Default)]
pub struct Installation {
    /// As configured; none: clients see the address they used.
    pub external_url: Option<String>,
    /// The certificate of the authority that clients must trust, PEM.
    pub ca_certificate: Option<PathBuf>,
    /// Where the embedded registry keeps its blobs; none with a remote one.
    pub storage: Option<PathBuf>,
}

/// Where every path of the contract begins.
const ROOT: &str = "/api/v2.0";
