//! Quotas over a database, for tests of the rooms above.

use std::sync::Arc;

use tempfile::TempDir;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Config, Parts, Quota};
use crate::{
    auth::Auth,
    clock::SharedClock,
    inventory::{self, Inventory},
    jobs::{self, Jobs},
    registry,
    secret::SealingKey,
    settings,
    store::Db,
    webhook::{self, Webhooks},
    wire::Exchange,
};

/// Quotas with an index of their own, whose files lie in the directory.
pub(crate) struct Shelf {
    pub(crate) quota: Quota,
    pub(crate) inventory: Inventory,
    pub(crate) webhooks: Webhooks,
    _directory: TempDir,
    _stop: tokio_util::sync::DropGuard,
}

impl Shelf {
    pub(crate) async fn over(
        db: &Db,
        clock: &SharedClock,
        auth: &Auth,
        (settings, registry): (settings::Reader, Exchange),
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let index = inventory::Parts {
            db: db.clone(),
            clock: clock.clone(),
            registry: registry.clone(),
        };
        let inventory = Inventory::start(index, directory.path(), &tasks, stop.clone()).unwrap();
        let webhooks = webhook::Parts {
            config: webhook::Config::default(),
            jobs: Jobs::new(db.clone(), clock.clone(), jobs::Config::default()),
            db: db.clone(),
            clock: clock.clone(),
            settings: settings.clone(),
            sealing: Arc::new(SealingKey::new(&[7; SealingKey::LEN]).unwrap()),
            local: registry,
            data_dir: directory.path().to_owned(),
            host: None,
            proxies: registry::Proxies::default(),
        };
        let webhooks = Webhooks::start(webhooks, &tasks, stop.clone());
        let webhooks = webhooks.await.unwrap();
        let quota = Quota::new(Parts {
            config: Config::default(),
            settings,
            db: db.clone(),
            clock: clock.clone(),
            auth: auth.clone(),
            inventory: inventory.clone(),
            webhooks: webhooks.clone(),
        });
        Self {
            quota,
            inventory,
            webhooks,
            _directory: directory,
            _stop: stop.drop_guard(),
        }
    }
}
