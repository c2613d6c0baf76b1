//! The repositories' names, asked of the registry once for all who count and search them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use tokio::{sync::Semaphore, time::Instant};

use super::{Api, error::Error};
use crate::oci::RepositoryName;

/// What the registry had when it was last asked.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) all: Vec<RepositoryName>,
    per_project: BTreeMap<String, usize>,
    since: Instant,
}

impl Names {
    fn new(all: Vec<RepositoryName>) -> Self {
        let mut per_project = BTreeMap::new();
        for project in all.iter().filter_map(RepositoryName::project) {
            *per_project.entry(project.to_owned()).or_default() += 1;
        }
        Self {
            all,
            per_project,
            since: Instant::now(),
        }
    }

    /// How many repositories a project has.
    pub(super) fn of_project(&self, project: &str) -> usize {
        self.per_project.get(project).copied().unwrap_or_default()
    }
}

/// Holds the last answer; asks anew one request at a time.
#[derive(Debug)]
pub(super) struct LastNames {
    names: ArcSwapOption<Names>,
    asking: Semaphore,
}

impl Default for LastNames {
    fn default() -> Self {
        Self {
            names: ArcSwapOption::empty(),
            asking: Semaphore::new(1),
        }
    }
}

impl LastNames {
    fn fresh(&self) -> Option<Arc<Names>> {
        let names = self.names.load_full();
        names.filter(|names| names.since.elapsed() < FRESH)
    }
}

impl Api {
    /// The repositories of the registry, a moment old; at most [`NAMES`] of them.
    pub(super) async fn names(&self) -> Result<Arc<Names>, Error> {
        let last = &self.last_names;
        if let Some(names) = last.fresh() {
            return Ok(names);
        }
        let _turn = last.asking.acquire().await.map_err(Error::internal)?;
        if let Some(names) = last.fresh() {
            return Ok(names);
        }
        let all = self.catalog.repositories("", NAMES).await;
        let names = Arc::new(Names::new(all.map_err(Error::Unavailable)?));
        last.names.store(Some(Arc::clone(&names)));
        Ok(names)
    }

    /// How many repositories a project has this moment; for decisions.
    pub(super) async fn repositories_now(&self, project: &str) -> Result<usize, Error> {
        let prefix = format!("{project}/");
        let names = self.catalog.repositories(&prefix, NAMES).await;
        Ok(names.map_err(Error::Unavailable)?.len())
    }
}

/// Names are asked of the registry by the thousand; what lies beyond is not counted or found.
const NAMES: usize = 10_000;
/// A person does not see the difference; a client that asks in a loop costs one walk.
const FRESH: Duration = Duration::from_secs(2);
