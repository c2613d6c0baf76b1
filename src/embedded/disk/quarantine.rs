use std::{io, path::Path};

use super::{Disk, files};
use crate::{embedded::error::Failure, oci::Digest};

impl Disk {
    /// Reads content that something refers to. It is never in quarantine unless a mistake was
    /// made; if it is, it comes back first.
    pub(super) fn content<T>(
        &self,
        digest: &Digest,
        read: impl Fn(&Path) -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        let data = self.layout.blob_data(digest);
        match read(&data)? {
            None if self.bring_back(digest, &data)? => read(&data),
            found => Ok(found),
        }
    }

    /// Whether there was something to bring back.
    pub(super) fn bring_back(&self, digest: &Digest, data: &Path) -> Result<bool, Failure> {
        let aside = self.layout.quarantined(digest);
        if files::length(&aside)?.is_none() {
            return Ok(false);
        }
        let mut batch = self.files.begin();
        match batch.place(&aside, data) {
            // Another request was faster.
            Err(Failure::Storage { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(true);
            }
            placed => placed?,
        }
        batch.finish()?;
        tracing::warn!(
            %digest,
            "content came back from quarantine, for something refers to it"
        );
        Ok(true)
    }
}
