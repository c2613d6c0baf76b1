//! What the registry keeps, as files: blobs shared by all repositories, and each repository's
//! links to them. Everything here blocks and is called on [`Threads`](super::threads::Threads).
//!
//! What is referred to is written before what refers to it, each by renaming a complete file, so
//! that a process killed at any instant leaves no half blob and no reference to one. Start with
//! `layout.rs`. `collection/` takes away what nothing refers to any more.

mod blobs;
mod collection;
mod fates;
mod files;
mod fresh;
mod layout;
mod listing;
mod locks;
mod manifests;
mod marks;
mod quarantine;
mod referrers;

use std::{fs, fs::File, os::unix::fs::MetadataExt, path::Path};

use super::{config::Durability, error::Error};
use fates::Fates;
use files::Files;
use fresh::Fresh;
use locks::Locks;

pub(super) use collection::Run;
pub(super) use layout::Layout;
pub(super) use listing::Listing;
pub(super) use manifests::StoredManifest;
pub(super) use referrers::Referrer;

/// The registry's directory, locked against other processes while this lives.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) layout: Layout,
    files: Files,
    /// Of content, by digest. Taken before a repository's lock, never after.
    contents: Locks,
    /// Of repositories.
    locks: Locks,
    fresh: Fresh,
    fates: Fates,
    _lock: File,
}

impl Disk {
    /// Makes the folders where they are missing.
    pub(super) fn open(root: &Path, durability: Durability) -> Result<Self, Error> {
        let layout = Layout::new(root);
        let unusable = |source| Error::Directory {
            root: root.into(),
            source,
        };
        let folders = [
            layout.blobs(),
            layout.repositories(),
            layout.uploads(),
            layout.temporary(),
            layout.quarantine(),
        ];
        for folder in &folders {
            fs::create_dir_all(folder).map_err(unusable)?;
        }
        let device = |folder: &Path| fs::metadata(folder).map(|metadata| metadata.dev());
        for folder in &folders[1..] {
            if device(folder).map_err(unusable)? != device(&folders[0]).map_err(unusable)? {
                return Err(Error::SeveralFileSystems {
                    one: folders[0].clone(),
                    other: folder.clone(),
                });
            }
        }
        let lock = File::create(layout.lock()).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(Error::InUse { root: root.into() }),
            Err(fs::TryLockError::Error(source)) => return Err(unusable(source)),
        }
        Ok(Self {
            files: Files::new(layout.temporary(), durability),
            layout,
            contents: Locks::default(),
            locks: Locks::default(),
            fresh: Fresh::default(),
            fates: Fates::default(),
            _lock: lock,
        })
    }
}
