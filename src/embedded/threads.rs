use std::{io, sync::Arc};

use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinHandle},
};

use super::error::Failure;

/// Runs file operations away from the async threads, a bounded number at once.
///
/// Work that has begun ends even when its caller is gone.
#[derive(Debug, Clone)]
pub(super) struct Threads(Arc<Semaphore>);

impl Threads {
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Semaphore::new(limit.max(1))))
    }

    pub(super) fn permits(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0)
    }

    /// Waits for a free thread and for the work.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.start(work).await?.await.map_err(lost)?
    }

    /// Waits for a free thread only.
    pub(super) async fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>, Failure> {
        let permit = self.permits().acquire_owned().await.map_err(closed)?;
        Ok(start_with(permit, work))
    }
}

/// Starts work under a permit that was waited for elsewhere.
pub(super) fn start_with<T: Send + 'static>(
    permit: OwnedSemaphorePermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    })
}

fn closed(error: AcquireError) -> Failure {
    let doing = "start a file operation".into();
    Failure::Storage {
        doing,
        source: io::Error::other(error),
    }
}

/// A panic, or the end of the runtime.
pub(super) fn lost(error: JoinError) -> Failure {
    let doing = "end a file operation".into();
    Failure::Storage {
        doing,
        source: io::Error::other(error),
    }
}
