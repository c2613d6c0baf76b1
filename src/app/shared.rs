//! The parts of the gateway, made from the bottom up: what each room is given stands here.

use std::{path::PathBuf, sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    background::Background,
    behalf::Behalf,
    data_dir::DataDir,
    events::Events,
    replicated,
    routes::{self, Rooms},
    status::{DatabaseProbe, Recent, RegistryProbe, Status},
    tee::Tee,
    upstream::Behind,
    watcher::{Ears, Watcher},
};
use crate::{
    api::{self, Probe},
    audit,
    auth::{
        Auth,
        bearer::{Expected, Verifier},
    },
    clock::SharedClock,
    config::Config,
    gc::{self, Gc},
    inventory::{self, Inventory, Walk},
    jobs::Jobs,
    notification,
    proxy::{self, Keep, Proxy, PublicAddress},
    quota::{self, Quota},
    registry::Proxies,
    replication::{self, Replication},
    retention::{self, Retention},
    secret::SealingKey,
    settings::Settings,
    store::Db,
    token::{self, Issuer, Keys},
    webhook::{self, Webhooks},
};

/// What the paths lead to, besides what [`Shared`] has.
pub(super) struct Served {
    pub(super) proxy: Proxy,
    pub(super) retention: Retention,
    pub(super) gc: Gc,
    pub(super) purge: audit::Purge,
    pub(super) quota: Quota,
}

/// The parts that rooms with HTTP paths share.
pub(super) struct Shared {
    config: Config,
    db: Db,
    clock: SharedClock,
    settings: Settings,
    pub(super) auth: Auth,
    audit: audit::Recorder,
    issuer: Issuer,
    behind: Behind,
    pub(super) jobs: Jobs,
    pub(super) inventory: Inventory,
    pub(super) replication: Replication,
    events: Events,
    pub(super) webhooks: Webhooks,
    sealing: Arc<SealingKey>,
}

impl Shared {
    pub(super) async fn build(
        config: Config,
        clock: SharedClock,
        data: &DataDir,
        background: &Background,
        metrics: &mut Registry,
    ) -> anyhow::Result<Self> {
        let (db, tasks) = (background.db.clone(), &background.tasks);
        let settings = Settings::open(db.clone(), config.settings()).await?;
        tasks.spawn(settings.clone().follow(background.stop.clone()));
        let audit = recorder(&config.audit, &clock, &settings, background)?;
        audit.metrics().register(metrics);
        let auth = Auth::audited(
            db.clone(),
            clock.clone(),
            config.auth.clone(),
            settings.reader(),
            audit.clone(),
        );
        auth.metrics().register(metrics);
        let issuer = issuer(&config, data, &settings, &clock)?;
        let behind = Behind::open(&config, data, &issuer, clock.clone())?;
        if let Behind::Embedded { registry, .. } = &behind {
            registry.metrics().register(metrics);
            tasks.spawn(registry.clone().sweep_uploads(background.stop.clone()));
        }
        let jobs = Jobs::new(db.clone(), clock.clone(), config.jobs());
        jobs.metrics().register(metrics);
        let sealing = Arc::new(data.sealing_key()?);
        let parts = inventory::Parts {
            db: db.clone(),
            clock: clock.clone(),
            registry: behind.exchange(),
        };
        let inventory = Inventory::start(parts, data.path(), tasks, background.stop.clone())?;
        sync_once(&inventory, &jobs, &db).await?;
        let parts = replication::Parts {
            config: config.replication.clone(),
            jobs: jobs.clone(),
            db,
            clock: clock.clone(),
            sealing: Arc::clone(&sealing),
            local: behind.exchange(),
            inventory: inventory.clone(),
            connections: config.upstream.connections.clone(),
            data_dir: data.path().to_owned(),
        };
        let replication = Replication::start(parts, tasks, background.stop.clone()).await?;
        replication.metrics().register(metrics);
        let webhooks = webhook::Parts {
            config: config.webhook.clone(),
            jobs: jobs.clone(),
            db: background.db.clone(),
            clock: clock.clone(),
            settings: settings.reader(),
            sealing: Arc::clone(&sealing),
            local: behind.exchange(),
            data_dir: data.path().to_owned(),
            host: host_of(&config),
            proxies: Proxies::from_environment(),
        };
        let webhooks = Webhooks::start(webhooks, tasks, background.stop.clone()).await?;
        webhooks.metrics().register(metrics);
        let told = (replication.clone(), webhooks.clone());
        let stop = background.stop.clone();
        tasks.spawn(replicated::tell(told, clock.clone(), stop));
        tasks.spawn(sweep_refresh_tokens(auth.clone(), background.stop.clone()));
        Ok(Self {
            config,
            db: background.db.clone(),
            clock,
            settings,
            auth,
            audit,
            issuer,
            behind,
            jobs,
            inventory,
            replication,
            events: Events::new(webhooks.clone()),
            webhooks,
            sealing,
        })
    }

