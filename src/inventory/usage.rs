//! What projects use: every manifest, config and layer of a project, each digest once.
//!
//! Counted in the transaction that changes the index, from what the change itself touches.

use std::collections::BTreeMap;

use serde_json::json;

use super::{ArtifactId, Error, Inventory, queries::usage as queries};
use crate::{
    auth::ProjectId,
    oci::Digest,
    store::{self, Tx},
};

/// What a project uses at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    pub used_bytes: u64,
    /// Those of the digests asked for that the project has in an artifact, with the size that each
    /// counts with.
    pub held: BTreeMap<Digest, u64>,
}

impl Inventory {
    /// What the project uses, and which of these digests it has in an artifact: so many bytes of
    /// them cost it nothing again.
    pub async fn usage(&self, project: ProjectId, digests: &[&Digest]) -> Result<Usage, Error> {
        let row = queries::usage(&self.0.db, project, digests).await?;
        Ok(Usage {
            used_bytes: u64::try_from(row.used_bytes).unwrap_or_default(),
            held: serde_json::from_str(&row.held).unwrap_or_default(),
        })
    }

    /// What all projects hold together, each digest once.
    pub async fn stored_bytes(&self) -> Result<i64, Error> {
        Ok(queries::stored_bytes(&self.0.db).await?)
    }

    /// Counts again what the project of this name uses, of all projects when it is empty. Nothing
    /// is locked where the count is right.
    pub(super) async fn mend_usage(&self, project: &str) -> Result<(), Error> {
        for project in queries::projects(&self.0.db, project).await? {
            if !queries::has_drifted(&self.0.db, project).await? {
                continue;
            }
            let mut tx = self.0.db.begin().await?;
            queries::lock(&mut tx, project).await?;
            queries::count_again(&mut tx, project).await?;
            tx.commit().await?;
            tracing::warn!(%project, "what the project uses was counted again");
        }
        Ok(())
    }
}

/// What an artifact has begun to hold.
#[derive(Debug, Default)]
pub(super) struct Gained(BTreeMap<String, Holding>);

#[derive(Debug, Default)]
struct Holding {
    size_bytes: i64,
    holders: i64,
}

impl Gained {
    pub(super) fn add(&mut self, digest: String, size_bytes: i64) {
        let holding = self.0.entry(digest).or_default();
        holding.size_bytes = holding.size_bytes.max(size_bytes);
        holding.holders += 1;
    }

    /// Counts it for the project.
    pub(super) async fn count(self, tx: &mut Tx, project: ProjectId) -> Result<(), store::Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let held = self.0.iter().map(|(digest, holding)| {
            json!({ "digest": digest, "size": holding.size_bytes, "holders": holding.holders })
        });
        let held = held.collect::<serde_json::Value>().to_string();
        queries::lock(tx, project).await?;
        let after = queries::add_holders(tx, project, &held).await?;
        let new = after.iter().filter(|held| {
            let gained = self.0.get(&held.digest);
            gained.is_some_and(|gained| gained.holders == held.holders)
        });
        let bytes = new.fold(0, |sum: i64, held| sum.saturating_add(held.size_bytes));
        queries::change_usage(tx, project, bytes).await
    }
}

/// Takes away what these artifacts of the project hold; they are still there.
pub(super) async fn discount(
    tx: &mut Tx,
    project: ProjectId,
    artifacts: &[ArtifactId],
) -> Result<(), store::Error> {
    queries::lock(tx, project).await?;
    let after = queries::remove_holders(tx, project, artifacts).await?;
    let unheld: Vec<_> = after.iter().filter(|held| held.holders <= 0).collect();
    let digests: Vec<&str> = unheld.iter().map(|held| held.digest.as_str()).collect();
    queries::drop_blobs(tx, project, &digests).await?;
    let bytes = unheld
        .iter()
        .fold(0, |sum: i64, held| sum.saturating_add(held.size_bytes));
    queries::change_usage(tx, project, bytes.saturating_neg()).await
}
