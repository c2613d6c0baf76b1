//! Deletion of artifacts that nothing holds: no tag, no index, no subject that is there.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{outcome::Space, run::Run};
use crate::{
    clock::Timestamp,
    embedded::{self, Condemned},
    inventory::{self, Artifact, Author, Editor, Repository, RepositoryId},
    jobs::Failure,
    oci::{Digest, Reference, RepositoryName},
    store::{Filter, Listing, Test},
};

/// An artifact to be deleted.
struct Loose {
    artifact: Artifact,
    /// What goes with it: all that is attached to it.
    attached: Vec<Artifact>,
}

impl Run<'_> {
    /// Returns what a dry run has not deleted.
    pub(super) async fn delete_untagged(
        &self,
    ) -> Result<BTreeSet<(RepositoryName, Digest)>, Failure> {
        let inventory = &self.parts.inventory;
        inventory.expect_complete().await?;
        let spared = Mutex::default();
        let mut behind = None;
        loop {
            let listing = page_behind(behind);
            let page = inventory.repositories(None, &listing).await?.items;
            let Some(last) = page.last() else {
                return Ok(spared.into_inner().unwrap_or_else(PoisonError::into_inner));
            };
            behind = Some(last.id.0);
            self.job.expects(0, page.len() as u64);
            stream::iter(&page)
                .map(Ok)
                .try_for_each_concurrent(usize::from(self.parameters.workers), |repository| {
                    self.repository(repository, &spared)
                })
                .await?;
        }
    }

    async fn repository(
        &self,
        repository: &Repository,
        spared: &Mutex<BTreeSet<(RepositoryName, Digest)>>,
    ) -> Result<(), Failure> {
        let mut plan = self.plan(repository).await?;
        let _condemned = match &self.parts.embedded {
            _ if plan.is_empty() => None,
            Some(registry) => Some(self.condemn(registry, repository, &mut plan).await?),
            None => {
                self.look_and_plan(repository, &mut plan).await?;
                None
            }
        };
        let editor = self.editor();
        let mut looked = self.parts.clock.elapsed();
        for loose in &plan {
            if self.parameters.dry_run {
                let mut spared = spared.lock().unwrap_or_else(PoisonError::into_inner);
                for artifact in loose.all() {
                    spared.insert(artifact.parsed()?);
                }
                drop(spared);
                self.note(loose);
            } else {
                let is_remote = self.parts.embedded.is_none();
                if is_remote && self.is_older(looked) {
                    self.look(repository).await?;
                    looked = self.parts.clock.elapsed();
                }
                self.delete(&editor, loose).await?;
            }
        }
        self.job.did_part();
        Ok(())
    }

    /// Whether a look at that time, by the clock's `elapsed`, is too old to go by.
    fn is_older(&self, looked: Duration) -> bool {
        self.parts.clock.elapsed().saturating_sub(looked) >= FRESH
    }

    /// Leaves what the registry itself says that something holds: the index may be behind. What
    /// is used again while the answer lives cannot be deleted.
    async fn condemn(
        &self,
        registry: &embedded::Registry,
        repository: &Repository,
        plan: &mut Vec<Loose>,
    ) -> Result<Condemned, Failure> {
        let name = repository.name.parse().map_err(|error| {
            Failure::permanent(format!("repository {}: {error}", repository.name))
        })?;
        let mut digests = BTreeSet::new();
        for artifact in plan.iter().flat_map(Loose::all) {
            digests.insert(artifact.parsed()?.1);
        }
        let window = self.parts.config.window();
        let condemned = registry.condemn(&name, digests, window).await;
        let condemned = condemned.map_err(|error| Failure::retryable(error.to_string()))?;
        plan.retain(|loose| {
            let is_unheld = |artifact: &Artifact| {
                let digest = artifact.digest.parse();
                digest.is_ok_and(|digest| condemned.is_unheld(&digest))
            };
            let goes = loose.all().all(is_unheld);
            if !goes {
                self.stays(loose, "the registry has it in use");
            }
            goes
        });
        Ok(condemned)
    }

    fn stays(&self, loose: &Loose, why: &str) {
        let (name, digest) = (&loose.artifact.repository_name, &loose.artifact.digest);
        self.journal.doubt(&format!("{name}@{digest} stays: {why}"));
    }

    /// Clients may have tagged something past the gateway; the registry says.
    async fn look(&self, repository: &Repository) -> Result<(), Failure> {
        if let Ok(name) = repository.name.parse() {
            self.parts.inventory.refresh(&name).await?;
        }
        Ok(())
    }

    async fn look_and_plan(
        &self,
        repository: &Repository,
        plan: &mut Vec<Loose>,
    ) -> Result<(), Failure> {
        self.look(repository).await?;
        *plan = self.plan(repository).await?;
        let all: Vec<Artifact> = plan.iter().flat_map(Loose::all).cloned().collect();
        let bytes = self.parts.inventory.bytes_only_in(&all).await?;
        if let Space::Left { bytes: left } = &mut self.outcome().space {
            *left += bytes;
        }
        Ok(())
    }

    /// What of a repository is to go, an index before its parts. Nothing, while there is a
    /// manifest of which nobody knows what it names.
    async fn plan(&self, repository: &Repository) -> Result<Vec<Loose>, Failure> {
        let inventory = &self.parts.inventory;
        if let Some(unread) = self.unread(repository.id).await? {
            let name = &repository.name;
            self.journal.doubt(&format!(
                "the manifest {unread} of {name} cannot be read: every untagged one of the \
                 repository stays until it is pushed again or deleted"
            ));
            return Ok(Vec::new());
        }
        let mut roots = Vec::new();
        let mut behind = None;
        loop {
            let listing = page_behind(behind);
            let page = inventory.loose(repository.id, self.limit(), &listing);
            let page = page.await?.items;
            let Some(last) = page.last() else { break };
            behind = Some(last.id.0);
            roots.extend(page);
        }
        let mut gone = BTreeSet::new();
        let mut plan = Vec::new();
        while let Some(artifact) = roots.pop() {
            let Some(attached) = self.attached(&artifact).await? else {
                continue;
            };
            let loose = Loose { artifact, attached };
            let all: Vec<Artifact> = loose.all().cloned().collect();
            gone.extend(all.iter().map(|artifact| artifact.digest.clone()));
            let parts = inventory.references_of(&all).await?;
            for part in parts.into_values().flatten() {
                let part = self.part(repository, &part.child_digest, &gone).await?;
                roots.extend(part);
            }
            plan.push(loose);
        }
        Ok(plan)
    }

    /// A manifest of which nobody knows what it names. The embedded registry knows by itself.
    async fn unread(&self, repository: RepositoryId) -> Result<Option<String>, Failure> {
        match &self.parts.embedded {
            Some(_) => Ok(None),
            None => Ok(self.parts.inventory.unread_in(repository).await?),
        }
    }

    /// All that is attached to an artifact, and to that, in the order of deletion; `None` when
    /// some of it is young.
    async fn attached(&self, artifact: &Artifact) -> Result<Option<Vec<Artifact>>, Failure> {
        let all = self.parts.inventory.with_attached(artifact).await?;
        let attached: Vec<Artifact> = all.into_iter().skip(1).rev().collect();
        let are_old = attached.iter().all(|accessory| self.is_old(accessory));
        Ok(are_old.then_some(attached))
    }

    /// A part of an index that nothing holds but what is gone.
    async fn part(
        &self,
        repository: &Repository,
        digest: &str,
        gone: &BTreeSet<String>,
    ) -> Result<Option<Artifact>, Failure> {
        let inventory = &self.parts.inventory;
        let (Ok(name), Ok(digest)) = (repository.name.parse(), digest.parse()) else {
            return Ok(None);
        };
        let found = inventory.artifact(&name, &Reference::Digest(digest)).await;
        let part = match found {
            Ok(part) => part,
            Err(error) if error.kind() == inventory::Kind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let is_held = part.subject_digest.is_some()
            || !self.is_old(&part)
            || gone.contains(&part.digest)
            || !inventory
                .tags_of(std::slice::from_ref(&part))
                .await?
                .is_empty();
        let parents = inventory.parents_of(&part).await?;
        let is_loose = !is_held && parents.iter().all(|parent| gone.contains(parent));
        Ok(is_loose.then_some(part))
    }

    async fn delete(&self, editor: &Editor, loose: &Loose) -> Result<(), Failure> {
        if !self.is_still_loose(loose).await? {
            self.stays(loose, "it is in use again");
            return Ok(());
        }
        match editor.delete_artifact(&loose.artifact).await {
            Ok(()) => self.note(loose),
            Err(inventory::Error::Registry(error)) if error.is_precondition() => {
                self.stays(loose, &error.to_string());
            }
            Err(inventory::Error::Registry(error)) if !error.retryable() => {
                let artifact = &loose.artifact;
                self.journal.doubt(&format!(
                    "{}@{} cannot be deleted: {}",
                    artifact.repository_name,
                    artifact.digest,
                    error.explained()
                ));
                self.outcome().failed += 1;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Somebody may have pushed, tagged or pulled since.
    async fn is_still_loose(&self, loose: &Loose) -> Result<bool, Failure> {
        let listing = Listing {
            filters: vec![Filter {
                field: "digest".to_owned(),
                test: Test::Equals(loose.artifact.digest.clone()),
            }],
            ..Listing::default()
        };
        let (inventory, repository) = (&self.parts.inventory, loose.artifact.repository_id);
        let found = inventory.loose(repository, self.limit(), &listing);
        let is_loose = !found.await?.items.is_empty() && self.unread(repository).await?.is_none();
        Ok(is_loose && self.attached(&loose.artifact).await?.is_some())
    }

    fn note(&self, loose: &Loose) {
        let verb = if self.parameters.dry_run {
            "would delete"
        } else {
            "delete"
        };
        for artifact in loose.all() {
            let (name, digest) = (&artifact.repository_name, &artifact.digest);
            self.journal.item(&format!("{verb} {name}@{digest}"));
            self.outcome().deleted_manifests += 1;
        }
    }

    fn editor(&self) -> Editor {
        let exchange = self.parts.registry.on_behalf_of(&Author::within(AUTHOR));
        self.parts.inventory.editor(exchange)
    }

    fn is_old(&self, artifact: &Artifact) -> bool {
        let used = artifact.pulled_ms.max(Some(artifact.pushed_ms));
        used < Some(self.limit().millis())
    }

    /// What was pushed or pulled since then stays.
    fn limit(&self) -> Timestamp {
        let window = self.parts.config.window();
        self.parts.clock.now().minus(window)
    }
}

impl Loose {
    /// In the order of their deletion.
    fn all(&self) -> impl Iterator<Item = &Artifact> {
        self.attached.iter().chain([&self.artifact])
    }
}

fn page_behind(behind: Option<i64>) -> Listing {
    Listing {
        behind,
        limit: Some(AT_ONCE),
        ..Listing::default()
    }
}

/// Who the audit trail says has deleted.
const AUTHOR: &str = "garbage-collection";

/// How old what a remote registry said may be when something is deleted: to look at it takes a
/// request for each tag of the repository.
const FRESH: Duration = Duration::from_secs(1);

/// Rows read at once.
const AT_ONCE: i64 = 100;
