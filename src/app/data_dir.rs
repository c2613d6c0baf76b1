//! The data directory: one process at a time, and the key that seals secrets at rest.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::secret::{self, SealingKey};

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "cannot write to the data directory {path}: {source}; make it writable for this user, or name another in server.data_dir"
    )]
    Unwritable { path: PathBuf, source: io::Error },
    #[error(
        "another Tidegate is using the data directory {path}; stop it, or name another in server.data_dir"
    )]
    InUse { path: PathBuf },
    #[error(
        "{path} is damaged: it must hold the 32 bytes that were written on the first start; restore it from a backup"
    )]
    Key { path: PathBuf },
}

/// The directory, made and locked for as long as this value lives.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory where it is missing and takes its lock.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let unwritable = |source| Error::Unwritable {
            path: path.into(),
            source,
        };
        make(path)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("lock"))
            .map_err(unwritable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.into(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { path: path.into() }),
            Err(TryLockError::Error(source)) => Err(unwritable(source)),
        }
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The key that seals targets' secrets, made on the first start.
    pub(super) fn sealing_key(&self) -> Result<SealingKey, Error> {
        let path = self.join("sealing.key");
        let unwritable = |source| Error::Unwritable {
            path: path.clone(),
            source,
        };
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = secret::random_bytes::<{ SealingKey::LEN }>().to_vec();
                write_private(&path, &key).map_err(unwritable)?;
                key
            }
            read => read.map_err(unwritable)?,
        };
        SealingKey::new(&bytes).map_err(|_wrong_length| Error::Key { path })
    }
}

/// What is wrong with a directory that anybody on the machine may enter, which is the only thing
/// between them and its database: it is left as it is, for somebody may have a reason.
pub(super) fn exposure(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o007 != 0).then(|| {
        let path = path.display();
        format!("others on this machine may read what is in {path}: chmod o-rwx {path}")
    })
}

/// Makes the directory, where it is missing, so that only its owner reads what lies in it.
pub(super) fn make(path: &Path) -> Result<(), Error> {
    let mut private = fs::DirBuilder::new();
    let made = private.recursive(true).mode(0o700).create(path);
    made.map_err(|source| Error::Unwritable {
        path: path.into(),
        source,
    })
}

/// Writes a file only its owner can read, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_process_uses_a_data_directory() {
        let directory = tempfile::tempdir().unwrap();
        let first = DataDir::open(&directory.path().join("data")).unwrap();
        assert!(matches!(
            DataDir::open(first.path()),
            Err(Error::InUse { .. })
        ));
        let path = first.path().to_owned();
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_directory_that_others_may_enter_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        let data = DataDir::open(&path).unwrap();
        assert_eq!(exposure(data.path()), None, "as it is made");
        for (mode, is_exposed) in [
            (0o700, false),
            // A volume of Kubernetes belongs to the group of its pod.
            (0o2770, false),
            (0o755, true),
            (0o701, true),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let told = exposure(&path);
            assert_eq!(told.is_some(), is_exposed, "{mode:o}: {told:?}");
        }
        assert!(exposure(&path).unwrap().contains("chmod"));
    }

    #[test]
    fn the_sealing_key_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::open(directory.path()).unwrap();
        let sealed = data.sealing_key().unwrap().seal("test", b"secret").unwrap();
        assert_eq!(
            data.sealing_key().unwrap().open("test", &sealed).unwrap(),
            b"secret"
        );
        fs::write(data.join("sealing.key"), "short").unwrap();
        assert!(matches!(data.sealing_key(), Err(Error::Key { .. })));
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        fs::write(&path, "a file").unwrap();
        let message = DataDir::open(&path).unwrap_err().to_string();
        assert!(message.contains(&path.display().to_string()), "{message}");
    }
}
