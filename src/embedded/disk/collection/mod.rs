//! Removes what nothing refers to, while clients push.
//!
//! `repository.rs` marks, in each repository, what its manifests name and what is linked, and
//! removes links that no manifest needs. Then `content.rs` removes what is marked nowhere. What
//! the marks cannot know of, because it came after them, is in [`Fresh`](super::fresh::Fresh).
//! Content goes to quarantine first; before it is deleted for good it is asked for once more.
//!
//! Nothing here is synced: after a power failure some of it comes again, and is removed again.

mod content;
mod repository;

pub(super) use repository::{REVISIONS, digests_below};

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Disk, files,
    layout::{LAYERS, MANIFESTS},
    marks::Marks,
};
use crate::{
    clock::Timestamp,
    embedded::{
        collect::{Collected, Collection, Effect, Told},
        error::Failure,
    },
    oci::{Algorithm, Digest},
};

/// One collection; there is one at a time.
#[derive(Debug)]
pub(in crate::embedded) struct Run {
    disk: Arc<Disk>,
    collection: Collection,
    now: Timestamp,
    marked: Mutex<Marks>,
    collected: Mutex<Collected>,
    tell: mpsc::Sender<Told>,
    stop: CancellationToken,
}

impl Run {
    /// `None` while another one is under way. When this returns, everything that is not on the
    /// disk yet will be noted as fresh.
    pub(in crate::embedded) fn begin(
        disk: Arc<Disk>,
        collection: Collection,
        now: Timestamp,
        (tell, stop): (mpsc::Sender<Told>, CancellationToken),
    ) -> Option<Self> {
        if !disk.fresh.begin() {
            return None;
        }
        disk.contents.settle();
        disk.locks.settle();
        Some(Self {
            disk,
            collection,
            now,
            marked: Mutex::default(),
            collected: Mutex::default(),
            tell,
            stop,
        })
    }

    /// The folders of all repositories.
    pub(in crate::embedded) fn repositories(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut found = Vec::new();
        add_repositories(&self.disk.layout.repositories(), &mut found)?;
        Ok(found)
    }

    /// The folders that content lies in, by how its digest begins.
    pub(in crate::embedded) fn shards(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut found = Vec::new();
        for algorithm in ALGORITHMS {
            let folder = self.disk.layout.blobs().join(algorithm.name());
            let names = files::names(&folder)?;
            found.extend(names.into_iter().map(|name| folder.join(name)));
        }
        Ok(found)
    }

    pub(in crate::embedded) fn collected(&self) -> Collected {
        self.totals().clone()
    }

    /// Says that something is gone, or in a dry run would be.
    fn tell_item(&self, text: String) {
        let text = match self.collection.effect {
            Effect::Real => text,
            Effect::Dry => format!("would {text}"),
        };
        // Whoever does not listen any more has stopped this.
        let _ = self.tell.blocking_send(Told::Item(text));
    }

    fn tell_doubt(&self, text: String) {
        let _ = self.tell.blocking_send(Told::Doubt(text));
    }

    fn is_real(&self) -> bool {
        self.collection.effect == Effect::Real
    }

    /// Whether it was written long enough ago.
    fn is_old(&self, written: Timestamp) -> bool {
        written < self.now.minus(self.collection.window)
    }

    fn mark(&self, digest: &Digest) {
        self.marks().add(digest);
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn totals(&self) -> MutexGuard<'_, Collected> {
        let totals = &self.collected;
        totals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.disk.fresh.end();
    }
}

/// Every folder with content of a repository, whatever its name.
fn add_repositories(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let entries = fs::read_dir(folder).map_err(|error| Failure::storage("list", folder, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| Failure::storage("list", folder, error))?;
        let path = entry.path();
        let is_inner = entry.file_name().as_encoded_bytes().starts_with(b"_");
        if is_inner || !files::is_folder(&path)? {
            continue;
        }
        if files::is_folder(&path.join(LAYERS))? || files::is_folder(&path.join(MANIFESTS))? {
            found.push(path.clone());
        }
        add_repositories(&path, found)?;
    }
    Ok(())
}

/// Those whose content is collected; what another registry has stored with others stays.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];
