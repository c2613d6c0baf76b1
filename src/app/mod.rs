//! Wires everything: [`App::build`] makes the whole gateway of its configuration.
//!
//! Rooms that do not know each other meet here: `watcher.rs` tells replication, webhooks, the
//! audit trail and the index what passes the proxy, `replicated.rs` tells webhooks what replication
//! has done, `behalf.rs` lets other rooms change what stands
//! behind it, `tee.rs` hands it the bytes of uploads, `upstream.rs` decides what stands behind,
//! `routes.rs` says which room answers which path. Read [`App::build`] from top to bottom.

mod background;
mod behalf;
pub mod check;
mod data_dir;
pub mod demo;
mod events;
pub mod import;
mod replicated;
mod routes;
mod status;
pub mod sync;
mod tee;
mod upstream;
mod watcher;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

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
    inventory::{self, Inventory, SyncHandler, Walk},
    jobs::{Jobs, Runner},
    notification,
    proxy::{self, Keep, Proxy, PublicAddress},
    quota::{self, Quota},
    registry::Proxies,
    replication::{self, Replication},
    retention::{self, Retention},
    secret::{SealingKey, Secret},
    server::{AccessLog, Listener, Shutdown},
    settings::Settings,
    store::Db,
    telemetry::{self, LogFile},
    tls,
    token::{self, Issuer, Keys},
    webhook::{self, Webhooks},
};

use background::{Background, CLOSING, last_words};
use behalf::Behalf;
use data_dir::{DataDir, exposure};
use events::Events;
use routes::{Rooms, Routes};
use status::{DatabaseProbe, Recent, RegistryProbe, Status};
use tee::Tee;
use upstream::Behind;
use watcher::{Ears, Watcher};

/// A gateway that is ready to serve: its sockets are bound, its database is open.
#[derive(Debug)]
pub struct App {
    listener: Listener,
    routes: Routes,
    runner: Runner,
    background: Background,
    drain_timeout: Duration,
    auth: Auth,
    replication: Replication,
    first_password: Option<Secret>,
    ca_certificate: Option<PathBuf>,
    data: DataDir,
}

/// What the paths lead to, besides what [`Shared`] has.
struct Served {
    proxy: Proxy,
    retention: Retention,
    gc: Gc,
    purge: audit::Purge,
    quota: Quota,
}

/// The parts that rooms with HTTP paths share.
struct Shared {
    config: Config,
    db: Db,
    clock: SharedClock,
    settings: Settings,
    auth: Auth,
    audit: audit::Recorder,
    issuer: Issuer,
    behind: Behind,
    jobs: Jobs,
    inventory: Inventory,
    replication: Replication,
    events: Events,
    webhooks: Webhooks,
    sealing: Arc<SealingKey>,
}

impl App {
    /// Builds the gateway: sockets first, so that a taken port is known before anything else is
    /// touched; then the data, the rooms from the bottom up, and the routes.
    pub async fn build(config: Config, clock: SharedClock) -> anyhow::Result<Self> {
        tls::install_crypto();
        let data = DataDir::open(&config.server.data_dir)?;
        if let Some(warning) = exposure(data.path()) {
            tracing::warn!("{warning}");
        }
        let tls = tls::Server::load(
            &config.tls,
            data.path(),
            &host_names(&config),
            clock.clone(),
        )?;
        let ca_certificate = tls.as_ref().and_then(tls::Server::ca_certificate);
        let listener = bind(&config, tls.clone(), clock.clone()).await?;
        let mut metrics = Registry::default();
        telemetry::ProcessMetrics.register(&mut metrics);
        telemetry::RuntimeMetrics.register(&mut metrics);
        listener.metrics().register(&mut metrics);

        let drain_timeout = config.server.drain_timeout();
        let background = Background::new(open_database(&config).await?);
        if let Some(tls) = tls {
            background.tasks.spawn(tls.watch(background.stop.clone()));
        }
        let shared = Shared::build(config, clock, &data, &background, &mut metrics).await?;
        let first_password = shared.auth.bootstrap().await?;
        let quota = shared.quota();
        quota.metrics().register(&mut metrics);
        let proxy = shared.proxy(&quota, &background.exchanges, &mut metrics)?;
        let retention = shared.retention(&proxy);
        retention.metrics().register(&mut metrics);
        let gc = shared.gc(&proxy);
        gc.metrics().register(&mut metrics);
        let purge = shared.purge();
        let mut handlers = shared.replication.handlers(Arc::new(Behalf(proxy.clone())));
        handlers.push(retention.handler());
        handlers.push(Arc::new(gc.clone()));
        handlers.push(Arc::new(purge.clone()));
        handlers.push(Arc::new(SyncHandler(shared.inventory.clone())));
        handlers.extend(shared.webhooks.handlers());
        let runner = Runner::new(shared.jobs.clone(), handlers);
        let (auth, replication) = (shared.auth.clone(), shared.replication.clone());
        let served = Served {
            proxy,
            retention,
            gc,
            purge,
            quota,
        };
        let rooms = shared.rooms(&background, metrics, served, ca_certificate.clone())?;
        Ok(Self {
            listener,
            routes: Routes::new(rooms),
            runner,
            background,
            drain_timeout,
            auth,
            replication,
            first_password,
            ca_certificate,
            data,
        })
    }

