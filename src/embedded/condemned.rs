use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{CollectError, Registry, disk::Disk};
use crate::oci::{Digest, RepositoryName};

/// Manifests of a repository that are to be deleted unless they are used again: while this lives,
/// the deletion of one that was pushed, tagged, asked for by `HEAD` or named by such a manifest
/// since is refused with `PRECONDITION`.
#[derive(Debug)]
pub struct Condemned {
    disk: Arc<Disk>,
    name: RepositoryName,
    digests: BTreeSet<Digest>,
    unheld: BTreeSet<Digest>,
}

impl Registry {
    /// Asks the registry itself what of `digests` nothing holds. What was pushed or asked for by
    /// `HEAD` within `window` stays: a pushing client may have left its push out for it.
    pub async fn condemn(
        &self,
        name: &RepositoryName,
        digests: BTreeSet<Digest>,
        window: Duration,
    ) -> Result<Condemned, CollectError> {
        let limit = self.clock.now().minus(window);
        let mut condemned = Condemned {
            disk: Arc::clone(&self.disk),
            name: name.clone(),
            digests,
            unheld: BTreeSet::new(),
        };
        let condemning = self.threads.run(move || {
            let Condemned {
                disk,
                name,
                digests,
                unheld,
            } = &mut condemned;
            *unheld = disk.condemn(name, digests, limit)?;
            Ok(condemned)
        });
        Ok(condemning.await?)
    }
}

impl Condemned {
    /// Whether no tag and no manifest held it, but those that are condemned with it.
    pub fn is_unheld(&self, digest: &Digest) -> bool {
        self.unheld.contains(digest)
    }
}

impl Drop for Condemned {
    fn drop(&mut self) {
        self.disk.acquit(&self.name, &self.digests);
    }
}
