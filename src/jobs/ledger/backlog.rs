//! How much there is to do, and since when.

use std::{collections::BTreeMap, time::Duration};

use super::queries;
use crate::{
    clock::Timestamp,
    jobs::{Error, Jobs, queries as rows},
};

/// The jobs of a kind whose keys are alike up to their first `/`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    pub waiting: u64,
    pub running: u64,
    /// A run failed; another follows.
    pub retrying: u64,
    /// Failed for good since the time asked for.
    pub failed: u64,
    /// When the oldest wish was accepted that no run has fulfilled, of jobs that are not over; of
    /// wishes that came during a run, when it began.
    pub oldest: Option<Timestamp>,
}

/// A target whose jobs wait because it did not answer or asked for patience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedTarget {
    pub target: String,
    /// When one job may try it.
    pub until: Timestamp,
    pub reason: String,
}

impl Jobs {
    /// The jobs of a kind that are not over, and those that failed for good since `since`, by
    /// the part of their keys before the first `/`. Reads each of them.
    pub async fn backlogs(
        &self,
        kind: &str,
        since: Timestamp,
    ) -> Result<BTreeMap<String, Backlog>, Error> {
        let mut backlogs: BTreeMap<String, Backlog> = BTreeMap::new();
        for row in queries::backlogs(&self.inner.db, kind, since).await? {
            let count = |count: i64| u64::try_from(count).unwrap_or(0);
            backlogs.entry(row.prefix).or_default().add(&Backlog {
                waiting: count(row.waiting),
                running: count(row.running),
                retrying: count(row.retrying),
                failed: count(row.failed),
                oldest: row.oldest_ms.map(Timestamp::from_millis),
            });
        }
        Ok(backlogs)
    }

    /// The targets whose jobs wait.
    pub async fn parked_targets(&self) -> Result<Vec<ParkedTarget>, Error> {
        let rows = rows::parked(&self.inner.db).await?;
        let parked = rows.into_iter().map(|row| ParkedTarget {
            target: row.target,
            until: Timestamp::from_millis(row.until_ms),
            reason: row.reason,
        });
        Ok(parked.collect())
    }
}

impl Backlog {
    /// Takes the other's jobs in.
    pub fn add(&mut self, other: &Self) {
        self.waiting += other.waiting;
        self.running += other.running;
        self.retrying += other.retrying;
        self.failed += other.failed;
        self.oldest = match (self.oldest, other.oldest) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
    }

    /// How long the oldest has been waited for.
    pub fn lag(&self, now: Timestamp) -> Duration {
        self.oldest
            .map_or(Duration::ZERO, |oldest| now.since(oldest))
    }

    /// The jobs that are not over.
    pub const fn open(&self) -> u64 {
        self.waiting + self.running + self.retrying
    }
}