    pub(super) fn rooms(
        self,
        background: &Background,
        mut metrics: Registry,
        served: Served,
        ca_certificate: Option<PathBuf>,
    ) -> anyhow::Result<Rooms> {
        let probes: Vec<Arc<dyn Probe>> = vec![
            Arc::new(Recent::of(DatabaseProbe(background.db.clone()))),
            Arc::new(Recent::of(RegistryProbe(self.behind.exchange()))),
        ];
        let tokens = token::Metrics::default();
        tokens.register(&mut metrics);
        let notifications = self.notifications(&served.proxy, &background.exchanges, &mut metrics);
        let installation = self.replication.installation().parse()?;
        let api = api::Parts {
            auth: self.auth.clone(),
            settings: self.settings,
            audit: self.audit,
            audit_log: audit::Log::new(background.db.clone()),
            audit_purge: served.purge,
            clock: self.clock,
            replication: self.replication,
            retention: served.retention,
            gc: served.gc,
            webhooks: self.webhooks,
            quota: served.quota,
            jobs: self.jobs,
            inventory: self.inventory,
            registry: Arc::new(Behalf(served.proxy.clone())),
            probes: probes.clone(),
            installation: api::Installation {
                external_url: self
                    .config
                    .server
                    .external_url
                    .map(|url| url.origin().to_owned()),
                ca_certificate,
                storage: self.behind.storage(),
            },
            elsewhere: routes::documented(),
        };
        Ok(Rooms {
            proxy: served.proxy,
            token: token::Service::new(self.issuer, self.auth, tokens),
            api: api::Router::new(api),
            notifications,
            status: Status { probes, metrics },
            installation,
        })
    }

    pub(super) fn purge(&self) -> audit::Purge {
        audit::Purge::new(self.db.clone(), self.jobs.clone(), self.clock.clone())
    }

    pub(super) fn gc(&self, proxy: &Proxy) -> Gc {
        Gc::new(gc::Parts {
            config: self.config.gc.clone(),
            jobs: self.jobs.clone(),
            clock: self.clock.clone(),
            settings: self.settings.reader(),
            inventory: self.inventory.clone(),
            registry: Arc::new(Behalf(proxy.clone())),
            embedded: match &self.behind {
                Behind::Embedded { registry, .. } => Some(registry.clone()),
                Behind::Remote { .. } => None,
            },
        })
    }

    pub(super) fn retention(&self, proxy: &Proxy) -> Retention {
        Retention::new(retention::Parts {
            config: self.config.retention.clone(),
            db: self.db.clone(),
            jobs: self.jobs.clone(),
            clock: self.clock.clone(),
            auth: self.auth.clone(),
            inventory: self.inventory.clone(),
            registry: Arc::new(Behalf(proxy.clone())),
            webhooks: self.webhooks.clone(),
        })
    }

    pub(super) fn quota(&self) -> Quota {
        Quota::new(quota::Parts {
            config: self.config.quota.clone(),
            settings: self.settings.reader(),
            db: self.db.clone(),
            clock: self.clock.clone(),
            auth: self.auth.clone(),
            inventory: self.inventory.clone(),
            webhooks: self.webhooks.clone(),
        })
    }

    fn keep(&self) -> Keep {
        let has_peers = matches!(self.db, Db::Pg(_));
        let kept_for = self.config.proxy.cache.max_age();
        match self.behind {
            Behind::Remote { .. } if self.config.upstream.shared.unwrap_or(has_peers) => {
                Keep::Nothing
            }
            Behind::Remote { .. } => Keep::Everything,
            // A HEAD spares content for the window: for more than its answer is kept.
            Behind::Embedded { .. } if self.config.gc.window() > kept_for => Keep::Everything,
            Behind::Embedded { .. } => Keep::Gets,
        }
    }

    fn watcher(&self, tasks: &TaskTracker) -> Watcher {
        Watcher {
            replication: self.replication.clone(),
            inventory: self.inventory.clone(),
            settings: self.settings.reader(),
            audit: self.audit.clone(),
            events: self.events.clone(),
            clock: self.clock.clone(),
            tasks: tasks.clone(),
        }
    }