    /// The address that was bound, with the port the system chose if it was to.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// The password of `admin`, when this start has made the user and generated it.
    pub fn first_password(&self) -> Option<&Secret> {
        self.first_password.as_ref()
    }

    /// The CA that clients must be told about; `None` with a certificate of the operator's own.
    pub fn ca_certificate(&self) -> Option<&Path> {
        self.ca_certificate.as_deref()
    }

    /// Serves until `shutdown`: requests in flight finish, then jobs are handed back, what was
    /// to be written is written, and the database is closed. All of it takes at most the drain
    /// timeout, or some seconds more when the requests have used it up.
    ///
    /// Fails when work had to be cut, by the timeout or by aborting; the next start takes it up.
    pub async fn serve(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let Self {
            listener,
            routes,
            runner,
            background,
            drain_timeout,
            replication,
            ca_certificate,
            data,
            ..
        } = self;
        // Its writer ends with the last handle.
        drop(replication);
        announce(listener.local_addr(), ca_certificate.as_deref());
        let jobs = tokio::spawn(runner.run(shutdown.draining().clone()));
        let began = async {
            shutdown.draining().cancelled().await;
            Instant::now()
        };
        let serving = async { tokio::join!(listener.serve(routes, shutdown.clone()), began).1 };
        let patience = tokio::select! {
            began = serving => drain_timeout.saturating_sub(began.elapsed()),
            () = last_words(&shutdown) => Duration::ZERO,
        };
        let patience = patience.max(LEAST_PATIENCE);
        let is_finished = background.finish(jobs, &shutdown, patience).await;
        drop(data);
        anyhow::ensure!(
            is_finished,
            "stopped before all work was done; the next start takes up what is left"
        );
        Ok(())
    }
}

impl Shared {
    async fn build(
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

    fn rooms(
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

    fn purge(&self) -> audit::Purge {
        audit::Purge::new(self.db.clone(), self.jobs.clone(), self.clock.clone())
    }

    fn gc(&self, proxy: &Proxy) -> Gc {
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

    fn retention(&self, proxy: &Proxy) -> Retention {
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

    fn quota(&self) -> Quota {
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

    fn proxy(
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

fn issuer(
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

/// Says where clients find the gateway, and what they must trust.
fn announce(address: SocketAddr, ca_certificate: Option<&Path>) {
    tracing::info!("listening on {address}");
    if let Some(path) = ca_certificate.map(Path::display) {
        tracing::info!("clients must trust the certificate authority {path}");
    }
}

/// Opens the configured database, by default SQLite under the data directory, and migrates it.
pub async fn open_database(config: &Config) -> anyhow::Result<Db> {
    if config.database.url.is_none() {
        data_dir::make(&config.server.data_dir)?;
    }
    Ok(Db::open(&config.database, &database_path(config)).await?)
}

/// The SQLite file that the first start would make; `None` where it is there, and for PostgreSQL.
fn missing_database(config: &Config) -> Option<PathBuf> {
    let file = match config.database.url.as_deref() {
        None => database_path(config),
        Some(url) => url.strip_prefix("sqlite://")?.into(),
    };
    (!file.exists()).then_some(file)
}

fn database_path(config: &Config) -> PathBuf {
    config.server.data_dir.join("tidegate.db")
}

async fn bind(
    config: &Config,
    tls: Option<tls::Server>,
    clock: SharedClock,
) -> anyhow::Result<Listener> {
    let listener = Listener::bind(&config.server, tls)
        .await?
        .with_areas(routes::area)
        .with_limits(config.access.clone(), config.limits.clone());
    let format = config.telemetry.access_log;
    let log = match &config.telemetry.access_log_path {
        Some(path) => {
            let mut file = LogFile::new(path.clone());
            file.append(Vec::new())
                .await
                .context("telemetry.access_log_path")?;
            AccessLog::file(format, clock, file)
        }
        None => AccessLog::stdout(format, clock),
    };
    Ok(match log {
        Some(log) => listener.with_access_log(log),
        None => listener,
    })
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

/// The names a certificate of our own is to bear besides the machine's.
fn host_names(config: &Config) -> Vec<String> {
    config
        .server
        .external_url
        .iter()
        .map(|url| url.host_name().to_owned())
        .collect()
}

const SWEEP_INTERVAL: Duration = Duration::from_hours(1);

/// What the work behind the requests is given at least; together with the closing, 15 s.
const LEAST_PATIENCE: Duration = CLOSING.saturating_mul(2);
