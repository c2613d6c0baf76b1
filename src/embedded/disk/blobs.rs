use std::{fs, fs::File, path::Path};

use super::{Disk, files, files::Batch};
use crate::{
    embedded::error::Failure,
    oci::{Digest, RepositoryName},
};

impl Disk {
    /// The size of a blob in bytes, if the repository has it.
    pub(in crate::embedded) fn blob_size(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<u64>, Failure> {
        if files::length(&self.layout.blob_link(name, digest))?.is_none() {
            return Ok(None);
        }
        self.content(digest, files::length)
    }

    /// The same for a client that may leave the upload out for it: from now on the blob counts
    /// as pushed again.
    pub(in crate::embedded) fn promise_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<u64>, Failure> {
        let _adding = self.locks.adding(name);
        self.fresh.note(digest);
        let size = self.blob_size(name, digest)?;
        if size.is_some() {
            files::touch(&self.layout.blob_link(name, digest))?;
        }
        Ok(size)
    }

    /// A blob's content and its size in bytes, if the repository has it.
    pub(in crate::embedded) fn open_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<(File, u64)>, Failure> {
        if files::length(&self.layout.blob_link(name, digest))?.is_none() {
            return Ok(None);
        }
        self.content(digest, |path| {
            let opened = File::open(path).and_then(|file| {
                let size = file.metadata()?.len();
                Ok((file, size))
            });
            files::present(opened, "open", path)
        })
    }

    /// Takes the upload `file`, which lies at `from` and whose content has the digest `digest`,
    /// into the repository. `from` is gone afterwards.
    pub(in crate::embedded) fn adopt_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: &Path,
        file: &File,
    ) -> Result<(), Failure> {
        let data = self.layout.blob_data(digest);
        let uploaded = file.metadata();
        let size = uploaded
            .map_err(|error| Failure::storage("look at", from, error))?
            .len();
        let mut batch = self.files.begin();
        let _content = self.contents.adding(digest);
        self.fresh.note(digest);
        if files::length(&data)? == Some(size) {
            fs::remove_file(from).map_err(|error| Failure::storage("remove", from, error))?;
        } else {
            batch.adopt(from, file, &data)?;
        }
        self.link_blob(&mut batch, name, digest)?;
        batch.finish()
    }

    /// Links a blob of the repository `from` in another; `false` when `from` has no such blob.
    pub(in crate::embedded) fn mount_blob(
        &self,
        from: &RepositoryName,
        digest: &Digest,
        to: &RepositoryName,
    ) -> Result<bool, Failure> {
        let _content = self.contents.adding(digest);
        self.fresh.note(digest);
        if self.blob_size(from, digest)?.is_none() {
            return Ok(false);
        }
        let mut batch = self.files.begin();
        self.link_blob(&mut batch, to, digest)?;
        batch.finish()?;
        Ok(true)
    }

    /// Takes a blob out of the repository; `false` when it has none such. Others keep it.
    pub(in crate::embedded) fn unlink_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, Failure> {
        let mut batch = self.files.begin();
        let _removing = self.locks.removing(name);
        let was_there = batch.remove(&self.layout.blob_link(name, digest))?;
        batch.finish()?;
        Ok(was_there)
    }

    /// A link that is there already counts as written now.
    fn link_blob(
        &self,
        batch: &mut Batch<'_>,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Failure> {
        let _adding = self.locks.adding(name);
        let path = self.layout.blob_link(name, digest);
        link(batch, &path, digest)?;
        files::touch(&path).map(drop)
    }
}

/// Writes a link unless it is there with this digest.
pub(super) fn link(batch: &mut Batch<'_>, path: &Path, digest: &Digest) -> Result<(), Failure> {
    if files::read(path)?.as_deref() == Some(digest.as_str().as_bytes()) {
        return Ok(());
    }
    batch.write(path, digest.as_str().as_bytes())
}