    /// By which the registry's notifications of changes that passed the gateway are known.
    fn mark(&self) -> String {
        format!(" tidegate/{}", self.replication.installation())
    }

    fn notifications(
        &self,
        proxy: &Proxy,
        tasks: &TaskTracker,
        metrics: &mut Registry,
    ) -> notification::Service {
        let counters = notification::Metrics::default();
        counters.register(metrics);
        let observer = Arc::new(Ears {
            watcher: self.watcher(tasks),
            proxy: proxy.clone(),
        });
        let config = &self.config.notifications;
        notification::Service::new(config, self.mark(), observer, counters)
    }

    pub(super) fn proxy(
        &self,
        quota: &Quota,
        tasks: &TaskTracker,
        metrics: &mut Registry,
    ) -> anyhow::Result<Proxy> {
        let counters = proxy::Metrics::new();
        counters.register(metrics);
        let external_url = self.config.server.external_url.as_ref();
        let expected = Expected {
            issuer: self.config.token.issuer.clone(),
            audience: self.config.token.service.clone(),
        };
        let verifier = Verifier::new(
            self.issuer
                .keys()
                .verifiers(self.config.token.key_reference)?,
            expected,
            self.clock.clone(),
            self.config.auth.cache_entries,
        );
        Ok(Proxy::new(proxy::Parts {
            config: self.config.proxy.clone(),
            settings: self.settings.reader(),
            auth: self.auth.clone(),
            quota: quota.clone(),
            verifier,
            upstream: proxy::Upstream {
                exchange: self.behind.exchange(),
                url: self.behind.url().cloned(),
                keep: self.keep(),
            },
            observer: Arc::new(self.watcher(tasks)),
            follower: Some(Arc::new(Tee(self.replication.clone()))),
            mark: self.mark(),
            address: PublicAddress {
                external_url: external_url.map(|url| url.origin().parse()).transpose()?,
                service: self.config.token.service.clone(),
            },
            clock: self.clock.clone(),
            metrics: counters,
            sealing: Arc::clone(&self.sealing),
            tasks: tasks.clone(),
        }))
    }
}

/// The audit trail, with what writes it down and sends it on.
fn recorder(
    config: &audit::Config,
    clock: &SharedClock,
    settings: &Settings,
    background: &Background,
) -> anyhow::Result<audit::Recorder> {
    let (db, stop) = (background.db.clone(), &background.stop);
    let (recorder, writer) = audit::Recorder::open(db, clock.clone(), config);
    let (recorder, forwarder) = recorder.forwarding(config, settings.reader())?;
    background.tasks.spawn(writer.run(stop.clone()));
    background.tasks.spawn(forwarder.run(stop.clone()));
    Ok(recorder)
}

pub(super) fn issuer(
    config: &Config,
    data: &DataDir,
    settings: &Settings,
    clock: &SharedClock,
) -> anyhow::Result<Issuer> {
    let keys = Keys::load(data.path(), config.token.algorithm, clock)?;
    let (config, reader) = (config.token.clone(), settings.reader());
    Ok(Issuer::new(Arc::new(keys), config, reader, clock.clone())?)
}

/// A registry that was there before is looked through once.
async fn sync_once(inventory: &Inventory, jobs: &Jobs, db: &Db) -> anyhow::Result<()> {
    if inventory.is_complete().await? {
        return Ok(());
    }
    let mut tx = db.begin().await?;
    jobs.enqueue(&mut tx, Walk::default().job()).await?;
    tx.commit().await?;
    Ok(())
}

/// Deletes refresh tokens that nobody used for long, now and then every hour until `stop`.
async fn sweep_refresh_tokens(auth: Auth, stop: CancellationToken) {
    loop {
        if let Err(error) = auth.sweep_refresh_tokens().await {
            tracing::warn!("old refresh tokens were not deleted: {error}");
        }
        let wait = stop.run_until_cancelled(tokio::time::sleep(SWEEP_INTERVAL));
        if wait.await.is_none() {
            return;
        }
    }
}

/// Host and port by which clients know the registry.
fn host_of(config: &Config) -> Option<String> {
    let url = config.server.external_url.as_ref()?;
    let (_, host) = url.origin().split_once("://")?;
    Some(host.to_owned())
}

const SWEEP_INTERVAL: Duration = Duration::from_hours(1);
