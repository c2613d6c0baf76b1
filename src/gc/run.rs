use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::{
    Config, GcParameters, Metrics,
    journal::Journal,
    outcome::{Outcome, Space},
};
use crate::{
    clock::SharedClock,
    embedded::{self, CollectError, Collection, Effect, Told},
    inventory::{Inventory, Registry},
    jobs::{Failure, Handler, Jobs, Running, SystemJob},
    oci::{Digest, RepositoryName},
    settings,
};

/// What garbage collection stands on.
#[derive(Debug)]
pub struct Parts {
    pub config: Config,
    pub jobs: Jobs,
    pub clock: SharedClock,
    pub settings: settings::Reader,
    pub inventory: Inventory,
    /// The way to delete.
    pub registry: Arc<dyn Registry>,
    /// `None`: a remote registry stands behind the gateway.
    pub embedded: Option<embedded::Registry>,
}

/// Garbage collection. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gc {
    pub(super) parts: Arc<Parts>,
    job: SystemJob,
    metrics: Metrics,
}

/// One run.
pub(super) struct Run<'a> {
    pub(super) parts: &'a Parts,
    pub(super) job: &'a Running,
    pub(super) parameters: GcParameters,
    pub(super) journal: Journal,
    outcome: Mutex<Outcome>,
}

impl Gc {
    pub fn new(parts: Parts) -> Self {
        Self {
            job: SystemJob::new(parts.jobs.clone(), KIND),
            parts: Arc::new(parts),
            metrics: Metrics::default(),
        }
    }

    /// Its runs and its schedule; they take [`GcParameters`].
    pub fn job(&self) -> &SystemJob {
        &self.job
    }

    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    async fn execute(&self, job: &Running) -> Result<(), Failure> {
        let run = Run {
            parts: &self.parts,
            job,
            parameters: job.parameters()?,
            journal: Journal::new(job.log.clone()),
            outcome: Mutex::default(),
        };
        let ended = run.all().await;
        let outcome = run.outcome();
        let config = &self.parts.config;
        outcome.tell(config, &run.journal);
        job.report(outcome.report(config));
        if !run.parameters.dry_run {
            self.count(&outcome);
        }
        ended?;
        if outcome.failed > 0 {
            return Err(Failure::permanent(format!(
                "{} manifests could not be deleted; the log says why",
                outcome.failed
            )));
        }
        Ok(())
    }

    fn count(&self, outcome: &Outcome) {
        let metrics = &self.metrics;
        metrics.deleted_manifests.inc_by(outcome.deleted_manifests);
        if let Space::Collected(collected) = &outcome.space {
            metrics.deleted_blobs.inc_by(collected.deleted_blobs);
            metrics.freed_bytes.inc_by(collected.freed_bytes);
        }
    }
}

impl Run<'_> {
    async fn all(&self) -> Result<(), Failure> {
        let is_read_only = self.parts.settings.values().read_only;
        if is_read_only && !self.parameters.dry_run {
            return Err(Failure::permanent(READ_ONLY));
        }
        let is_remote = self.parts.embedded.is_none();
        if is_remote {
            self.outcome().space = Space::Left { bytes: 0 };
        }
        if self.parameters.dry_run {
            self.journal.line("dry run: nothing is deleted");
        }
        let mut gone = BTreeSet::new();
        if self.parameters.delete_untagged {
            gone = tokio::select! {
                gone = self.delete_untagged() => gone?,
                () = self.job.stop.cancelled() => return Err(Failure::Stopped),
            };
        }
        match &self.parts.embedded {
            Some(registry) => self.collect(registry, gone).await,
            None => Ok(()),
        }
    }

    /// `gone`: manifests that a dry run has not deleted.
    async fn collect(
        &self,
        registry: &embedded::Registry,
        gone: BTreeSet<(RepositoryName, Digest)>,
    ) -> Result<(), Failure> {
        let config = &self.parts.config;
        let collection = Collection {
            effect: if self.parameters.dry_run {
                Effect::Dry
            } else {
                Effect::Real
            },
            window: config.window(),
            quarantine: config.quarantine(),
            workers: self.parameters.workers.into(),
            without: gone,
        };
        let (tell, mut told) = mpsc::channel(WAITING);
        let listening = async {
            while let Some(told) = told.recv().await {
                self.hear(told);
            }
        };
        let collecting = registry.collect(collection, (tell, self.job.stop.clone()));
        let ((collected, ended), ()) = tokio::join!(collecting, listening);
        self.outcome().space = Space::Collected(collected);
        ended.map_err(|error| match error {
            CollectError::Stopped => Failure::Stopped,
            CollectError::Busy => Failure::Throttled {
                message: error.to_string(),
                retry_after: UNTIL_FREE,
            },
            CollectError::Storage(_) => Failure::permanent(error.to_string()),
        })
    }

    fn hear(&self, told: Told) {
        match told {
            Told::Parts(parts) => self.job.expects(0, parts),
            Told::PartDone => self.job.did_part(),
            Told::Item(text) => self.journal.item(&text),
            Told::Doubt(text) => self.journal.doubt(&text),
        }
    }

    pub(super) fn outcome(&self) -> MutexGuard<'_, Outcome> {
        let outcome = &self.outcome;
        outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handler for Gc {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn keeps(&self) -> Option<u32> {
        Some(RUNS_KEPT)
    }

    fn run<'a>(&'a self, job: &'a Running) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.execute(job))
    }
}

/// Harbor's name of the kind.
const KIND: &str = "GARBAGE_COLLECTION";

const READ_ONLY: &str =
    "the gateway is in read-only mode, in which nothing is deleted; start it again after that";

/// A year of nights.
const RUNS_KEPT: u32 = 365;

/// What the collector has said and nobody has written down yet.
const WAITING: usize = 64;

/// One that nobody waits for any more ends between two files.
const UNTIL_FREE: Duration = Duration::from_secs(5);
