//! `tidegate sync`: looks through the registry and makes the index equal to what it holds.

use std::{path::Path, sync::Arc};

use futures_util::TryStreamExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    data_dir::{DataDir, Error},
    open_database,
    shared::issuer,
    upstream::Behind,
};
use crate::{
    clock::{SharedClock, SystemClock},
    config::Config,
    inventory::{Inventory, Parts, Walk},
    jobs::{Jobs, State},
    settings::Settings,
    tls,
};

/// Walks through the whole registry, or through what belongs to one project; `show` gets a line
/// for each repository. What was cut is gone on with by the next call.
///
/// Where a gateway runs on the data directory, it does the work, as a job.
pub async fn run(
    config: Config,
    project: Option<String>,
    show: impl Fn(&str) + Send + Sync,
) -> anyhow::Result<()> {
    expect_data(&config)?;
    let walk = Walk { project };
    match DataDir::open(&config.server.data_dir) {
        Ok(data) => here(config, &data, &walk, show).await,
        Err(Error::InUse { path }) => by_the_gateway(&config, &walk, &path, show).await,
        Err(error) => Err(error.into()),
    }
}

/// A directory made just now would hold an empty registry, and the index would be emptied too.
fn expect_data(config: &Config) -> anyhow::Result<()> {
    let data_dir = &config.server.data_dir;
    let mut expected = vec![data_dir.clone()];
    if config.upstream.url.is_none() {
        expected.push(data_dir.join("registry"));
    }
    for folder in expected {
        anyhow::ensure!(
            folder.is_dir(),
            "there is no {}; run this where the gateway runs, with its configuration",
            folder.display()
        );
    }
    Ok(())
}

async fn here(
    config: Config,
    data: &DataDir,
    walk: &Walk,
    show: impl Fn(&str) + Send + Sync,
) -> anyhow::Result<()> {
    tls::install_crypto();
    let clock: SharedClock = Arc::new(SystemClock);
    let db = open_database(&config).await?;
    let settings = Settings::open(db.clone(), config.settings()).await?;
    let issuer = issuer(&config, data, &settings, &clock)?;
    let registry = Behind::open(&config, data, &issuer, clock.clone())?.exchange();
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let parts = Parts {
        db: db.clone(),
        clock,
        registry,
    };
    let inventory = Inventory::start(parts, data.path(), &tasks, stop.clone())?;
    let found = inventory.walk(walk, |step| show(&step.to_string())).await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    db.close().await;
    show(&format!("done: {}", found?));
    Ok(())
}

async fn by_the_gateway(
    config: &Config,
    walk: &Walk,
    data_dir: &Path,
    show: impl Fn(&str) + Send + Sync,
) -> anyhow::Result<()> {
    show(&format!(
        "a gateway runs on {}; it does the work",
        data_dir.display()
    ));
    let db = open_database(config).await?;
    let jobs = Jobs::new(db.clone(), Arc::new(SystemClock), config.jobs());
    let mut tx = db.begin().await?;
    let id = jobs.enqueue(&mut tx, walk.job()).await?.id;
    tx.commit().await?;
    let mut pieces = std::pin::pin!(jobs.follow(id).await?);
    while let Some(piece) = pieces.try_next().await? {
        piece.lines().for_each(&show);
    }
    let job = jobs.job(id).await?;
    db.close().await;
    match job.state {
        State::Done => Ok(()),
        State::Stopped => anyhow::bail!("job {id} was stopped"),
        _ => anyhow::bail!("job {id}: {}", job.error.unwrap_or_default()),
    }
}
