use super::Origin;
use crate::oci::{Digest, Reference, RepositoryName, Tag};

/// What a client is about to change in the registry behind the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub repository: RepositoryName,
    pub kind: ChangeKind,
    /// Who does it, for the log; empty for nobody.
    pub actor: String,
    /// The gateways it has passed, when a mirroring one makes it.
    pub origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// A manifest PUT. `tags` are those asked for with `?tag=` beside `reference`.
    Push {
        reference: Reference,
        tags: Vec<Tag>,
        digest: Digest,
        /// What the image's blobs weigh, where its manifest was seen.
        blob_bytes: Option<u64>,
    },
    /// A tag goes, its digest stays.
    DeleteTag { tag: Tag, digest: Option<Digest> },
    /// A digest goes and, with it, the tags that point to it.
    DeleteDigest { digest: Digest, tags: Vec<Tag> },
    /// An artifact gets or loses a label; it stays what it is.
    Label { digest: Digest, tags: Vec<Tag> },
}

impl Change {
    pub fn is_deletion(&self) -> bool {
        matches!(
            self.kind,
            ChangeKind::DeleteTag { .. } | ChangeKind::DeleteDigest { .. }
        )
    }

    pub fn is_of_labels(&self) -> bool {
        matches!(self.kind, ChangeKind::Label { .. })
    }

    /// What may differ at a mirror afterwards, each reference once.
    ///
    /// A push by digest with tags concerns the digest as well: the registry may ignore the tags.
    pub fn references(&self) -> Vec<Reference> {
        let tagged = |tags: &[Tag]| tags.iter().cloned().map(Reference::Tag).collect::<Vec<_>>();
        let mut references = match &self.kind {
            ChangeKind::Push {
                reference, tags, ..
            } => {
                let mut references = tagged(tags);
                references.push(reference.clone());
                references
            }
            ChangeKind::DeleteTag { tag, .. } => vec![Reference::Tag(tag.clone())],
            ChangeKind::DeleteDigest { digest, tags } => {
                let mut references = tagged(tags);
                references.push(Reference::Digest(digest.clone()));
                references
            }
            ChangeKind::Label { digest, tags } if tags.is_empty() => {
                vec![Reference::Digest(digest.clone())]
            }
            ChangeKind::Label { tags, .. } => tagged(tags),
        };
        references.sort();
        references.dedup();
        references
    }

    /// The tags that the registry may leave unset although it makes the change: those asked for
    /// beside the reference, which only registries of distribution-spec 1.2 know.
    pub(super) fn optional_tags(&self) -> Vec<Tag> {
        match &self.kind {
            ChangeKind::Push {
                reference, tags, ..
            } => {
                let beside = |tag: &&Tag| tag.as_str() != reference.as_str();
                tags.iter().filter(beside).cloned().collect()
            }
            ChangeKind::DeleteTag { .. }
            | ChangeKind::DeleteDigest { .. }
            | ChangeKind::Label { .. } => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(kind: ChangeKind) -> Vec<String> {
        let change = Change {
            repository: "a/b".parse().unwrap(),
            kind,
            actor: String::new(),
            origin: Origin::default(),
        };
        change
            .references()
            .iter()
            .map(|reference| reference.as_str().to_owned())
            .collect()
    }

    #[test]
    fn each_kind_of_change_concerns_its_references() {
        let digest = Digest::sha256(b"x");
        let tag = |text: &str| text.parse::<Tag>().unwrap();
        let push = |reference: &str, tags: &[&str]| ChangeKind::Push {
            reference: reference.parse().unwrap(),
            tags: tags.iter().map(|text| tag(text)).collect(),
            digest: digest.clone(),
            blob_bytes: None,
        };
        assert_eq!(texts(push("v1", &[])), ["v1"]);
        assert_eq!(texts(push("v1", &["v1", "v2"])), ["v1", "v2"]);
        assert_eq!(texts(push(digest.as_str(), &[])), [digest.as_str()]);
        assert_eq!(
            texts(push(digest.as_str(), &["a", "b"])),
            ["a", "b", digest.as_str()]
        );
        let delete = ChangeKind::DeleteDigest {
            digest: digest.clone(),
            tags: vec![tag("z")],
        };
        assert_eq!(texts(delete), ["z", digest.as_str()]);
        let label = |tags: &[&str]| ChangeKind::Label {
            digest: digest.clone(),
            tags: tags.iter().map(|text| tag(text)).collect(),
        };
        assert_eq!(texts(label(&["b", "a"])), ["a", "b"]);
        assert_eq!(texts(label(&[])), [digest.as_str()]);
    }
}
