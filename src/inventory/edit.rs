use std::net::IpAddr;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future::BoxFuture, stream};

use super::{Artifact, Error, Inventory, queries::reading};
use crate::{
    oci::{Descriptor, Digest, Manifest, Reference, RepositoryName, Tag},
    registry::{Client, Deletion, Mounted},
    wire::{Exchange, RequestId},
};

/// The registry as others may change it: guarded, written down and concluded as a client's
/// pushes and deletes are. Implemented above.
pub trait Registry: std::fmt::Debug + Send + Sync {
    /// An exchange whose changes are this one's; their rights were checked already.
    fn on_behalf_of(&self, author: &Author) -> Exchange;
}

/// Who makes a change.
#[derive(Debug, Clone)]
pub struct Author {
    pub name: String,
    pub address: Option<IpAddr>,
    pub request_id: Option<RequestId>,
}

impl Author {
    /// A part of the gateway that does its own work, not a client's.
    pub fn within(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            address: None,
            request_id: None,
        }
    }
}

/// Changes what the registry holds; the index follows.
#[derive(Debug)]
pub struct Editor {
    inventory: Inventory,
    registry: Client,
}

impl Inventory {
    /// Changes through this exchange, of [`Registry::on_behalf_of`].
    pub fn editor(&self, exchange: Exchange) -> Editor {
        Editor {
            inventory: self.clone(),
            registry: Client::new(exchange),
        }
    }
}

impl Editor {
    /// Deletes a tag and nothing else.
    pub async fn delete_tag(&self, repository: &RepositoryName, tag: &Tag) -> Result<(), Error> {
        let reference = Reference::Tag(tag.clone());
        self.delete(repository, &reference).await
    }

    /// Deletes an artifact with its tags and, before it, what is attached to it.
    pub async fn delete_artifact(&self, artifact: &Artifact) -> Result<(), Error> {
        for artifact in self.inventory.with_attached(artifact).await?.iter().rev() {
            let (repository, digest) = artifact.parsed()?;
            self.delete(&repository, &Reference::Digest(digest)).await?;
        }
        Ok(())
    }

    /// Deletes all that a repository holds, and the repository.
    pub async fn delete_repository(&self, name: &RepositoryName) -> Result<(), Error> {
        let repository = self.inventory.repository(name).await?;
        let digests = reading::digests_of(&self.inventory.0.db, repository.id).await?;
        stream::iter(digests.iter().filter_map(|digest| digest.parse().ok()))
            .map(Ok)
            .try_for_each_concurrent(DELETES_AT_ONCE, |digest| async move {
                self.delete(name, &Reference::Digest(digest)).await
            })
            .await?;
        self.inventory.forget_repository(name).await
    }

    /// Makes the tag point to the artifact.
    pub async fn tag(&self, artifact: &Artifact, tag: &Tag) -> Result<(), Error> {
        let (repository, digest) = artifact.parsed()?;
        let manifest = self
            .registry
            .manifest(&repository, &Reference::Digest(digest))
            .await?;
        let reference = Reference::Tag(tag.clone());
        self.put(
            &repository,
            &reference,
            &manifest.media_type,
            manifest.bytes,
        )
        .await
    }

    /// Copies an artifact, its parts and what is attached to it; with the tag, if there is one.
    /// Blobs are mounted where the registry can, so that none moves.
    pub async fn copy(
        &self,
        artifact: &Artifact,
        to: &RepositoryName,
        tag: Option<&Tag>,
    ) -> Result<(), Error> {
        let (from, digest) = artifact.parsed()?;
        let reference = match tag {
            Some(tag) => Reference::Tag(tag.clone()),
            None => Reference::Digest(digest.clone()),
        };
        self.copy_manifest((&from, &digest), to, reference).await?;
        let one = std::slice::from_ref(artifact);
        let attached = self.inventory.accessories_of(one).await?;
        for accessory in attached.into_values().flatten() {
            let (_, digest) = accessory.parsed()?;
            let reference = Reference::Digest(digest.clone());
            self.copy_manifest((&from, &digest), to, reference).await?;
        }
        Ok(())
    }

    fn copy_manifest<'a>(
        &'a self,
        (from, digest): (&'a RepositoryName, &'a Digest),
        to: &'a RepositoryName,
        reference: Reference,
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let source = Reference::Digest(digest.clone());
            let remote = self.registry.manifest(from, &source).await?;
            if let Ok(manifest) = Manifest::parse(&remote.media_type, &remote.bytes) {
                for child in &manifest.children {
                    let reference = Reference::Digest(child.digest.clone());
                    self.copy_manifest((from, &child.digest), to, reference)
                        .await?;
                }
                for blob in manifest.blobs.iter().filter(|blob| !blob.is_foreign()) {
                    self.copy_blob(from, to, blob).await?;
                }
            }
            self.put(to, &reference, &remote.media_type, remote.bytes)
                .await
        })
    }

    async fn copy_blob(
        &self,
        from: &RepositoryName,
        to: &RepositoryName,
        blob: &Descriptor,
    ) -> Result<(), Error> {
        if self.registry.head_blob(to, &blob.digest).await?.is_some() {
            return Ok(());
        }
        let session = match self.registry.mount(to, &blob.digest, Some(from)).await? {
            Mounted::Done => return Ok(()),
            Mounted::Session(session) => session,
        };
        let source = self.registry.blob(from, &blob.digest).await?;
        Ok(self
            .registry
            .put_upload(&session, &blob.digest, blob.size, source.body)
            .await?)
    }

    async fn put(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<(), Error> {
        self.registry
            .put_manifest(repository, reference, media_type, bytes)
            .await?;
        Ok(())
    }

    /// What the registry does not have is deleted; then the index forgets it.
    async fn delete(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<(), Error> {
        let deleted = self.registry.delete_manifest(repository, reference).await?;
        if deleted == Deletion::Absent {
            self.inventory
                .forget(&super::Change {
                    repository: repository.clone(),
                    reference: reference.clone(),
                })
                .await?;
        }
        Ok(())
    }
}

impl Artifact {
    /// Where it is and what it is, as the registry is asked for it.
    pub fn parsed(&self) -> Result<(RepositoryName, Digest), Error> {
        let malformed = |problem: String| Error::Row {
            repository: self.repository_id,
            artifact: self.id,
            problem,
        };
        let repository = self.repository_name.parse();
        let digest = self.digest.parse();
        Ok((
            repository.map_err(|error| malformed(format!("{error}")))?,
            digest.map_err(|error| malformed(format!("{error}")))?,
        ))
    }
}

const DELETES_AT_ONCE: usize = 8;
