//! Harbor's REST API v2.0, below `/api/v2.0`: projects, people, robots, registries, replication.
//!
//! One file for each tag of the contract (`users.rs`, `projects.rs`, …): its routes, its JSON
//! shapes, thin handlers. They share `error.rs` (Harbor's error JSON), `json.rs` (bodies),
//! `paging.rs` with `filter.rs` and `sort.rs` (lists), `caller.rs` (who asks), `access.rs` (may
//! they). The room does not know sockets, SQL or the registry protocol; what it needs of the
//! registry behind comes through [`Catalog`]. Read `users.rs` first.

mod access;
mod act;
mod caller;
mod catalog;
mod error;
mod filter;
mod json;
mod paging;
mod path;
mod router;
mod sort;
mod users;

use std::{path::PathBuf, sync::Arc};

use crate::{audit::Recorder, auth::Auth, clock::SharedClock};

pub use catalog::{Catalog, Probe};
pub use router::Router;

/// What the API stands on; [`Api::router`] makes a service of it.
#[derive(Debug)]
pub struct Api {
    pub auth: Auth,
    pub audit: Recorder,
    pub clock: SharedClock,
    pub catalog: Arc<dyn Catalog>,
    /// Shown by `GET /health`, in this order.
    pub probes: Vec<Arc<dyn Probe>>,
    pub installation: Installation,
}

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

/// The API's state in its handlers.
type Shared = Arc<Api>;

/// Where every path of the contract begins.
const ROOT: &str = "/api/v2.0";
