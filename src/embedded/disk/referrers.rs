use std::collections::BTreeMap;

use super::{Disk, StoredManifest, files, files::Batch, layout::digest_of};
use crate::{
    embedded::error::Failure,
    oci::{Digest, MAX_MANIFEST_BYTES, Manifest, RepositoryName},
};

/// A manifest that has a subject, as the referrers list shows it
/// (OCI distribution-spec, "Listing Referrers").
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::embedded) struct Referrer {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::embedded) artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl Referrer {
    pub(super) fn new(stored: &StoredManifest, manifest: &Manifest) -> Self {
        Self {
            media_type: stored.media_type.clone(),
            digest: stored.digest.clone(),
            size: stored.bytes.len() as u64,
            artifact_type: manifest.artifact_type.clone(),
            annotations: manifest.annotations.clone(),
        }
    }
}

/// A part of a referrers list.
#[derive(Debug, Default)]
pub(in crate::embedded) struct ReferrersPage {
    pub(in crate::embedded) referrers: Vec<Referrer>,
    /// The entry this page ends with, when there may be more.
    pub(in crate::embedded) next_after: Option<String>,
}

impl Disk {
    /// The wanted manifests whose subject is `subject` and whose entries come after `last`,
    /// ordered by digest, about 4 MiB of them. The subject need not be in the repository.
    pub(in crate::embedded) fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        last: Option<&str>,
        wanted: impl Fn(&Referrer) -> bool,
    ) -> Result<ReferrersPage, Failure> {
        let folder = self.layout.referrers(name, subject);
        let mut entries = files::names(&folder)?;
        entries.retain(|entry| last.is_none_or(|last| entry.as_str() > last));
        entries.sort_unstable();
        let (mut page, mut bytes) = (ReferrersPage::default(), 0);
        for entry in entries {
            let Some(digest) = digest_of(&entry) else {
                continue;
            };
            // An entry is written before its manifest's link and removed after it.
            if !self.has_revision(name, &digest)? {
                continue;
            }
            let json = files::read(&folder.join(&entry))?.unwrap_or_default();
            let referrer = serde_json::from_slice(&json).ok();
            let Some(referrer) = referrer.filter(|referrer| wanted(referrer)) else {
                continue;
            };
            page.referrers.push(referrer);
            bytes += json.len();
            if bytes >= MAX_MANIFEST_BYTES {
                page.next_after = Some(entry);
                break;
            }
        }
        Ok(page)
    }

    pub(super) fn add_referrer(
        &self,
        batch: &mut Batch<'_>,
        name: &RepositoryName,
        subject: &Digest,
        referrer: &Referrer,
    ) -> Result<(), Failure> {
        let path = self.layout.referrer(name, subject, &referrer.digest);
        let json = serde_json::to_vec(referrer)
            .map_err(|error| Failure::storage("write", &path, error.into()))?;
        batch.write(&path, &json)
    }

    pub(super) fn remove_referrer(
        &self,
        batch: &mut Batch<'_>,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<(), Failure> {
        batch.remove(&self.layout.referrer(name, subject, digest))?;
        Ok(())
    }
}
