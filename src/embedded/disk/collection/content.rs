use std::{fs::File, path::Path};

use super::Run;
use crate::{
    embedded::{
        disk::{files, layout::digest_of},
        error::Failure,
    },
    oci::Digest,
};

impl Run {
    /// Removes content that is marked nowhere from a folder of blobs. Every repository must have
    /// been marked. Ends early when it is stopped.
    pub(in crate::embedded) fn collect_shard(&self, folder: &Path) -> Result<(), Failure> {
        let algorithm = folder.parent().and_then(Path::file_name);
        let algorithm = algorithm.unwrap_or_default().to_string_lossy();
        for hex in files::names(folder)? {
            let Ok(digest) = format!("{algorithm}:{hex}").parse() else {
                continue;
            };
            if self.stop.is_cancelled() {
                return Ok(());
            }
            if !self.marks().has(&digest) {
                self.collect_content(&digest, &folder.join(hex))?;
            }
        }
        Ok(())
    }

    fn collect_content(&self, digest: &Digest, folder: &Path) -> Result<(), Failure> {
        let disk = &self.disk;
        let data = disk.layout.blob_data(digest);
        let _removing = disk.contents.removing(digest);
        let Some((length, written)) = files::look(&data)? else {
            return if self.is_real() {
                files::remove_empty(folder)
            } else {
                Ok(())
            };
        };
        if disk.fresh.has(digest) || !self.is_old(written) {
            return Ok(());
        }
        if self.collection.quarantine.is_zero() {
            self.delete(digest, &data, length)?;
        } else {
            self.put_aside(digest, &data, length)?;
        }
        if self.is_real() {
            files::remove_empty(folder)?;
        }
        Ok(())
    }

    fn put_aside(&self, digest: &Digest, data: &Path, length: u64) -> Result<(), Failure> {
        if self.is_real() {
            // From now on this is when it came into quarantine.
            File::open(data)
                .and_then(|file| file.set_modified(self.now.into()))
                .map_err(|error| Failure::storage("touch", data, error))?;
            files::rename(data, &self.disk.layout.quarantined(digest))?;
        }
        let mut totals = self.totals();
        totals.quarantined_blobs += 1;
        totals.quarantined_bytes += length;
        drop(totals);
        self.tell_item(format!("put {digest} into quarantine, {length} bytes"));
        Ok(())
    }

    fn delete(&self, digest: &Digest, path: &Path, length: u64) -> Result<(), Failure> {
        if self.is_real() {
            files::remove(path)?;
        }
        let mut totals = self.totals();
        totals.deleted_blobs += 1;
        totals.freed_bytes += length;
        drop(totals);
        self.tell_item(format!("delete {digest}, {length} bytes"));
        Ok(())
    }

    /// Deletes what has been in quarantine for its time, and takes back what something refers
    /// to.
    pub(in crate::embedded) fn empty_quarantine(&self) -> Result<(), Failure> {
        let folder = self.disk.layout.quarantine();
        for entry in files::names(&folder)? {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            if let Some(digest) = digest_of(&entry) {
                self.judge_again(&digest)?;
            }
        }
        Ok(())
    }

    fn judge_again(&self, digest: &Digest) -> Result<(), Failure> {
        let disk = &self.disk;
        let aside = disk.layout.quarantined(digest);
        let data = disk.layout.blob_data(digest);
        let _removing = disk.contents.removing(digest);
        let Some((length, since)) = files::look(&aside)? else {
            return Ok(());
        };
        // Clients have pushed it anew.
        let is_double = files::length(&data)?.is_some();
        let is_needed = self.marks().has(digest) || disk.fresh.has(digest);
        if is_needed && !is_double {
            self.tell_doubt(format!(
                "{digest} was in quarantine though something refers to it; it is back"
            ));
            return if self.is_real() {
                disk.bring_back(digest, &data).map(drop)
            } else {
                Ok(())
            };
        }
        let until = since.plus(self.collection.quarantine);
        if is_double || until <= self.now {
            self.delete(digest, &aside, length)?;
        }
        Ok(())
    }
}
