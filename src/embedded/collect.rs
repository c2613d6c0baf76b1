use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Registry, disk::Run, error::Failure};
use crate::oci::{Digest, RepositoryName};

/// What a collection is to do.
#[derive(Debug, Clone)]
pub struct Collection {
    pub effect: Effect,
    /// What was pushed, linked or asked for by a pushing client within this time stays.
    pub window: Duration,
    /// How long content lies aside before it is deleted; zero: it is deleted at once.
    pub quarantine: Duration,
    /// Folders gone through at once.
    pub workers: usize,
    /// Manifests to be taken for deleted already.
    pub without: BTreeSet<(RepositoryName, Digest)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Real,
    /// Nothing is changed.
    Dry,
}

/// What a collection has done so far, or in a dry run would have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs taken out of a repository that none of its manifests refers to.
    pub links: u64,
    /// Content put into quarantine.
    pub quarantined_blobs: u64,
    pub quarantined_bytes: u64,
    /// Content that is not on the disk any more.
    pub deleted_blobs: u64,
    pub freed_bytes: u64,
}

/// What a collection says while it runs.
#[derive(Debug)]
pub enum Told {
    /// There are so many parts to go through.
    Parts(u64),
    PartDone,
    /// One thing is gone.
    Item(String),
    /// Why something stays that may be garbage.
    Doubt(String),
}

/// Why a collection did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    #[error("the collection was stopped")]
    Stopped,
    #[error("another collection is under way")]
    Busy,
    #[error("the registry's storage failed: {0}")]
    Storage(String),
}

impl Registry {
    /// Removes blobs that nothing refers to, from repositories and from the disk, while clients
    /// push. Returns what it has done and whether it came to its end; what it says goes to
    /// `tell`, which must be read.
    pub async fn collect(
        &self,
        collection: Collection,
        (tell, stop): (mpsc::Sender<Told>, CancellationToken),
    ) -> (Collected, Result<(), CollectError>) {
        let (disk, now) = (Arc::clone(&self.disk), self.clock.now());
        let workers = collection.workers.max(1);
        let channels = (tell.clone(), stop.clone());
        let begun = self
            .threads
            .run(move || Ok(Run::begin(disk, collection, now, channels)));
        let run = match begun.await {
            Ok(Some(run)) => Arc::new(run),
            Ok(None) => return (Collected::default(), Err(CollectError::Busy)),
            Err(failure) => return (Collected::default(), Err(failure.into())),
        };
        let steps = Steps {
            registry: self,
            run: &run,
            workers,
            tell,
            stop,
        };
        let ended = steps.all().await;
        (run.collected(), ended)
    }
}

/// The steps of a collection, each on file threads.
struct Steps<'a> {
    registry: &'a Registry,
    run: &'a Arc<Run>,
    workers: usize,
    tell: mpsc::Sender<Told>,
    stop: CancellationToken,
}

impl Steps<'_> {
    async fn all(&self) -> Result<(), CollectError> {
        let repositories = self.step(Run::repositories).await?;
        let shards = self.step(Run::shards).await?;
        let parts = Told::Parts((repositories.len() + shards.len()) as u64);
        // Whoever does not listen any more does not want to know.
        let _ = self.tell.send(parts).await;
        self.each(repositories, Run::collect_repository).await?;
        self.each(shards, Run::collect_shard).await?;
        self.step(Run::empty_quarantine).await
    }

    async fn each(
        &self,
        folders: Vec<PathBuf>,
        work: fn(&Run, &Path) -> Result<(), Failure>,
    ) -> Result<(), CollectError> {
        stream::iter(folders)
            .map(Ok)
            .try_for_each_concurrent(self.workers, |folder| async move {
                self.step(move |run| work(run, &folder)).await?;
                let _ = self.tell.send(Told::PartDone).await;
                Ok(())
            })
            .await
    }

    /// What a step that was stopped has found is not all of it: nothing may follow.
    async fn step<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Run) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, CollectError> {
        if self.stop.is_cancelled() {
            return Err(CollectError::Stopped);
        }
        let run = Arc::clone(self.run);
        let done = self.registry.threads.run(move || work(&run)).await?;
        if self.stop.is_cancelled() {
            return Err(CollectError::Stopped);
        }
        Ok(done)
    }
}

impl From<Failure> for CollectError {
    fn from(failure: Failure) -> Self {
        Self::Storage(failure.to_string())
    }
}
