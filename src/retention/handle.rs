use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::{Config, Error, Metrics, Policy, PolicyId, queries, run};
use crate::{
    auth::Auth,
    clock::SharedClock,
    inventory::{Inventory, Registry},
    jobs::{Handler, Jobs, Schedules},
    store::Db,
    webhook::Webhooks,
};

/// What retention stands on.
#[derive(Debug)]
pub struct Parts {
    pub config: Config,
    pub db: Db,
    pub jobs: Jobs,
    pub clock: SharedClock,
    /// Projects, and their setting `retention_id`.
    pub auth: Auth,
    pub inventory: Inventory,
    /// The way to delete.
    pub registry: Arc<dyn Registry>,
    pub webhooks: Webhooks,
}

/// Retention as the other rooms hold it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Retention {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub config: Config,
    pub db: Db,
    pub jobs: Jobs,
    pub schedules: Schedules,
    pub clock: SharedClock,
    pub auth: Auth,
    pub inventory: Inventory,
    pub registry: Arc<dyn Registry>,
    pub webhooks: Webhooks,
    pub metrics: Metrics,
    /// When the next deletion may be made, by whichever run.
    pub next_deletion: Mutex<Instant>,
}

impl Retention {
    pub fn new(parts: Parts) -> Self {
        Self {
            shared: Arc::new(Shared {
                schedules: Schedules::new(parts.jobs.clone()),
                config: parts.config,
                db: parts.db,
                jobs: parts.jobs,
                clock: parts.clock,
                auth: parts.auth,
                inventory: parts.inventory,
                registry: parts.registry,
                webhooks: parts.webhooks,
                metrics: Metrics::default(),
                next_deletion: Mutex::new(Instant::now()),
            }),
        }
    }

    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// What runs the jobs of this room.
    pub fn handler(&self) -> Arc<dyn Handler> {
        Arc::new(run::Runs::new(Arc::clone(&self.shared)))
    }
}

impl Shared {
    pub(super) async fn policy(&self, id: PolicyId) -> Result<Policy, Error> {
        let row = queries::policy(&self.db, id).await?;
        row.ok_or(Error::NoPolicy(id))?.try_into()
    }
}
