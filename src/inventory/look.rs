//! Makes the index equal to what the registry has now.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::{Change, Error, Inventory, Pushed, journal::Reach, queries::reading};
use crate::{
    backoff::Backoff,
    oci::{Digest, Manifest, Reference, RepositoryName, Tag},
    registry::{Kind, RemoteManifest},
    secret,
};

impl Inventory {
    /// Looks at a reference on a task of its own, again and again until the registry and the
    /// database have answered. One task looks at one reference.
    pub fn look_later(&self, change: Change) {
        if !self.0.looks.ask(&change) {
            return;
        }
        self.0.journal.begin(&change, Reach::Reference);
        let inventory = self.clone();
        self.0.tasks.spawn(async move {
            let stop = inventory.0.stop.clone();
            let looking = inventory.look_until_seen(&change);
            if stop.run_until_cancelled(looking).await.is_some() {
                inventory.0.journal.end(&change, Reach::Reference);
            }
        });
    }

    /// The registry says that something changed, perhaps before it shows it: looks soon, and
    /// once more when it must be done.
    pub fn heard(&self, change: Change) {
        self.0.journal.begin(&change, Reach::Reference);
        let inventory = self.clone();
        self.0.tasks.spawn(async move {
            let stop = inventory.0.stop.clone();
            for delay in HEARD_DELAYS {
                if stop.run_until_cancelled(sleep(delay)).await.is_none() {
                    return;
                }
                inventory.look_later(change.clone());
            }
            inventory.0.journal.end(&change, Reach::Reference);
        });
    }

    async fn look_until_seen(&self, change: &Change) {
        let mut failures = 0;
        loop {
            self.0.looks.begin(change);
            let turn = self.0.looks.turns.acquire().await;
            let looked = self.look(change).await;
            drop(turn);
            if looked.is_ok() {
                self.0.is_away.store(false, Ordering::Relaxed);
            }
            match looked {
                Ok(()) if self.0.looks.end(change) => return,
                // Somebody asked again meanwhile.
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(
                        repository.name = %change.repository,
                        reference = change.reference.as_str(),
                        "the index waits for the registry or the database: {error}"
                    );
                    sleep(BACKOFF.delay(failures, u64::from_ne_bytes(secret::random_bytes())))
                        .await;
                }
            }
        }
    }

    /// Looks once: what the registry has under the reference, the index has afterwards.
    pub async fn look(&self, change: &Change) -> Result<(), Error> {
        let Change {
            repository,
            reference,
        } = change;
        let Some(head) = self.0.registry.head_manifest(repository, reference).await? else {
            return self.forget(change).await;
        };
        match reference {
            Reference::Tag(tag) => self.see_tag(repository, tag, &head.digest).await,
            Reference::Digest(digest) => self.see(repository, digest).await,
        }
    }

    /// The registry has this tag on this digest.
    pub(super) async fn see_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), Error> {
        let known = reading::tagged_digest(&self.0.db, repository, tag).await?;
        if known.as_deref() == Some(digest.as_str()) {
            return Ok(());
        }
        self.take_in(repository.clone(), digest.clone(), vec![tag.clone()])
            .await
    }

    /// The registry has this digest.
    pub(super) async fn see(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Error> {
        if reading::knows(&self.0.db, repository, digest).await? {
            return Ok(());
        }
        self.take_in(repository.clone(), digest.clone(), Vec::new())
            .await
    }

    /// Reads a manifest and, before it is written down, those that it lists.
    fn take_in(
        &self,
        repository: RepositoryName,
        digest: Digest,
        tags: Vec<Tag>,
    ) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async move {
            let reference = Reference::Digest(digest.clone());
            let read = self.0.registry.manifest(&repository, &reference).await;
            let remote: RemoteManifest = match read {
                Ok(remote) => remote,
                // Deleted since, or a part that was never pushed.
                Err(error) if error.kind() == Kind::NotFound => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let manifest = Manifest::parse(&remote.media_type, &remote.bytes).ok();
            let children = manifest.iter().flat_map(|manifest| &manifest.children);
            for child in children {
                self.see(&repository, &child.digest).await?;
            }
            self.record(&Pushed {
                digest,
                size_bytes: remote.bytes.len() as u64,
                media_type: remote.media_type,
                manifest: manifest.map(Arc::new),
                tags,
                repository,
            })
            .await
        })
    }
}

/// distribution tells of a push before it has set the tag.
const HEARD_DELAYS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(15)];

/// Between looks that failed.
const BACKOFF: Backoff = Backoff {
    base: Duration::from_secs(1),
    cap: Duration::from_mins(1),
};
