//! Wires everything: [`App::build`] makes the whole gateway of its configuration.
//!
//! Rooms that do not know each other meet here: `watcher.rs` tells replication, webhooks, the
//! audit trail and the index what passes the proxy, `replicated.rs` tells webhooks what replication
//! has done, `behalf.rs` lets other rooms change what stands behind it, `tee.rs` hands it the bytes
//! of uploads, `upstream.rs` decides what stands behind, `routes.rs` says which room answers which
//! path. Read [`App::build`] from top to bottom, then `shared.rs`, where each room is given what it
//! needs.

mod background;
mod behalf;
pub mod check;
mod data_dir;
pub mod demo;
mod events;
pub mod import;
mod replicated;
mod routes;
mod shared;
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

use crate::{
    auth::Auth,
    clock::SharedClock,
    config::Config,
    inventory::SyncHandler,
    jobs::Runner,
    replication::Replication,
    secret::Secret,
    server::{AccessLog, Listener, Shutdown},
    store::Db,
    telemetry::{self, LogFile},
    tls,
};

use background::{Background, CLOSING, last_words};
use behalf::Behalf;
use data_dir::{DataDir, exposure};
use routes::Routes;
use shared::{Served, Shared};

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

/// The names a certificate of our own is to bear besides the machine's.
fn host_names(config: &Config) -> Vec<String> {
    config
        .server
        .external_url
        .iter()
        .map(|url| url.host_name().to_owned())
        .collect()
}

/// What the work behind the requests is given at least; together with the closing, 15 s.
const LEAST_PATIENCE: Duration = CLOSING.saturating_mul(2);
