use super::{Side, from_inner};
use crate::{
    inventory::{Author, Registry},
    jobs::Failure,
    oci::{Digest, Reference, RepositoryName},
    registry::{Client, Error, ManifestHead, RemoteManifest},
    replication::{RegistryId, Shared, places::Place},
};

/// One end of a copy: a repository of a registry. Its errors are the job's failures.
#[derive(Debug)]
pub(super) struct End {
    pub side: Side,
    pub registry: RegistryId,
    pub repository: RepositoryName,
    pub client: Client,
}

impl End {
    pub(super) async fn open(
        shared: &Shared,
        side: Side,
        registry: RegistryId,
        repository: RepositoryName,
    ) -> Result<Self, Failure> {
        let client = shared.client(registry).await;
        Ok(Self {
            side,
            registry,
            repository,
            client: client.map_err(|error| from_inner(&error))?,
        })
    }

    /// The destination that is the registry behind this gateway.
    pub(super) fn of_ours(registry: &dyn Registry, repository: RepositoryName) -> Self {
        Self {
            side: Side::Destination,
            registry: RegistryId::LOCAL,
            repository,
            client: Client::new(registry.on_behalf_of(&Author::within(AUTHOR))),
        }
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place {
            registry: self.registry,
            repository: &self.repository,
        }
    }

    pub(super) fn failure(&self, error: &Error) -> Failure {
        self.side.failure(error)
    }

    pub(super) async fn head(
        &self,
        reference: &Reference,
    ) -> Result<Option<ManifestHead>, Failure> {
        let head = self.client.head_manifest(&self.repository, reference).await;
        head.map_err(|error| self.failure(&error))
    }

    pub(super) async fn manifest(&self, digest: &Digest) -> Result<RemoteManifest, Error> {
        let reference = Reference::Digest(digest.clone());
        self.client.manifest(&self.repository, &reference).await
    }

    pub(super) async fn has_blob(&self, digest: &Digest) -> Result<bool, Failure> {
        let size = self.client.head_blob(&self.repository, digest).await;
        Ok(size.map_err(|error| self.failure(&error))?.is_some())
    }
}

/// Who makes these changes, in the audit log and in webhooks.
const AUTHOR: &str = "replication";
