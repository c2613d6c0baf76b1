//! What the destination has and the source has no more.

use std::collections::{BTreeMap, HashSet};

use super::survey::Survey;
use crate::{
    jobs::Failure,
    oci::{RepositoryName, Tag},
    replication::PolicySpec,
};

/// Found while the source is listed: tags at the destination, of repositories that the source
/// still has, without one at the source.
#[derive(Debug, Default)]
pub(super) struct Gone {
    /// By the name at the destination.
    found: BTreeMap<RepositoryName, Found>,
    /// All tags seen at the destination.
    pub held: u64,
}

#[derive(Debug)]
struct Found {
    source: RepositoryName,
    tags: Vec<Tag>,
    /// Another repository of the source goes there too; what is whose nobody can tell.
    is_shared: bool,
}

impl Gone {
    /// Compares the destination with `tags`, the accepted ones of the source's `repository`. What
    /// has lost its labels is not gone.
    pub(super) async fn compare(
        &mut self,
        survey: &Survey<'_>,
        spec: &PolicySpec,
        repository: &RepositoryName,
        tags: &[Tag],
    ) -> Result<(), Failure> {
        // What cannot be named at the destination has nothing there.
        let Ok(there) = spec.namespace.map(repository) else {
            return Ok(());
        };
        if let Some(found) = self.found.get_mut(&there) {
            found.is_shared = true;
            return Ok(());
        }
        let held = survey.held(&there).await?;
        self.held += held.len() as u64;
        let present;
        let here: HashSet<&Tag> = if spec.asks_for_labels() {
            present = survey.present(repository).await?;
            present.iter().collect()
        } else {
            tags.iter().collect()
        };
        let gone = held.into_iter().filter(|tag| !here.contains(tag));
        let found = Found {
            source: repository.clone(),
            tags: gone.collect(),
            is_shared: false,
        };
        self.found.insert(there, found);
        Ok(())
    }

    /// What may be deleted: the source's repository, its name at the destination, the tags.
    pub(super) fn deletable(
        &self,
    ) -> impl Iterator<Item = (&RepositoryName, &RepositoryName, &[Tag])> {
        let own = self.found.iter().filter(|(_, found)| !found.is_shared);
        own.map(|(there, found)| (&found.source, there, &*found.tags))
    }

    pub(super) fn count(&self) -> u64 {
        self.deletable().map(|(.., tags)| tags.len() as u64).sum()
    }
}
