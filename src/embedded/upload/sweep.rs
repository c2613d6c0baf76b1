use std::{fs, path::Path};

use super::sessions::Sessions;
use crate::{clock::Timestamp, embedded::error::Failure, oci::UploadId};

impl Sessions {
    /// Gives up uploads that nobody added to since `limit`, and removes temporary files as old,
    /// which a killed process left. Returns how many files went.
    pub(in crate::embedded) fn sweep(&self, limit: Timestamp) -> Result<u64, Failure> {
        let uploads = remove_old(
            &self.disk.layout.uploads(),
            limit,
            |entry| match UploadId::parse(entry) {
                Some(id) if self.is_busy(&id) => Ok(()),
                Some(id) => self.discard(&id),
                None => Ok(()),
            },
        )?;
        let temporary = self.disk.layout.temporary();
        let leftovers = remove_old(&temporary, limit, |entry| {
            let path = temporary.join(entry);
            fs::remove_file(&path).map_err(|error| Failure::storage("remove", &path, error))
        })?;
        Ok(uploads + leftovers)
    }
}

/// Calls `remove` for every file in `folder` last written before `limit`. One that fails does
/// not keep the others.
fn remove_old(
    folder: &Path,
    limit: Timestamp,
    remove: impl Fn(&str) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let entries = fs::read_dir(folder).map_err(|error| Failure::storage("list", folder, error))?;
    let mut removed = 0;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        let (Some(name), Ok(written)) = (name.to_str(), written) else {
            continue;
        };
        if Timestamp::from(written) >= limit {
            continue;
        }
        match remove(name) {
            Ok(()) => removed += 1,
            Err(failure) if failure.is_storage() => {
                tracing::warn!("a leftover stays for the next sweep: {failure}");
            }
            // Gone meanwhile.
            Err(_) => {}
        }
    }
    Ok(removed)
}
