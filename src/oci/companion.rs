use super::{Digest, Tag};

/// The tags by which cosign attaches signatures, attestations and bills of material to the
/// manifest `digest` (cosign, "Signature Specification": `sha256-<hex>.sig`).
pub fn companion_tags(digest: &Digest) -> impl Iterator<Item = Tag> {
    let stem = format!("{}-{}", digest.algorithm().name(), digest.hex());
    SUFFIXES
        .iter()
        .filter_map(move |suffix| format!("{stem}{suffix}").parse().ok())
}

/// The manifest that a tag belongs to by its name: one of [`companion_tags`], or the referrers tag
/// (OCI distribution-spec, "Referrers Tag Schema").
pub fn companion_subject(tag: &Tag) -> Option<Digest> {
    let name = tag.as_str();
    let stem = SUFFIXES
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name);
    stem.replacen('-', ":", 1).parse().ok()
}

const SUFFIXES: [&str; 3] = [".sig", ".att", ".sbom"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tags_of_a_manifest_lead_back_to_it() {
        let digest = Digest::sha256(b"image");
        let mut tags: Vec<Tag> = companion_tags(&digest).collect();
        assert_eq!(tags.len(), 3);
        tags.push(format!("sha256-{}", digest.hex()).parse().unwrap());
        for tag in tags {
            assert_eq!(companion_subject(&tag), Some(digest.clone()), "{tag}");
        }
        for tag in ["v1", "v1.sig", "sha256-abc.sig", "sha256-abc"] {
            assert_eq!(companion_subject(&tag.parse().unwrap()), None, "{tag}");
        }
    }
}
