use std::{path::PathBuf, sync::Arc};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Config, Error, Event, EventType, NotifyType, Resource, delivery::Deliveries, desk,
    metrics::Metrics, outbox::Outbox, queries, snapshot::Snapshot,
};
use crate::{
    clock::{SharedClock, Timestamp},
    jobs::{Handler, Jobs},
    registry::{Client, Proxies},
    secret::SealingKey,
    settings,
    store::Db,
    wire::Exchange,
};

/// What webhooks stand on.
#[derive(Debug)]
pub struct Parts {
    pub config: Config,
    pub db: Db,
    pub jobs: Jobs,
    pub clock: SharedClock,
    pub settings: settings::Reader,
    /// Seals the secrets of targets.
    pub sealing: Arc<SealingKey>,
    /// The registry behind this gateway.
    pub local: Exchange,
    pub data_dir: PathBuf,
    /// Host and port by which clients know the registry, where that is configured.
    pub host: Option<String>,
    pub proxies: Proxies,
}

/// Webhooks as the other rooms hold them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Webhooks {
    pub(super) shared: Arc<Shared>,
}

/// What all of webhooks shares.
#[derive(Debug)]
pub(super) struct Shared {
    pub config: Config,
    pub db: Db,
    pub jobs: Jobs,
    pub clock: SharedClock,
    pub sealing: Arc<SealingKey>,
    pub local: Client,
    pub host: Option<String>,
    pub proxies: Proxies,
    pub snapshot: Snapshot,
    pub outbox: Outbox,
    pub metrics: Metrics,
}

impl Webhooks {
    /// Reads the policies and what an earlier life of the process has left, and starts the tasks
    /// that write events to the database and follow the policies of other instances.
    ///
    /// Cancel `stop` after the listener has drained: what is fired until then is written.
    pub async fn start(
        parts: Parts,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let path = parts.data_dir.join(OUTBOX_FILE);
        let outbox = Outbox::open(path, parts.config.max_waiting_events, parts.clock.now())?;
        let shared = Arc::new(Shared {
            outbox,
            snapshot: Snapshot::new(parts.settings),
            local: Client::new(parts.local),
            config: parts.config,
            db: parts.db,
            jobs: parts.jobs,
            clock: parts.clock,
            sealing: parts.sealing,
            host: parts.host,
            proxies: parts.proxies,
            metrics: Metrics::default(),
        });
        shared.snapshot.refresh(&shared.db).await?;
        let (following, following_stop) = (Arc::clone(&shared), stop.clone());
        tasks.spawn(async move {
            let db = &following.db;
            following.snapshot.follow(db, &following_stop).await;
        });
        tasks.spawn(desk::keep(Arc::clone(&shared), stop.clone()));
        tasks.spawn(desk::serve(Arc::clone(&shared), stop));
        Ok(Self { shared })
    }

    /// Whether any policy of the project, given by its name, wants such events; answered from
    /// memory.
    pub fn wants(&self, project: &str, kind: EventType) -> bool {
        self.shared.snapshot.wants(project, kind)
    }

    /// Whether any policy of any project wants such events; answered from memory.
    pub fn is_wanted_anywhere(&self, kind: EventType) -> bool {
        self.shared.snapshot.is_wanted_anywhere(kind)
    }

    /// Tells what has happened. Never waits; costs nothing where no policy wants it.
    pub fn fire(&self, event: Event) {
        let shared = &self.shared;
        if self.wants(&event.project, event.kind) && !shared.outbox.add(event) {
            shared.dropped();
        }
    }

    /// Like [`Webhooks::fire`] for what may be lost when the process dies: pulls, of which there
    /// are many.
    pub fn fire_fleeting(&self, event: Event) {
        let shared = &self.shared;
        if self.wants(&event.project, event.kind) && !shared.outbox.add_fleeting(event) {
            shared.dropped();
        }
    }

    /// Writes down what the registry is about to be asked for. `None` where no policy wants it.
    #[must_use]
    pub fn begin(&self, event: Event) -> Option<Begun> {
        let shared = &self.shared;
        if !self.wants(&event.project, event.kind) {
            return None;
        }
        let id = shared.outbox.begin(event);
        if id.is_none() {
            shared.dropped();
        }
        Some(Begun {
            shared: Arc::clone(shared),
            id: id?,
        })
    }

    /// Until when ended replications have been told.
    pub async fn replications_told(&self) -> Result<Timestamp, Error> {
        let told = queries::mark(&self.shared.db, queries::REPLICATION_MARK).await?;
        Ok(Timestamp::from_millis(told))
    }

    /// Says that ended replications have been told until this time.
    pub async fn tell_replications_until(&self, time: Timestamp) -> Result<(), Error> {
        let mark = queries::REPLICATION_MARK;
        Ok(queries::raise_mark(&self.shared.db, mark, time.millis()).await?)
    }

    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// What runs the jobs of this room.
    pub fn handlers(&self) -> Vec<Arc<dyn Handler>> {
        let handler = |kind: NotifyType| -> Arc<dyn Handler> {
            Arc::new(Deliveries::new(Arc::clone(&self.shared), kind))
        };
        NotifyType::ALL.into_iter().map(handler).collect()
    }
}

impl Shared {
    fn dropped(&self) {
        self.metrics.dropped.inc();
        tracing::debug!("a webhook event is lost: too many wait for the database");
    }
}

/// An event that may be about to happen; say how it ended. Dropped, it waits for the next start.
#[derive(Debug)]
pub struct Begun {
    shared: Arc<Shared>,
    id: u64,
}

impl Begun {
    /// It has happened to these artifacts: the policies are told.
    pub fn happened_to(self, resources: Vec<Resource>) {
        self.shared.outbox.happened_to(self.id, resources);
    }

    /// It has happened: the policies are told.
    pub fn happened(self) {
        self.shared.outbox.happened(self.id);
    }

    /// It will not happen.
    pub fn refused(self) {
        self.shared.outbox.forget(&[self.id]);
    }

    /// Nobody knows.
    pub fn unknown(self) {
        let now = self.shared.clock.now();
        self.shared.outbox.unknown(self.id, now);
    }
}

/// Under `data_dir`.
const OUTBOX_FILE: &str = "webhook-events.jsonl";
