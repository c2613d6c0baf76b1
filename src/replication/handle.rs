use std::{path::PathBuf, sync::Arc};

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Change, Config, Error, Policy, PolicyId,
    intents::{self, Desk, InFlight, Spill, Writer},
    lag,
    metrics::Metrics,
    places::Places,
    policies::{self, Snapshot},
    registries::{self, Clients},
    standing::MAX_WAITING,
    tee::Tee,
    transfer::{Flights, Speeds, Throttles},
    uploads::Uploads,
};
use crate::{
    clock::SharedClock,
    inventory::{self, Inventory},
    jobs::{Handler, Jobs, Schedules},
    oci::RepositoryName,
    registry,
    secret::{SealingKey, random_bytes, random_token},
    store::Db,
    wire::Exchange,
};

/// What replication stands on.
#[derive(Debug)]
pub struct Parts {
    pub config: Config,
    pub db: Db,
    pub jobs: Jobs,
    pub clock: SharedClock,
    /// Seals the secrets of registries.
    pub sealing: Arc<SealingKey>,
    /// The registry behind this gateway.
    pub local: Exchange,
    /// The index of it, which knows the labels.
    pub inventory: Inventory,
    /// Limits of the connections to each remote registry.
    pub connections: registry::Config,
    pub data_dir: PathBuf,
}

/// Replication as the other rooms hold it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Replication {
    pub(super) shared: Arc<Shared>,
}

/// What all of replication shares.
#[derive(Debug)]
pub(super) struct Shared {
    pub config: Config,
    pub db: Db,
    pub jobs: Jobs,
    pub schedules: Schedules,
    pub inventory: Inventory,
    pub clock: SharedClock,
    pub sealing: Arc<SealingKey>,
    pub connections: registry::Config,
    pub clients: Clients,
    pub snapshot: Snapshot,
    pub writer: Writer,
    pub in_flight: Arc<InFlight>,
    pub spill: Spill,
    pub places: Places,
    pub flights: Flights,
    pub uploads: Uploads,
    pub throttles: Throttles,
    pub tee: Tee,
    /// Places for those who wait for a reference to arrive.
    pub waiting: Semaphore,
    pub metrics: Metrics,
    /// Names this life of the process; random, so that no restart inherits its intents.
    pub boot: Arc<str>,
}

impl Replication {
    /// Reads the policies and starts the tasks that write intents, settle those left behind and
    /// follow the policies of other instances.
    ///
    /// Cancel `stop` after the listener has drained: requests under way still write. The writer
    /// itself ends when the last handle is dropped.
    pub async fn start(
        parts: Parts,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let boot: Arc<str> = random_token().into();
        let desk = Desk {
            db: parts.db.clone(),
            jobs: parts.jobs.clone(),
            clock: Arc::clone(&parts.clock),
            boot: Arc::clone(&boot),
            is_away: false,
        };
        let (writer, writing) = Writer::new(desk, parts.config.max_waiting_changes);
        tasks.spawn(writing);
        let new_name = hex::encode(random_bytes::<8>());
        let installation = registries::queries::installation_name(&parts.db, &new_name).await?;
        let spill_path = parts.data_dir.join(SPILL_FILE);
        let speeds = Speeds::default();
        let shared = Arc::new(Shared {
            clients: Clients::new(parts.local),
            snapshot: Snapshot::new(installation, speeds.clone()),
            writer,
            in_flight: Arc::default(),
            spill: Spill::new(spill_path, parts.config.max_spill_bytes),
            places: Places::new(parts.db.clone(), Arc::clone(&parts.clock)),
            flights: Flights::default(),
            uploads: Uploads::new(
                parts.db.clone(),
                Arc::clone(&parts.clock),
                Arc::clone(&parts.sealing),
            ),
            throttles: Throttles::new(speeds),
            tee: Tee::new(&parts.config, parts.data_dir, tasks.clone(), stop.clone()),
            waiting: Semaphore::new(MAX_WAITING),
            schedules: Schedules::new(parts.jobs.clone()),
            config: parts.config,
            inventory: parts.inventory,
            db: parts.db,
            jobs: parts.jobs,
            clock: parts.clock,
            sealing: parts.sealing,
            connections: parts.connections,
            metrics: Metrics::default(),
            boot,
        });
        shared.snapshot.refresh(&shared.db).await?;
        let following = Arc::clone(&shared);
        let following_stop = stop.clone();
        tasks.spawn(async move {
            let db = &following.db;
            following.snapshot.follow(db, &following_stop).await;
        });
        tasks.spawn(lag::watch(Arc::clone(&shared), stop.clone()));
        tasks.spawn(registries::watch_health(Arc::clone(&shared), stop.clone()));
        tasks.spawn(super::execute::keep_auditing(
            Arc::clone(&shared),
            stop.clone(),
        ));
        tasks.spawn(intents::resolve(Arc::clone(&shared), stop));
        Ok(Self { shared })
    }

    /// Whether a change of the repository would be looked at; answered from memory.
    pub fn wants(&self, repository: &RepositoryName) -> bool {
        self.shared.snapshot.wants(repository)
    }

    /// Whether [`Replication::intend`] would write anything; answered from memory.
    pub fn concerns(&self, change: &Change) -> bool {
        !self.shared.snapshot.affected(change).is_empty()
    }

    /// What tells this installation, all gateways on one database, from others.
    pub fn installation(&self) -> &str {
        self.shared.snapshot.own()
    }

    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// What runs the jobs of this room. What they bring into the registry behind this gateway goes
    /// through `registry`.
    pub fn handlers(&self, registry: Arc<dyn inventory::Registry>) -> Vec<Arc<dyn Handler>> {
        let shared = Arc::clone(&self.shared);
        vec![
            Arc::new(super::transfer::Transfers::new(shared, registry)),
            Arc::new(super::execute::Executor::new(Arc::clone(&self.shared))),
            Arc::new(super::execute::Auditor::new(Arc::clone(&self.shared))),
        ]
    }
}

impl Shared {
    /// The policy as it is now.
    pub(super) async fn policy(&self, id: PolicyId) -> Result<Option<Policy>, Error> {
        let row = policies::queries::by_id(&self.db, id).await?;
        row.map(Policy::try_from).transpose()
    }
}

/// Under `data_dir`.
const SPILL_FILE: &str = "replication-changes.jsonl";
