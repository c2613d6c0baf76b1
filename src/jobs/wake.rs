//! Instances on one PostgreSQL tell each other of new jobs, so that none waits for its poll.
//!
//! What is told is a hint and may be lost; the poll finds what it missed.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::queue::Inner;
use crate::store::{self, Db, Notices};

impl Inner {
    /// Makes the dispatchers look: this process's at once, those of others soon.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
        self.untold.notify_one();
    }
}

/// Tells other instances of new jobs and hears of theirs, until `done`.
pub(super) async fn share(inner: Arc<Inner>, done: CancellationToken) {
    // SQLite serves one process.
    let Db::Pg(pool) = &inner.db else { return };
    let talk = async { tokio::join!(tell(&inner, pool), hear(&inner, pool)) };
    let _ = done.run_until_cancelled(talk).await;
}

async fn tell(inner: &Inner, pool: &PgPool) {
    loop {
        inner.untold.notified().await;
        if let Err(error) = store::notify(pool, CHANNEL, &inner.boot).await {
            tracing::debug!("cannot tell other instances of new jobs, they poll: {error}");
        }
        tokio::time::sleep(BETWEEN_TELLS).await;
    }
}

async fn hear(inner: &Inner, pool: &PgPool) {
    loop {
        if let Err(error) = listen(inner, pool).await {
            tracing::debug!("cannot hear of jobs of other instances, polling: {error}");
        }
        tokio::time::sleep(BEFORE_LISTENING_AGAIN).await;
    }
}

/// Listens until the connection fails.
async fn listen(inner: &Inner, pool: &PgPool) -> Result<(), store::Error> {
    let mut notices = Notices::open(pool, CHANNEL).await?;
    // What was told before was not heard.
    inner.woken.notify_one();
    loop {
        let told = notices.next().await?;
        if told.is_none_or(|boot| boot != inner.boot) {
            inner.woken.notify_one();
        }
    }
}

const CHANNEL: &str = "tidegate_jobs";

/// However many jobs come, others are told ten times a second.
const BETWEEN_TELLS: Duration = Duration::from_millis(100);

const BEFORE_LISTENING_AGAIN: Duration = Duration::from_secs(1);
