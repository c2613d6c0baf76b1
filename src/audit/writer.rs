use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{Config, Log, Metrics, log, queries, recorder::Noted};
use crate::{
    clock::SharedClock,
    store::{self, Db},
};

/// Writes what the recorders took, in batches, and deletes what is too old.
#[derive(Debug)]
pub struct Writer {
    pub(super) events: mpsc::Receiver<Arc<Noted>>,
    pub(super) db: Db,
    pub(super) clock: SharedClock,
    pub(super) config: Config,
    pub(super) overflow: Arc<AtomicBool>,
    pub(super) metrics: Metrics,
}

impl Writer {
    /// Writes until told to stop or until the last recorder is gone; what is in the queue then
    /// is written before it returns, if the database takes it at once.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut sweeps = interval(SWEEP_INTERVAL);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            let size = self.config.batch_size.max(1);
            tokio::select! {
                biased;
                () = stop.cancelled() => self.events.close(),
                _ = sweeps.tick() => {
                    self.sweep().await;
                    continue;
                }
                received = self.events.recv_many(&mut batch, size) => {
                    if received == 0 {
                        return;
                    }
                }
            }
            if stop.is_cancelled() {
                return self.drain(batch).await;
            }
            self.write(&batch, &stop).await;
            // A transaction for a few events costs nearly as much as one for many.
            if batch.len() < size.min(self.events.max_capacity() / 4) {
                stop.run_until_cancelled(sleep(PAUSE)).await;
            }
            batch.clear();
        }
    }

    async fn drain(&mut self, mut batch: Vec<Arc<Noted>>) {
        loop {
            if let Err(error) = self.write_once(&batch).await {
                self.salvage(&batch, &error).await;
            }
            batch.clear();
            let size = self.config.batch_size.max(1);
            if self.events.recv_many(&mut batch, size).await == 0 {
                return;
            }
        }
    }

    /// Writes a batch; while the database is away it is kept and tried again.
    async fn write(&self, batch: &[Arc<Noted>], stop: &CancellationToken) {
        loop {
            match self.write_once(batch).await {
                Ok(()) => return self.overflow.store(false, Ordering::Relaxed),
                Err(error) if error.retryable() && !stop.is_cancelled() => {
                    tracing::warn!(%error, "audit events wait for the database");
                    tokio::select! {
                        () = sleep(RETRY_INTERVAL) => {}
                        () = stop.cancelled() => {}
                    }
                }
                Err(error) => return self.salvage(batch, &error).await,
            }
        }
    }

    /// Writes each event by itself, so that one the database refuses loses no other; when it is
    /// the database that is away, all are lost.
    async fn salvage(&self, batch: &[Arc<Noted>], error: &store::Error) {
        if error.retryable() {
            return self.lose(batch.len(), error);
        }
        for noted in batch {
            if let Err(error) = self.write_once(std::slice::from_ref(noted)).await {
                self.lose(1, &error);
            }
        }
    }

    async fn write_once(&self, batch: &[Arc<Noted>]) -> Result<(), store::Error> {
        let mut tx = self.db.begin().await?;
        queries::insert(&mut tx, batch).await?;
        let projects = batch.iter().map(|noted| noted.event.project.as_deref());
        for (project, entries) in log::counted(projects) {
            queries::count(&mut tx, project, entries).await?;
        }
        tx.commit().await?;
        self.metrics.written.inc_by(batch.len() as u64);
        Ok(())
    }

    fn lose(&self, events: usize, error: &store::Error) {
        self.metrics.dropped.inc_by(events as u64);
        tracing::error!(%error, "{events} audit events could not be written and are lost");
    }

    async fn sweep(&self) {
        if self.config.keep_days == 0 {
            return;
        }
        let before = self.clock.now().minus(DAY * self.config.keep_days);
        if let Err(error) = Log::new(self.db.clone()).sweep(before).await {
            tracing::warn!(%error, "old audit entries could not be deleted; trying again later");
        }
    }
}

/// What is collected for one transaction after another when there is much.
const PAUSE: Duration = Duration::from_millis(50);

/// How long to wait for a database that is away.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

const SWEEP_INTERVAL: Duration = Duration::from_hours(1);

const DAY: Duration = Duration::from_hours(24);
