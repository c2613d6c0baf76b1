use serde::Deserialize;

use super::{Disk, Referrer, blobs::link, files, files::Batch};
use crate::{
    clock::Timestamp,
    embedded::error::Failure,
    oci::{Descriptor, Digest, ErrorCode, Manifest, Reference, RepositoryName, Tag, media_type},
};

/// A manifest as it was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::embedded) struct StoredManifest {
    pub(in crate::embedded) digest: Digest,
    pub(in crate::embedded) media_type: String,
    pub(in crate::embedded) bytes: Vec<u8>,
}

impl Disk {
    pub(in crate::embedded) fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<StoredManifest>, Failure> {
        let digest = match reference {
            Reference::Digest(digest) => digest.clone(),
            Reference::Tag(tag) => match self.tagged(name, tag)? {
                Some(digest) => digest,
                None => return Ok(None),
            },
        };
        if !self.has_revision(name, &digest)? {
            return Ok(None);
        }
        let Some(bytes) = self.content(&digest, files::read)? else {
            return Ok(None);
        };
        let media_type = self.media_type(name, &digest, &bytes)?;
        Ok(Some(StoredManifest {
            digest,
            media_type,
            bytes,
        }))
    }

    /// The same for a client that may leave the push out for it: from now on the manifest counts
    /// as pushed again.
    pub(in crate::embedded) fn promise_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<StoredManifest>, Failure> {
        let _adding = self.locks.adding(name);
        let found = self.manifest(name, reference)?;
        if let Some(stored) = &found {
            self.fresh.note_manifest(&stored.digest, &stored.bytes);
            self.fates.spare(name, &stored.digest, &stored.bytes);
            files::touch(&self.layout.revision(name, &stored.digest).join(LINK))?;
        }
        Ok(found)
    }

