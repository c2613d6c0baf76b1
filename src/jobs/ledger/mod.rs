//! Jobs as people read them: pages of them, and their logs as they grow.

mod backlog;
pub(super) mod queries;

use std::sync::Arc;

use futures_util::{Stream, stream};
use tokio::sync::OwnedSemaphorePermit;

use super::{Error, Job, JobId, Jobs, NewJob, log, queries::LogRow, queue::Inner};
use crate::{
    clock::Timestamp,
    store::{Listing, Page},
};

pub use backlog::{Backlog, ParkedTarget};
#[cfg(test)]
pub(crate) use queries::ALL;

/// The jobs of one status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selected(&'static str);

impl Selected {
    /// By Harbor's word for a status or ours for a state, in whatever case.
    pub fn parse(word: &str) -> Option<Self> {
        let mut known = queries::CONDITIONS.iter();
        known
            .find(|(name, _)| name.eq_ignore_ascii_case(word))
            .map(|(_, condition)| Self(condition))
    }

    /// The words that [`Selected::parse`] knows.
    pub fn words() -> impl Iterator<Item = &'static str> {
        queries::CONDITIONS.iter().map(|(name, _)| *name)
    }
}

/// What enqueues a job again and again.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub key: String,
    pub kind: String,
    pub cron: String,
    /// `None`: never again.
    pub next: Option<Timestamp>,
    pub last: Option<Timestamp>,
}

/// Somebody who reads a log while it grows.
struct Follower {
    jobs: Arc<Inner>,
    id: JobId,
    /// The number of the last line that was read.
    last: i64,
    /// Whether the log was looked at before.
    waits: bool,
    _permit: OwnedSemaphorePermit,
}

impl Jobs {
    /// A page of jobs, newest first; filtered and sorted by `id`, `kind`, `key`, `target`,
    /// `creation_time`, `update_time`, `run_at` and `end_time`.
    pub async fn page(
        &self,
        selected: Option<Selected>,
        listing: &Listing,
    ) -> Result<Page<Job>, Error> {
        let condition = selected.map(|selected| selected.0);
        let now = self.inner.clock.now();
        let page = queries::page(&self.inner.db, condition, now, listing).await?;
        let jobs = page.items.into_iter().map(Job::try_from);
        Ok(Page {
            items: jobs.collect::<Result<_, _>>()?,
            total: page.total,
        })
    }

    /// The jobs among `meant`, by kind and key, that are not over.
    pub async fn live(&self, meant: &[NewJob]) -> Result<Vec<Job>, Error> {
        let keys: Vec<[&str; 2]> = meant.iter().map(|job| [&*job.kind, &*job.key]).collect();
        let rows = queries::live(&self.inner.db, &keys).await?;
        rows.into_iter().map(Job::try_from).collect()
    }

    /// A page of schedules by their keys; filtered and sorted by `vendor_type` (the kind), `cron`
    /// and `update_time` (the latest firing).
    pub async fn schedules(&self, listing: &Listing) -> Result<Page<Schedule>, Error> {
        let page = queries::schedules(&self.inner.db, listing).await?;
        let schedules = page.items.into_iter().map(|row| Schedule {
            key: row.key,
            kind: row.kind,
            cron: row.cron,
            next: row.next_ms.map(Timestamp::from_millis),
            last: row.last_ms.map(Timestamp::from_millis),
        });
        Ok(Page {
            items: schedules.collect(),
            total: page.total,
        })
    }

    /// The log as it grows, in pieces of whole lines, until the job is over or the process is to
    /// end. Lines of a run on another instance come [`Config::heartbeat_ms`] late.
    ///
    /// [`Config::heartbeat_ms`]: super::Config::heartbeat_ms
    pub async fn follow(
        &self,
        id: JobId,
    ) -> Result<impl Stream<Item = Result<String, Error>> + Send + use<>, Error> {
        self.job(id).await?;
        let permit = self.inner.followers.clone().try_acquire_owned();
        let follower = Follower {
            jobs: self.inner.clone(),
            id,
            last: 0,
            waits: false,
            _permit: permit.map_err(|_none_left| Error::TooManyFollowers)?,
        };
        Ok(stream::try_unfold(follower, Follower::next))
    }
}

impl Follower {
    /// The lines that were added since; `None` when there will be no more.
    async fn next(mut self) -> Result<Option<(String, Self)>, Error> {
        loop {
            if self.waits {
                tokio::select! {
                    () = tokio::time::sleep(self.jobs.config.heartbeat()) => {}
                    () = self.jobs.closing.cancelled() => return Ok(None),
                }
            }
            // Asked first: the last lines are written with the state that ends the job.
            let is_over = self.is_over().await?;
            let lines = self.read().await?;
            self.waits = lines.len() < LINES_AT_ONCE;
            if let Some(line) = lines.last() {
                let begins = self.last == 0;
                self.last = line.seq;
                let text = if begins {
                    log::render(&lines)
                } else {
                    log::lines(&lines)
                };
                return Ok(Some((text, self)));
            }
            if is_over {
                return Ok(None);
            }
        }
    }

    async fn is_over(&self) -> Result<bool, Error> {
        let row = super::queries::job(&self.jobs.db, self.id).await?;
        Ok(match row {
            Some(row) => row.state()?.is_final(),
            None => true,
        })
    }

    async fn read(&self) -> Result<Vec<LogRow>, Error> {
        let lines = queries::lines_behind(&self.jobs.db, self.id, self.last, LINES_AT_ONCE);
        Ok(lines.await?)
    }
}

/// Lines sent in one piece; the longest are [`Config::log_line_bytes`](super::Config).
const LINES_AT_ONCE: usize = 200;
