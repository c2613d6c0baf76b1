use std::path::{Path, PathBuf};

use crate::oci::{Digest, RepositoryName, Tag};

/// Where things lie under the root.
///
/// `docker/registry/v2` is laid out as CNCF distribution lays it out, so that either can serve
/// what the other stored. `_referrers` and `media-type` are ours; distribution passes them over.
/// ```text
/// docker/registry/v2/blobs/sha256/ab/abcd…/data
/// docker/registry/v2/repositories/<name>/_layers/sha256/abcd…/link
/// docker/registry/v2/repositories/<name>/_manifests/revisions/sha256/abcd…/{link,media-type}
/// docker/registry/v2/repositories/<name>/_manifests/tags/<tag>/current/link
/// docker/registry/v2/repositories/<name>/_referrers/sha256/<subject>/sha256-abcd…
/// uploads/<upload id>
/// tmp/<random>
/// quarantine/sha256-abcd…
/// ```
/// A `link` holds a digest. A blob is in a repository when its link is there and its data is.
#[derive(Debug, Clone)]
pub(in crate::embedded) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(in crate::embedded) fn new(root: &Path) -> Self {
        Self { root: root.into() }
    }

    pub(in crate::embedded) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(in crate::embedded) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    pub(in crate::embedded) fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Where content waits that nothing refers to, until it is deleted.
    pub(in crate::embedded) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(super) fn quarantined(&self, digest: &Digest) -> PathBuf {
        self.quarantine().join(entry(digest))
    }

    pub(in crate::embedded) fn blobs(&self) -> PathBuf {
        self.root.join("docker/registry/v2/blobs")
    }

    pub(in crate::embedded) fn repositories(&self) -> PathBuf {
        self.root.join("docker/registry/v2/repositories")
    }

    pub(super) fn blob_data(&self, digest: &Digest) -> PathBuf {
        let (algorithm, hex) = (digest.algorithm().name(), digest.hex());
        self.blobs()
            .join(format!("{algorithm}/{}/{hex}/data", &hex[..2]))
    }

    pub(super) fn blob_link(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        self.repository(name)
            .join(format!("{LAYERS}/{}/link", folder(digest)))
    }

    /// The folder of a manifest's link and media type.
    pub(super) fn revision(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        self.repository(name)
            .join(format!("{MANIFESTS}/revisions/{}", folder(digest)))
    }

    pub(super) fn tags(&self, name: &RepositoryName) -> PathBuf {
        self.repository(name).join(MANIFESTS).join("tags")
    }

    pub(super) fn tag(&self, name: &RepositoryName, tag: &Tag) -> PathBuf {
        self.tags(name).join(tag.as_str())
    }

    pub(super) fn referrer(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> PathBuf {
        self.referrers(name, subject).join(entry(digest))
    }

    pub(super) fn referrers(&self, name: &RepositoryName, subject: &Digest) -> PathBuf {
        self.repository(name)
            .join(format!("{REFERRERS}/{}", folder(subject)))
    }

    pub(super) fn repository(&self, name: &RepositoryName) -> PathBuf {
        self.repositories().join(name.as_str())
    }
}

/// No component of a repository name begins with `_`.
pub(super) const LAYERS: &str = "_layers";
pub(super) const MANIFESTS: &str = "_manifests";
pub(super) const REFERRERS: &str = "_referrers";

/// The digest of a file that [`entry`] has named.
pub(super) fn digest_of(entry: &str) -> Option<Digest> {
    entry.replacen('-', ":", 1).parse().ok()
}

fn entry(digest: &Digest) -> String {
    digest.as_str().replacen(':', "-", 1)
}

/// `sha256/abcd…`.
pub(super) fn folder(digest: &Digest) -> String {
    format!("{}/{}", digest.algorithm().name(), digest.hex())
}
