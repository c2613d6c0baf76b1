use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{server::Shutdown, store::Db};

/// What runs beside the listener.
#[derive(Debug)]
pub(super) struct Background {
    pub db: Db,
    /// Exchanges with the registry that end whatever their client does, and what follows them.
    pub exchanges: TaskTracker,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

impl Background {
    pub(super) fn new(db: Db) -> Self {
        let (exchanges, tasks) = (TaskTracker::new(), TaskTracker::new());
        Self {
            db,
            exchanges,
            tasks,
            stop: CancellationToken::new(),
        }
    }

    /// Waits for the exchanges and the job runner for at most `patience`, then tells the other
    /// tasks to end and closes the database, for at most [`CLOSING`]. Aborting cuts both short.
    ///
    /// Returns whether everything ended by itself. What did not is safe to cut: an intent that
    /// was not settled is resolved at the next start, and the lease of a job runs out.
    pub(super) async fn finish(
        self,
        jobs: JoinHandle<()>,
        shutdown: &Shutdown,
        patience: Duration,
    ) -> bool {
        let aborting = shutdown.aborting();
        self.exchanges.close();
        let work = async {
            self.exchanges.wait().await;
            if let Err(error) = jobs.await {
                tracing::error!("the job runner ended badly: {error}");
            }
        };
        let is_done = tokio::select! {
            () = work => true,
            () = aborting.cancelled() => false,
            () = tokio::time::sleep(patience) => false,
        };
        self.stop.cancel();
        self.tasks.close();
        let closing = async {
            self.tasks.wait().await;
            self.db.close().await;
        };
        let is_closed = tokio::select! {
            () = closing => true,
            () = last_words(shutdown) => false,
            () = tokio::time::sleep(CLOSING) => false,
        };
        is_done && is_closed
    }
}

/// Ends a moment after aborting began: time to write what is at hand, not to wait for anybody.
pub(super) async fn last_words(shutdown: &Shutdown) {
    shutdown.aborting().cancelled().await;
    tokio::time::sleep(LAST_WORDS).await;
}

/// For the audit trail and the database's own closing.
pub(super) const CLOSING: Duration = Duration::from_secs(5);

const LAST_WORDS: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    const LONG: Duration = Duration::from_mins(10);

    #[tokio::test]
    async fn what_ends_by_itself_is_waited_for() {
        let db = testing::sqlite().await;
        let background = Background::new(db.clone());
        let stop = background.stop.clone();
        background.exchanges.spawn(tokio::task::yield_now());
        background
            .tasks
            .spawn(async move { stop.cancelled().await });
        let jobs = tokio::spawn(tokio::task::yield_now());
        assert!(background.finish(jobs, &Shutdown::default(), LONG).await);
    }

    #[tokio::test]
    async fn a_stuck_exchange_is_cut_when_patience_is_over_and_when_aborting() {
        for (patience, aborts) in [(Duration::from_millis(20), false), (LONG, true)] {
            let db = testing::sqlite().await;
            let background = Background::new(db.clone());
            let stop = background.stop.clone();
            background.exchanges.spawn(std::future::pending::<()>());
            let shutdown = Shutdown::default();
            if aborts {
                shutdown.abort();
            }
            let jobs = tokio::spawn(async {});
            assert!(!background.finish(jobs, &shutdown, patience).await);
            assert!(stop.is_cancelled(), "the other tasks were told");
        }
    }

    #[tokio::test]
    async fn a_second_signal_ends_the_wait_for_stuck_jobs() {
        let db = testing::sqlite().await;
        let background = Background::new(db.clone());
        let shutdown = Shutdown::default();
        let jobs = tokio::spawn(std::future::pending());
        let finish = background.finish(jobs, &shutdown, LONG);
        let signal = async {
            tokio::task::yield_now().await;
            shutdown.abort();
        };
        let (is_finished, ()) = tokio::join!(finish, signal);
        assert!(!is_finished);
    }
}
