//! What a collection of garbage asks the index.

use super::{
    Artifact, Error, Inventory, RepositoryId,
    queries::{reading, usage},
};
use crate::{
    clock::Timestamp,
    store::{Listing, Page, Value},
};

impl Inventory {
    /// Artifacts that nothing holds: no tag, no index that lists them, no subject that is there.
    /// Only those that were neither pushed nor pulled since `before`. By the fields of
    /// [`Inventory::artifacts`].
    pub async fn loose(
        &self,
        repository: RepositoryId,
        before: Timestamp,
        listing: &Listing,
    ) -> Result<Page<Artifact>, Error> {
        let fixed = vec![
            Value::Integer(repository.0),
            Value::Integer(before.millis()),
        ];
        Ok(self
            .0
            .db
            .page(&reading::LOOSE_ARTIFACTS, fixed, listing)
            .await?)
    }

    /// What the blobs weigh that no other artifact of the registry has.
    pub async fn bytes_only_in(&self, artifacts: &[Artifact]) -> Result<u64, Error> {
        let bytes = usage::bytes_only_in(&self.0.db, &reading::ids(artifacts)).await?;
        Ok(u64::try_from(bytes).unwrap_or_default())
    }
}
