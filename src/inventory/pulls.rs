use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde_json::json;

use super::{Error, Inventory, queries::writing as queries};
use crate::{
    clock::Timestamp,
    oci::{Digest, Reference, RepositoryName, Tag},
};

/// A manifest that somebody pulled.
#[derive(Debug, Clone)]
pub struct Pulled {
    pub repository: RepositoryName,
    pub reference: Reference,
    pub digest: Digest,
    pub at: Timestamp,
    /// Whether the repository's count grows.
    pub is_counted: bool,
    /// Whether it shows when it was pulled.
    pub is_dated: bool,
}

/// Pulls since they were last written down. Those of a process that dies are not counted.
#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<HashMap<RepositoryName, Counted>>);

#[derive(Debug, Default)]
struct Counted {
    digests: HashMap<Digest, (i64, Option<Timestamp>)>,
    tags: HashMap<Tag, Timestamp>,
}

impl Counters {
    /// Past the limit a pull is not counted: they are statistics.
    fn add(&self, pulled: Pulled) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= REPOSITORIES && !counted.contains_key(&pulled.repository) {
            return;
        }
        let counted = counted.entry(pulled.repository).or_default();
        if counted.digests.len() >= DIGESTS && !counted.digests.contains_key(&pulled.digest) {
            return;
        }
        let (times, at) = counted.digests.entry(pulled.digest).or_default();
        *times += i64::from(pulled.is_counted);
        if !pulled.is_dated {
            return;
        }
        *at = Some(pulled.at).max(*at);
        if let Reference::Tag(tag) = pulled.reference {
            counted.tags.insert(tag, pulled.at);
        }
    }

    fn take(&self) -> HashMap<RepositoryName, Counted> {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inventory {
    /// Counts a pull in memory.
    pub fn pulled(&self, pulled: Pulled) {
        self.0.pulls.add(pulled);
    }

    /// Writes down what was pulled, now and then and a last time when told to stop.
    pub(super) async fn write_pulls(self) {
        let stop = self.0.stop.clone();
        while stop
            .run_until_cancelled(tokio::time::sleep(WRITE_INTERVAL))
            .await
            .is_some()
        {
            self.write_pulls_now().await;
        }
        self.write_pulls_now().await;
    }

    pub(super) async fn write_pulls_now(&self) {
        for (repository, counted) in self.0.pulls.take() {
            if let Err(error) = self.write_pulls_of(&repository, &counted).await {
                tracing::warn!(
                    repository.name = %repository,
                    "pulls were not counted: {error}"
                );
            }
        }
    }

    async fn write_pulls_of(&self, name: &RepositoryName, counted: &Counted) -> Result<(), Error> {
        let digests = counted.digests.iter();
        let pulls = digests.map(|(digest, (times, _))| json!({ "digest": digest, "times": times }));
        let pulls = pulls.collect::<serde_json::Value>().to_string();
        let mut tx = self.0.db.begin().await?;
        let Some(repository) = queries::count_pulls(&mut tx, name, &pulls).await? else {
            return Ok(());
        };
        for (digest, (_, at)) in &counted.digests {
            if let Some(at) = at {
                queries::note_pull(&mut tx, repository, digest, *at).await?;
            }
        }
        for (tag, at) in &counted.tags {
            queries::note_tag_pull(&mut tx, repository, tag, *at).await?;
        }
        Ok(tx.commit().await?)
    }
}

const WRITE_INTERVAL: Duration = Duration::from_secs(5);

/// What is counted between two writes: some megabytes at most.
const REPOSITORIES: usize = 10_000;
const DIGESTS: usize = 1000;
