//! Looks at everything that the registry holds, repository by repository, and can be resumed.

use std::{
    collections::BTreeSet,
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use serde::{Deserialize, Serialize};

use super::{
    Change, Error, Inventory,
    queries::{reading, writing},
};
use crate::{
    jobs::{ByHand, Failure, Handler, NewJob, Running},
    oci::{Reference, RepositoryName, Tag},
    registry::{Kind, PageOf},
};

/// The kind of the jobs that walk.
pub const SYNC: &str = "INVENTORY_SYNC";

/// Parameters of such a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Walk {
    /// A project's name; none: all that the registry holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

/// One repository of a walk is done.
#[derive(Debug)]
pub struct Step {
    /// Its place in the walk; the first is 1.
    pub place: usize,
    /// How many there are.
    pub of: usize,
    pub repository: RepositoryName,
    /// Its tags; `None`: it belongs to no project.
    pub tags: Option<usize>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: {} ", self.place, self.of, self.repository)?;
        match self.tags {
            Some(tags) => write!(f, "has {tags} tags"),
            None => f.write_str("belongs to no project; create it and walk again"),
        }
    }
}

/// What a walk has found.
#[derive(Debug, Default)]
pub struct Found {
    pub repositories: u64,
    pub tags: u64,
    /// Repositories whose project does not exist: nobody can be shown them.
    pub without_project: u64,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            repositories,
            tags,
            without_project,
        } = self;
        write!(f, "{repositories} repositories with {tags} tags")?;
        if *without_project > 0 {
            write!(f, "; {without_project} more belong to no project")?;
        }
        Ok(())
    }
}

impl Walk {
    /// The job that does it; one at a time for each project.
    pub fn job(&self) -> NewJob {
        let params = serde_json::to_value(self).unwrap_or_default();
        let scope = self.scope();
        let key = if scope.is_empty() {
            "everything"
        } else {
            scope
        };
        NewJob::new(SYNC, key, params)
    }

    fn scope(&self) -> &str {
        self.project.as_deref().unwrap_or_default()
    }

    fn covers(&self, name: &RepositoryName) -> bool {
        self.project
            .as_deref()
            .is_none_or(|project| name.project() == Some(project))
    }
}

impl Inventory {
    /// Whether the whole registry has been walked through once.
    pub async fn is_complete(&self) -> Result<bool, Error> {
        let walk = reading::walk(&self.0.db, "").await?;
        Ok(walk.is_some_and(|walk| walk.finished_ms.is_some()))
    }

    /// Fails a job that needs the whole index until the registry was walked through once.
    pub async fn expect_complete(&self) -> Result<(), Failure> {
        if self.is_complete().await? {
            return Ok(());
        }
        Err(Failure::Throttled {
            message: "the registry is still being looked through".to_owned(),
            retry_after: UNTIL_COMPLETE,
        })
    }

    /// Looks at every tag of a repository: clients may have changed some past the gateway.
    pub async fn refresh(&self, name: &RepositoryName) -> Result<(), Error> {
        match self.walk_repository(name, &mut Found::default()).await {
            // It may list no tags of a repository that has none any more.
            Err(Error::Registry(error)) if error.kind() == Kind::NotFound => {
                self.forget_unseen(name, &BTreeSet::new()).await
            }
            walked => walked.map(drop),
        }
    }

    /// Walks from where the last walk of this kind was cut; `tell` hears of each repository.
    pub async fn walk(&self, walk: &Walk, tell: impl Fn(Step)) -> Result<Found, Error> {
        let (db, scope) = (&self.0.db, walk.scope());
        if !scope.is_empty() && !reading::has_project(db, scope).await? {
            return Err(Error::NoProject(scope.to_owned()));
        }
        let unfinished = reading::walk(db, scope)
            .await?
            .filter(|walk| walk.finished_ms.is_none());
        let mut last = if let Some(walk) = unfinished {
            walk.last_repository
        } else {
            writing::begin_walk(db, scope, self.0.clock.now()).await?;
            String::new()
        };
        let mut found = Found::default();
        let names = self.catalog(walk).await?;
        let of = names.len();
        for (name, place) in names.into_iter().zip(1..) {
            if name.as_str() <= last.as_str() {
                continue;
            }
            self.forget_between(&last, &name, scope).await?;
            let tags = self.walk_repository(&name, &mut found).await?;
            writing::advance_walk(db, scope, &name).await?;
            name.as_str().clone_into(&mut last);
            tell(Step {
                place,
                of,
                repository: name,
                tags,
            });
        }
        self.forget_rest(&last, scope).await?;
        self.mend_usage(scope).await?;
        writing::finish_walk(db, scope, self.0.clock.now()).await?;
        Ok(found)
    }

    /// The names in the registry, sorted.
    async fn catalog(&self, walk: &Walk) -> Result<BTreeSet<RepositoryName>, Error> {
        let mut names = BTreeSet::new();
        let mut page = PageOf::First { items: PAGE };
        loop {
            let listing = self.0.registry.catalog(&page).await?;
            names.extend(listing.items.into_iter().filter(|name| walk.covers(name)));
            match listing.next.map(PageOf::Next).filter(|next| *next != page) {
                Some(next) => page = next,
                None => return Ok(names),
            }
        }
    }

