//! Stops and retries of many jobs in one call, in transactions so short that other writers are
//! not kept waiting.

mod queries;

use std::collections::HashSet;

#[cfg(test)]
pub(crate) use queries::ALL;

use super::{
    Error, JobId, Jobs, State,
    lifecycle::{Lifecycle, Refused},
    queries::note,
};
use crate::{clock::Timestamp, store};

/// Which jobs a person means; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub kind: Option<String>,
    pub key_prefix: Option<String>,
    pub target: Option<String>,
    pub state: Option<State>,
    /// Jobs that changed last at or after this time: failed, were wished for, began to run.
    pub since: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Stop,
    Retry,
}

impl Jobs {
    /// Stops the jobs that the filter means and that are not over, as [`Jobs::stop`] does each;
    /// runs on other instances hear of it with their next heartbeat. Returns how many.
    ///
    /// If it fails halfway, those before stay stopped.
    pub async fn stop_where(&self, filter: &Filter) -> Result<u64, Error> {
        self.change_all(Verb::Stop, filter).await
    }

    /// Retries the jobs that the filter means, as [`Jobs::retry`] does each; without a state those
    /// that failed, were stopped or wait for their next attempt. Of those of one key that are over
    /// only the newest, and none if a live job does its work already. Returns how many.
    ///
    /// If it fails halfway, those before stay retried.
    pub async fn retry_where(&self, filter: &Filter) -> Result<u64, Error> {
        self.change_all(Verb::Retry, filter).await
    }

    /// Retries all that failed at or after `since`, of every kind. Returns how many.
    pub async fn recover(&self, since: Timestamp) -> Result<u64, Error> {
        let failed = Filter {
            state: Some(State::Failed),
            since: Some(since),
            ..Filter::default()
        };
        self.retry_where(&failed).await
    }

    /// Stops those of these jobs that are not over, as [`Jobs::stop_where`] does. Returns how many.
    pub async fn stop_these(&self, ids: &[JobId]) -> Result<u64, Error> {
        self.change_these(Verb::Stop, None, ids).await
    }

    /// Retries those of these jobs that failed, as [`Jobs::retry_where`] does. Returns how many.
    pub async fn retry_failed(&self, ids: &[JobId]) -> Result<u64, Error> {
        self.change_these(Verb::Retry, Some(State::Failed), ids)
            .await
    }

    async fn change_all(&self, verb: Verb, filter: &Filter) -> Result<u64, Error> {
        let mut changed = 0;
        let mut behind = JobId(0);
        loop {
            let db = &self.inner.db;
            let ids = queries::matching(db, verb, filter, behind, IDS_AT_ONCE).await?;
            changed += self.change_these(verb, filter.state, &ids).await?;
            match ids.last() {
                Some(last) if ids.len() == IDS_AT_ONCE => behind = *last,
                _ => return Ok(changed),
            }
        }
    }

    async fn change_these(
        &self,
        verb: Verb,
        wanted: Option<State>,
        ids: &[JobId],
    ) -> Result<u64, Error> {
        let mut changed = 0;
        for batch in ids.chunks(BATCH_ROWS) {
            changed += self.change_batch(verb, wanted, batch).await?;
        }
        Ok(changed)
    }

    async fn change_batch(
        &self,
        verb: Verb,
        wanted: Option<State>,
        ids: &[JobId],
    ) -> Result<u64, Error> {
        let (mut changed, rest) = match self.change_free(verb, wanted, ids).await {
            // A wish for one of the keys came in between: find out which.
            Err(Error::Store(store::Error::Duplicate)) => (0, ids.to_vec()),
            changed => changed?,
        };
        for id in rest {
            changed += u64::from(self.change_one(verb, wanted, id).await?);
        }
        if verb == Verb::Retry {
            self.wake();
        }
        Ok(changed)
    }

    /// Changes the jobs that no other transaction holds, and returns how many, with those that
    /// one does: who holds many rows must not wait for one, as wishes lock in another order.
    async fn change_free(
        &self,
        verb: Verb,
        wanted: Option<State>,
        ids: &[JobId],
    ) -> Result<(u64, Vec<JobId>), Error> {
        let now = self.inner.clock.now();
        let mut tx = self.inner.db.begin().await?;
        let free = queries::lock_free(&mut tx, ids).await?;
        let changed = self
            .inner
            .transition(&mut tx, &free, now, |job, _row| verb.step(job, wanted, now))
            .await?;
        let (running, waiting): (Vec<_>, Vec<_>) = changed
            .iter()
            .partition(|(_row, next)| next.state == State::Running);
        let waiting: Vec<JobId> = waiting.iter().map(|(row, _next)| JobId(row.id)).collect();
        note(&mut tx, &waiting, now, &verb.note()).await?;
        tx.commit().await?;
        for (row, _next) in running {
            self.inner.end_requested(JobId(row.id));
        }
        let free: HashSet<JobId> = free.into_iter().collect();
        let held = ids.iter().copied().filter(|id| !free.contains(id));
        let count = u64::try_from(changed.len()).unwrap_or(u64::MAX);
        Ok((count, held.collect()))
    }

    /// Changes one job when whoever holds it lets go; whether the verb applied to it then.
    async fn change_one(
        &self,
        verb: Verb,
        wanted: Option<State>,
        id: JobId,
    ) -> Result<bool, Error> {
        let step = |job: &Lifecycle, now| verb.step(job, wanted, now);
        match self.step(id, verb.done(), step).await {
            Ok((_before, after)) => {
                if after.state == State::Running {
                    self.inner.end_requested(id);
                }
                Ok(true)
            }
            Err(Error::Store(error)) if !matches!(error, store::Error::Duplicate) => {
                Err(error.into())
            }
            Err(error) => {
                tracing::debug!(job.id = id.0, "left out: {error}");
                Ok(false)
            }
        }
    }
}

impl Verb {
    /// The step, if the job is still in the state that it was wanted in.
    fn step(
        self,
        job: &Lifecycle,
        wanted: Option<State>,
        now: Timestamp,
    ) -> Result<Lifecycle, Refused> {
        if wanted.is_some_and(|state| state != job.state) {
            return Err(Refused);
        }
        match self {
            Self::Stop => job.stop(),
            Self::Retry => job.retry(now),
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Stop => "stopped",
            Self::Retry => "retried",
        }
    }

    fn note(self) -> String {
        super::queue::by_hand(self.done())
    }
}

/// Ids remembered at once: less than 1 MiB.
const IDS_AT_ONCE: usize = 100_000;

/// Jobs changed in one transaction, which takes some ten milliseconds.
const BATCH_ROWS: usize = 1000;
