//! What a manifest says of the artifact that it is.

use super::shown;
use crate::oci::{Digest, Manifest, Tag, companion_subject, media_type};

/// The kind of an artifact, in Harbor's words: `IMAGE`, `CHART`, `CNAB`, or what its media type
/// names (`application/vnd.cncf.openpolicyagent.config.v1+json`: `OPENPOLICYAGENT`).
pub(super) fn kind(manifest: &Manifest) -> String {
    if media_type::is_index(&manifest.media_type) {
        let is_bundle = manifest.annotations.contains_key(CNAB_ANNOTATION);
        return if is_bundle { "CNAB" } else { "IMAGE" }.to_owned();
    }
    let config = manifest.config.as_ref();
    let config = config.map_or("", |config| config.media_type.as_str());
    match config {
        media_type::OCI_CONFIG | DOCKER_CONFIG => "IMAGE".to_owned(),
        media_type::OCI_EMPTY | "" => {
            let artifact_type = manifest.artifact_type.as_deref();
            named(
                artifact_type
                    .filter(|name| *name != media_type::OCI_EMPTY)
                    .unwrap_or_default(),
            )
        }
        HELM_CONFIG => "CHART".to_owned(),
        other => named(other),
    }
}

/// Of `application/vnd.<organisation>.<kind>…` the kind, in capitals; of
/// `application/vnd.<kind>.config…` that.
fn named(media_type: &str) -> String {
    let name = media_type
        .strip_prefix("application/vnd.")
        .map(|rest| rest.split(['+', ';']).next().unwrap_or_default());
    let parts: Vec<&str> = name.unwrap_or_default().split('.').collect();
    let kind = match parts.as_slice() {
        [kind, "config", ..] | [_, kind, _, ..] => *kind,
        _ => "",
    };
    match kind {
        "" => "UNKNOWN".to_owned(),
        kind => shown::media_type(&kind.to_uppercase()),
    }
}

/// What is attached to which manifest, in Harbor's words (`signature.cosign`, …): by its subject
/// (OCI image-spec, "subject") or by the name of its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attachment {
    pub subject: Digest,
    pub kind: &'static str,
}

pub(super) fn attachment(manifest: &Manifest, tags: &[Tag]) -> Option<Attachment> {
    if let Some(subject) = &manifest.subject {
        return Some(Attachment {
            subject: subject.digest.clone(),
            kind: by_type(manifest),
        });
    }
    tags.iter().find_map(|tag| {
        let subject = companion_subject(tag)?;
        let kind = match tag.as_str().rsplit_once('.') {
            Some((_, "sig")) => COSIGN_SIGNATURE,
            Some(_) => SOME_ACCESSORY,
            None => REFERRERS_LIST,
        };
        Some(Attachment { subject, kind })
    })
}

fn by_type(manifest: &Manifest) -> &'static str {
    match manifest.artifact_type.as_deref().unwrap_or_default() {
        "application/vnd.dev.cosign.artifact.sig.v1+json"
        | "application/vnd.dev.cosign.simplesigning.v1+json"
        | "application/vnd.dev.sigstore.bundle.v0.3+json" => COSIGN_SIGNATURE,
        "application/vnd.cncf.notary.signature" => "signature.notation",
        "application/vnd.goharbor.harbor.sbom.v1" => "sbom.harbor",
        "application/vnd.nydus.image.config.v1+json" => "accelerator.nydus",
        _ => SOME_ACCESSORY,
    }
}

const COSIGN_SIGNATURE: &str = "signature.cosign";
const SOME_ACCESSORY: &str = "subject.accessory";

/// The list that clients keep for registries without the referrers API: no accessory itself.
pub(super) const REFERRERS_LIST: &str = "referrers.list";

const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub(super) const HELM_CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";

/// On the index of a CNAB bundle (cnab-to-oci).
const CNAB_ANNOTATION: &str = "io.cnab.runtime_version";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn manifest(config: &str, artifact_type: Option<&str>) -> Manifest {
        let digest = Digest::sha256(b"x");
        let json = json!({
            "config": { "mediaType": config, "digest": digest, "size": 1 },
            "artifactType": artifact_type,
        });
        Manifest::parse(media_type::OCI_MANIFEST, json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn kinds_have_harbors_names() {
        let cases = [
            (media_type::OCI_CONFIG, None, "IMAGE"),
            (DOCKER_CONFIG, None, "IMAGE"),
            (HELM_CONFIG, None, "CHART"),
            ("application/vnd.wasm.config.v1+json", None, "WASM"),
            (
                "application/vnd.cncf.openpolicyagent.config.v1+json",
                None,
                "OPENPOLICYAGENT",
            ),
            (
                media_type::OCI_EMPTY,
                Some("application/vnd.example.sbom.v1"),
                "SBOM",
            ),
            (media_type::OCI_EMPTY, None, "UNKNOWN"),
            ("text/plain", None, "UNKNOWN"),
            ("application/vnd.", None, "UNKNOWN"),
        ];
        for (config, artifact_type, expected) in cases {
            let found = kind(&manifest(config, artifact_type));
            assert_eq!(found, expected, "{config} {artifact_type:?}");
        }
    }

    #[test]
    fn an_attachment_is_known_by_subject_or_by_tag() {
        let subject = Digest::sha256(b"subject");
        let plain = manifest(media_type::OCI_CONFIG, None);
        let tag = |suffix: &str| -> Vec<Tag> {
            vec![format!("sha256-{}{suffix}", subject.hex()).parse().unwrap()]
        };
        for (tags, expected) in [
            (tag(".sig"), Some(COSIGN_SIGNATURE)),
            (tag(".att"), Some(SOME_ACCESSORY)),
            (tag(""), Some(REFERRERS_LIST)),
            (vec!["v1".parse().unwrap()], None),
        ] {
            let found = attachment(&plain, &tags);
            assert_eq!(found.map(|found| found.kind), expected, "{tags:?}");
        }
        let mut signature = manifest(
            media_type::OCI_EMPTY,
            Some("application/vnd.cncf.notary.signature"),
        );
        signature.subject = plain.config;
        signature.subject.as_mut().unwrap().digest = subject.clone();
        let expected = Attachment {
            subject,
            kind: "signature.notation",
        };
        assert_eq!(attachment(&signature, &[]), Some(expected));
    }
}
