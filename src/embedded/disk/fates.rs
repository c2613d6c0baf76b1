use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    Disk,
    collection::{REVISIONS, digests_below},
    files,
    marks::Marks,
};
use crate::{
    clock::Timestamp,
    embedded::error::Failure,
    oci::{Digest, RepositoryName, companion_subject},
};

/// Manifests that somebody means to delete unless they are used again meanwhile.
#[derive(Debug, Default)]
pub(super) struct Fates(Mutex<HashMap<(RepositoryName, Digest), Fate>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Doomed,
    /// Pushed, tagged, asked for by a pushing client, or named by such a manifest.
    Spared,
}

impl Fates {
    /// A client uses a manifest and all that it names. Called under the repository's lock.
    pub(super) fn spare(&self, name: &RepositoryName, digest: &Digest, manifest: &[u8]) {
        let mut all = self.all();
        if all.is_empty() {
            return;
        }
        let mut used = Marks::default();
        used.add(digest);
        used.add_all_in(manifest);
        for ((repository, condemned), fate) in &mut *all {
            if repository == name && used.has(condemned) {
                *fate = Fate::Spared;
            }
        }
    }

    pub(super) fn is_spared(&self, name: &RepositoryName, digest: &Digest) -> bool {
        let key = (name.clone(), digest.clone());
        self.all().get(&key) == Some(&Fate::Spared)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<(RepositoryName, Digest), Fate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    /// Which of these manifests nothing in the repository holds: no tag, and no manifest but
    /// those among them. Tags of signatures hold nothing whose subject is among them. What was
    /// pushed or promised since `limit` is held.
    ///
    /// Until [`Disk::acquit`], the deletion of one that is used again is refused.
    pub(in crate::embedded) fn condemn(
        &self,
        name: &RepositoryName,
        digests: &BTreeSet<Digest>,
        limit: Timestamp,
    ) -> Result<BTreeSet<Digest>, Failure> {
        let keys = digests.iter().map(|digest| (name.clone(), digest.clone()));
        let doomed = keys.map(|key| (key, Fate::Doomed));
        self.fates.all().extend(doomed);
        // Whoever is writing now did not see them there.
        drop(self.locks.removing(name));
        let mut old = digests.clone();
        for digest in digests {
            if self
                .used_at(name, digest)?
                .is_some_and(|used| used >= limit)
            {
                old.remove(digest);
            }
        }
        self.unheld(name, old)
    }

    pub(in crate::embedded) fn acquit(&self, name: &RepositoryName, digests: &BTreeSet<Digest>) {
        let mut all = self.fates.all();
        for digest in digests {
            all.remove(&(name.clone(), digest.clone()));
        }
    }

    fn unheld(
        &self,
        name: &RepositoryName,
        mut unheld: BTreeSet<Digest>,
    ) -> Result<BTreeSet<Digest>, Failure> {
        let (mut tagged, mut companions) = (BTreeSet::new(), Vec::new());
        for tag in self.tag_names(name)? {
            let Some(digest) = self.tagged(name, &tag)? else {
                continue;
            };
            match companion_subject(&tag).filter(|subject| unheld.contains(subject)) {
                Some(subject) => companions.push((subject, digest)),
                None => drop(tagged.insert(digest)),
            }
        }
        unheld.retain(|digest| !tagged.contains(digest));
        let goes_along: BTreeSet<&Digest> = companions.iter().map(|(_, digest)| digest).collect();
        let revisions = self.layout.repository(name).join(REVISIONS);
        let (mut kept, strange) = digests_below(&revisions)?;
        kept.retain(|digest| {
            let goes = unheld.contains(digest) || goes_along.contains(digest);
            !goes || tagged.contains(digest)
        });
        if !strange.is_empty() {
            return Ok(BTreeSet::new());
        }
        while !kept.is_empty() {
            let mut named = Marks::default();
            for digest in kept.drain(..) {
                if !self.has_revision(name, &digest)? {
                    continue;
                }
                let bytes = self.content(&digest, files::read)?;
                if !bytes.is_some_and(|bytes| named.add_all_in(&bytes)) {
                    // Nobody knows what it names.
                    return Ok(BTreeSet::new());
                }
            }
            let is_held = |digest: &Digest| {
                let stays = |subject: &Digest| !unheld.contains(subject);
                named.has(digest)
                    || companions
                        .iter()
                        .any(|(subject, companion)| companion == digest && stays(subject))
            };
            kept = unheld
                .iter()
                .filter(|digest| is_held(digest))
                .cloned()
                .collect();
            for digest in &kept {
                unheld.remove(digest);
            }
        }
        Ok(unheld)
    }
}