    /// How many tags it has; `None` without a project.
    async fn walk_repository(
        &self,
        name: &RepositoryName,
        found: &mut Found,
    ) -> Result<Option<usize>, Error> {
        if !self.has_project(name).await? {
            found.without_project += 1;
            return Ok(None);
        }
        let mut seen = BTreeSet::new();
        let mut page = PageOf::First { items: PAGE };
        loop {
            let listing = self.0.registry.tags(name, &page).await?;
            self.see_tags(name, &listing.items).await?;
            seen.extend(listing.items.iter().map(ToString::to_string));
            match listing.next.map(PageOf::Next).filter(|next| *next != page) {
                Some(next) => page = next,
                None => break,
            }
        }
        self.forget_unseen(name, &seen).await?;
        found.repositories += 1;
        found.tags += seen.len() as u64;
        Ok(Some(seen.len()))
    }

    async fn see_tags(&self, name: &RepositoryName, tags: &[Tag]) -> Result<(), Error> {
        stream::iter(tags)
            .map(Ok)
            .try_for_each_concurrent(LOOKS_AT_ONCE, |tag| self.walk_tag(name, tag))
            .await
    }

    async fn walk_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), Error> {
        let reference = Reference::Tag(tag.clone());
        let Some(head) = self.0.registry.head_manifest(name, &reference).await? else {
            return Ok(());
        };
        self.see_tag(name, tag, &head.digest).await?;
        let referrers = self.0.registry.referrers(name, &head.digest, None).await?;
        for referrer in referrers.descriptors() {
            self.see(name, &referrer.digest).await?;
        }
        Ok(())
    }

    /// Looks at what the index has and the registry did not list.
    async fn forget_unseen(
        &self,
        name: &RepositoryName,
        seen: &BTreeSet<String>,
    ) -> Result<(), Error> {
        let Ok(repository) = self.repository(name).await else {
            return Ok(());
        };
        // A digest shows here once its last tag is forgotten.
        for _pass in ["tags", "digests"] {
            let known = reading::known_references(&self.0.db, repository.id).await?;
            let unseen = known.iter().filter(|known| !seen.contains(*known));
            let unseen = unseen.filter_map(|known| known.parse().ok());
            stream::iter(unseen)
                .map(Ok::<Reference, Error>)
                .try_for_each_concurrent(LOOKS_AT_ONCE, |reference| async move {
                    let repository = name.clone();
                    self.look(&Change {
                        repository,
                        reference,
                    })
                    .await
                })
                .await?;
        }
        Ok(())
    }

    /// Repositories of the index between two neighbours of the catalogue are not in the registry.
    async fn forget_between(
        &self,
        last: &str,
        next: &RepositoryName,
        project: &str,
    ) -> Result<(), Error> {
        let known = reading::repository_names(&self.0.db, (last, next.as_str()), project).await?;
        for name in known.iter().filter(|name| *name != next.as_str()) {
            self.forget_if_empty(name).await?;
        }
        Ok(())
    }

    async fn forget_rest(&self, last: &str, project: &str) -> Result<(), Error> {
        for name in reading::repository_names(&self.0.db, (last, "~"), project).await? {
            self.forget_if_empty(&name).await?;
        }
        Ok(())
    }

    /// A registry may leave a repository without tags out of its catalogue.
    async fn forget_if_empty(&self, name: &str) -> Result<(), Error> {
        let Ok(name) = name.parse() else {
            return Ok(());
        };
        self.forget_unseen(&name, &BTreeSet::new()).await?;
        let Ok(repository) = self.repository(&name).await else {
            return Ok(());
        };
        let left = reading::known_references(&self.0.db, repository.id).await?;
        if left.is_empty() {
            self.forget_repository(&name).await?;
        }
        Ok(())
    }

    async fn has_project(&self, name: &RepositoryName) -> Result<bool, Error> {
        let Some(project) = name.project() else {
            return Ok(false);
        };
        Ok(reading::has_project(&self.0.db, project).await?)
    }
}

/// Runs the walks.
#[derive(Debug)]
pub struct SyncHandler(pub Inventory);

impl Handler for SyncHandler {
    fn kind(&self) -> &'static str {
        SYNC
    }

    fn by_hand(&self) -> Option<ByHand> {
        Some(|params| {
            let walk = serde_json::from_value::<Walk>(params.clone());
            walk.map(drop).map_err(|error| error.to_string())
        })
    }

    fn run<'a>(&'a self, job: &'a Running) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let walk = serde_json::from_value(job.params.clone())
                .map_err(|error| Failure::permanent(format!("the job's parameters: {error}")))?;
            let expected = AtomicBool::new(false);
            let tell = |step: Step| {
                if !expected.swap(true, Ordering::Relaxed) {
                    job.expects(0, (step.of - step.place + 1) as u64);
                }
                job.log.line(step.to_string());
                job.did_part();
            };
            let walking = self.0.walk(&walk, tell);
            let found = tokio::select! {
                found = walking => found?,
                () = job.stop.cancelled() => return Err(Failure::Stopped),
            };
            job.log.line(format!("done: {found}"));
            Ok(())
        })
    }
}

/// A first look through a registry takes minutes.
const UNTIL_COMPLETE: Duration = Duration::from_secs(30);

/// The most that distribution gives at once.
const PAGE: u32 = 1000;

/// References of one repository that are looked at at once.
const LOOKS_AT_ONCE: usize = 8;