    /// When a manifest was pushed or promised last.
    pub(super) fn used_at(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Timestamp>, Failure> {
        let found = files::look(&self.layout.revision(name, digest).join(LINK))?;
        Ok(found.map(|(_length, written)| written))
    }

    /// Stores a manifest and points `tags` to it. Everything it refers to but its subject must
    /// be in the repository, blobs with the size that it says; else it is refused and nothing is
    /// stored.
    pub(in crate::embedded) fn put_manifest(
        &self,
        name: &RepositoryName,
        stored: &StoredManifest,
        manifest: &Manifest,
        tags: &[Tag],
    ) -> Result<(), Failure> {
        let (digest, mut batch) = (&stored.digest, self.files.begin());
        let _content = self.contents.adding(digest);
        let _adding = self.locks.adding(name);
        self.fresh.note_manifest(digest, &stored.bytes);
        self.fates.spare(name, digest, &stored.bytes);
        self.check_references(name, manifest)?;
        let data = self.layout.blob_data(digest);
        if files::length(&data)? != Some(stored.bytes.len() as u64) {
            batch.write(&data, &stored.bytes)?;
        }
        let revision = self.layout.revision(name, digest);
        if inner_media_type(&stored.bytes).media_type.is_none() {
            batch.write(&revision.join(MEDIA_TYPE), stored.media_type.as_bytes())?;
        }
        if let Some(subject) = &manifest.subject {
            let referrer = Referrer::new(stored, manifest);
            self.add_referrer(&mut batch, name, &subject.digest, &referrer)?;
        }
        // A link that is there already counts as written now.
        link(&mut batch, &revision.join(LINK), digest)?;
        files::touch(&revision.join(LINK))?;
        for tag in tags {
            let current = self.layout.tag(name, tag).join(CURRENT_LINK);
            link(&mut batch, &current, digest)?;
        }
        batch.finish()
    }

    /// Removes a manifest and every tag that points to it; `false` when there is none such.
    /// Refused when it was condemned and is used again.
    pub(in crate::embedded) fn delete_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, Failure> {
        let _removing = self.locks.removing(name);
        if !self.has_revision(name, digest)? {
            return Ok(false);
        }
        if self.fates.is_spared(name, digest) {
            let message = "the manifest was pushed, asked for or named again just now";
            return Err(Failure::refused(ErrorCode::Precondition, message));
        }
        // Its content may be lost.
        let stored = self.manifest(name, &Reference::Digest(digest.clone()))?;
        let mut batch = self.files.begin();
        for tag in self.tag_names(name)? {
            if self.tagged(name, &tag)?.as_ref() == Some(digest) {
                self.remove_tag(&mut batch, name, &tag)?;
            }
        }
        let revision = self.layout.revision(name, digest);
        batch.remove(&revision.join(LINK))?;
        batch.remove(&revision.join(MEDIA_TYPE))?;
        let subject = stored
            .and_then(|stored| Manifest::parse(&stored.media_type, &stored.bytes).ok())
            .and_then(|manifest| manifest.subject);
        if let Some(subject) = subject {
            self.remove_referrer(&mut batch, name, &subject.digest, digest)?;
        }
        batch.finish()?;
        Ok(true)
    }

    /// Removes a tag alone; `false` when there is none such.
    pub(in crate::embedded) fn delete_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<bool, Failure> {
        let _removing = self.locks.removing(name);
        let mut batch = self.files.begin();
        let was_there = self.remove_tag(&mut batch, name, tag)?;
        batch.finish()?;
        Ok(was_there)
    }

    /// The digest a tag points to.
    pub(super) fn tagged(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<Digest>, Failure> {
        let content = files::read(&self.layout.tag(name, tag).join(CURRENT_LINK))?;
        let digest = content.and_then(|content| String::from_utf8(content).ok());
        Ok(digest.and_then(|digest| digest.trim().parse().ok()))
    }

    pub(super) fn has_revision(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, Failure> {
        let link = self.layout.revision(name, digest).join(LINK);
        Ok(files::length(&link)?.is_some())
    }

    fn remove_tag(
        &self,
        batch: &mut Batch<'_>,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<bool, Failure> {
        let folder = self.layout.tag(name, tag);
        let was_there = batch.remove(&folder.join(CURRENT_LINK))?;
        batch.remove_folder(&folder)?;
        Ok(was_there)
    }

    /// Children of an index may be manifests or, as in some artifacts, plain blobs.
    fn check_references(&self, name: &RepositoryName, manifest: &Manifest) -> Result<(), Failure> {
        let (mut missing, mut wrong) = (Vec::new(), None);
        for blob in &manifest.blobs {
            if blob.is_foreign() {
                continue;
            }
            match self.blob_size(name, &blob.digest)? {
                None => missing.push(blob),
                Some(size) if size != blob.size => wrong = wrong.or(Some((blob, size))),
                Some(_) => {}
            }
        }
        for child in &manifest.children {
            let there = self.has_revision(name, &child.digest)?
                || self.blob_size(name, &child.digest)?.is_some();
            if !there {
                missing.push(child);
            }
        }
        if !missing.is_empty() {
            let message = missing_message(name, &missing);
            return Err(Failure::refused(ErrorCode::ManifestBlobUnknown, message));
        }
        let Some((blob, size)) = wrong else {
            return Ok(());
        };
        Err(Failure::refused(
            ErrorCode::ManifestInvalid,
            format!(
                "the manifest announces {} bytes for {}, the blob has {size}; push it with the \
                 size that the blob has",
                blob.size, blob.digest
            ),
        ))
    }

    fn media_type(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<String, Failure> {
        let inner = inner_media_type(bytes);
        if let Some(media_type) = inner.media_type {
            return Ok(media_type);
        }
        let beside = files::read(&self.layout.revision(name, digest).join(MEDIA_TYPE))?;
        let beside = beside.and_then(|content| String::from_utf8(content).ok());
        Ok(beside.unwrap_or_else(|| match inner.manifests {
            Some(_) => media_type::OCI_INDEX.into(),
            None => media_type::OCI_MANIFEST.into(),
        }))
    }
}

fn missing_message(name: &RepositoryName, missing: &[&Descriptor]) -> String {
    let listed: Vec<_> = missing
        .iter()
        .take(LISTED_MISSING)
        .map(|descriptor| descriptor.digest.as_str())
        .collect();
    let more = missing.len().saturating_sub(LISTED_MISSING);
    let rest = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    format!(
        "the manifest refers to content that repository {name} does not have: {}{rest}; push it first",
        listed.join(", ")
    )
}

/// What a manifest says about its own kind.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct InnerMediaType {
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
}

fn inner_media_type(bytes: &[u8]) -> InnerMediaType {
    serde_json::from_slice(bytes).unwrap_or_default()
}

const LINK: &str = "link";
const CURRENT_LINK: &str = "current/link";
/// Beside the link, for manifests that do not hold their media type themselves.
pub(super) const MEDIA_TYPE: &str = "media-type";
/// How many missing digests an error names.
const LISTED_MISSING: usize = 5;
