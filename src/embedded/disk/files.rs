use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};

use super::super::{config::Durability, error::Failure};
use crate::{clock::Timestamp, failpoint, secret::random_bytes};

/// Writes files so that others see them whole or not at all.
#[derive(Debug)]
pub(in crate::embedded) struct Files {
    temporary: PathBuf,
    durability: Durability,
}

impl Files {
    /// `temporary` is a folder on the same file system as everything that is written.
    pub(super) fn new(temporary: PathBuf, durability: Durability) -> Self {
        Self {
            temporary,
            durability,
        }
    }

    pub(super) fn begin(&self) -> Batch<'_> {
        Batch {
            files: self,
            touched: BTreeSet::new(),
        }
    }
}

/// Changes that belong together. They become visible one by one, in the order they are made,
/// and survive a power failure when [`Batch::finish`] has returned.
///
/// Directories are synced once, at the end: on a journaling file system the first sync carries
/// the others.
#[derive(Debug)]
#[must_use = "changes are durable only when finished"]
pub(in crate::embedded) struct Batch<'a> {
    files: &'a Files,
    touched: BTreeSet<PathBuf>,
}

impl Batch<'_> {
    /// Puts `content` at `path`, replacing what is there.
    pub(super) fn write(&mut self, path: &Path, content: &[u8]) -> Result<(), Failure> {
        let temporary = self.files.temporary.join(hex::encode(random_bytes::<16>()));
        let written = File::create_new(&temporary)
            .and_then(|mut file| {
                file.write_all(content)?;
                Ok(file)
            })
            .map_err(|error| Failure::storage("write", &temporary, error))
            .and_then(|file| self.adopt(&temporary, &file, path));
        if written.is_err() {
            // Else the sweep finds it.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Moves `file`, which lies at `from`, to `to`, replacing what is there.
    pub(super) fn adopt(&mut self, from: &Path, file: &File, to: &Path) -> Result<(), Failure> {
        if self.files.durability == Durability::Synced {
            file.sync_data()
                .map_err(|error| Failure::storage("sync", from, error))?;
        }
        self.place(from, to)
    }

    /// Moves what lies at `from` and is complete to `to`, replacing what is there.
    pub(super) fn place(&mut self, from: &Path, to: &Path) -> Result<(), Failure> {
        let folder = parent(to);
        self.make_folder(folder)?;
        failpoint::hit("embedded.file_written");
        rename(from, to)?;
        self.touched.insert(folder.into());
        Ok(())
    }

    /// Removes a file; `false` when there is none.
    pub(super) fn remove(&mut self, path: &Path) -> Result<bool, Failure> {
        let was_there = remove(path)?;
        if was_there {
            self.touched.insert(parent(path).into());
        }
        Ok(was_there)
    }

    /// Removes a folder with all that is in it, if it is there.
    pub(super) fn remove_folder(&mut self, folder: &Path) -> Result<(), Failure> {
        let removed = present(fs::remove_dir_all(folder), "remove", folder)?;
        if removed.is_some() {
            self.touched.insert(parent(folder).into());
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), Failure> {
        if self.files.durability == Durability::Cached {
            return Ok(());
        }
        for folder in self.touched {
            let synced = File::open(&folder).and_then(|folder| folder.sync_all());
            match synced {
                Err(error) if !is_absent(&error) => {
                    return Err(Failure::storage("sync", &folder, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn make_folder(&mut self, folder: &Path) -> Result<(), Failure> {
        match fs::create_dir(folder) {
            Ok(()) => {
                self.touched.insert(parent(folder).into());
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) if is_absent(&error) => {
                self.make_folder(parent(folder))?;
                self.make_folder(folder)
            }
            Err(error) => Err(Failure::storage("make", folder, error)),
        }
    }
}

/// Moves a file into a folder that is there. Not synced, like what follows.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::rename(from, to).map_err(|error| Failure::storage("rename", from, error))?;
    failpoint::hit("embedded.file_renamed");
    Ok(())
}

/// Removes a file; `false` when there is none.
pub(super) fn remove(path: &Path) -> Result<bool, Failure> {
    let removed = present(fs::remove_file(path), "remove", path)?;
    if removed.is_some() {
        failpoint::hit("embedded.file_removed");
    }
    Ok(removed.is_some())
}

/// Removes a folder if there is nothing in it.
pub(super) fn remove_empty(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => present(removed, "remove", folder).map(drop),
    }
}

/// Makes a file count as written now; `false` when there is none.
pub(super) fn touch(path: &Path) -> Result<bool, Failure> {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    // Both are now: whoever may write to the file may do that, without owning it (utimensat(2)).
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    let touched = utimensat(CWD, path, &times, AtFlags::empty()).map_err(io::Error::from);
    Ok(present(touched, "touch", path)?.is_some())
}

/// The content of a small file; `None` when there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    present(fs::read(path), "read", path)
}

/// The length of a file in bytes; `None` when there is no such file.
pub(super) fn length(path: &Path) -> Result<Option<u64>, Failure> {
    Ok(look(path)?.map(|(length, _written)| length))
}

/// The length of a file in bytes, and when it was last written.
pub(super) fn look(path: &Path) -> Result<Option<(u64, Timestamp)>, Failure> {
    let found = fs::metadata(path).and_then(|found| Ok((found.len(), found.modified()?.into())));
    present(found, "look at", path)
}

/// Whether there is a folder; whoever may not know fails, for a folder that is overlooked is
/// taken for garbage.
pub(super) fn is_folder(path: &Path) -> Result<bool, Failure> {
    let found = present(fs::metadata(path), "look at", path)?;
    Ok(found.is_some_and(|found| found.is_dir()))
}

/// The names in a folder that are text, in no order; none when there is no such folder.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, Failure> {
    let Some(entries) = present(fs::read_dir(folder), "list", folder)? else {
        return Ok(Vec::new());
    };
    entries
        .filter_map(|entry| match entry {
            Ok(entry) => entry.file_name().into_string().ok().map(Ok),
            Err(error) => Some(Err(Failure::storage("list", folder, error))),
        })
        .collect()
}

/// Turns "there is no such file" into `None`.
pub(super) fn present<T>(
    found: io::Result<T>,
    doing: &str,
    path: &Path,
) -> Result<Option<T>, Failure> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(Failure::storage(doing, path, error)),
    }
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
