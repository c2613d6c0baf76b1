//! distribution's envelope (`application/vnd.docker.distribution.events.v2+json`, its
//! `notifications/event.go`): only what is needed here.

use serde::Deserialize;

use super::{Change, ChangeKind};
use crate::oci::{MANIFEST_MEDIA_TYPES, Reference};

#[derive(Debug, Deserialize)]
pub(super) struct Envelope {
    #[serde(default)]
    pub events: Vec<Event>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    action: String,
    target: Target,
    request: Request,
    actor: Actor,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Target {
    #[serde(rename = "mediaType")]
    media_type: String,
    repository: String,
    digest: String,
    tag: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    useragent: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Actor {
    name: String,
}

impl Event {
    /// Whether the change passed a gateway that puts `mark` after the client's user agent.
    pub(super) fn has_mark(&self, mark: &str) -> bool {
        self.request.useragent.ends_with(mark)
    }

    /// The change; `None` for what is no push or delete of a manifest, or cannot be read.
    ///
    /// The deletion of a blob looks like that of a manifest: it is a deletion of something that
    /// no target has as a manifest.
    pub(super) fn change(self) -> Option<Change> {
        let target = self.target;
        let named = |text: &str| text.parse::<Reference>().ok();
        let reference = named(&target.tag).or_else(|| named(&target.digest))?;
        let kind = match self.action.as_str() {
            "push" if is_manifest(&target.media_type) => ChangeKind::Push {
                reference,
                digest: target.digest.parse().ok()?,
            },
            "delete" => ChangeKind::Delete(reference),
            _ => return None,
        };
        Some(Change {
            repository: target.repository.parse().ok()?,
            kind,
            actor: self.actor.name,
        })
    }
}

fn is_manifest(media_type: &str) -> bool {
    let mut known = MANIFEST_MEDIA_TYPES.split(',').map(str::trim);
    known.any(|known| known == media_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;

    fn event(text: &str) -> Event {
        let text = text.replace("DIGEST", Digest::sha256(b"x").as_str());
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn pushes_and_deletes_of_manifests_are_changes() {
        let push = event(
            r#"{"id": "1", "action": "push", "actor": {"name": "alice"},
                "target": {"mediaType": "application/vnd.oci.image.manifest.v1+json",
                           "repository": "a/b", "digest": "DIGEST", "tag": "v1"}}"#,
        );
        let change = push.change().unwrap();
        assert_eq!(change.repository.as_str(), "a/b");
        assert_eq!(change.actor, "alice");
        let digest = Digest::sha256(b"x");
        let reference = "v1".parse().unwrap();
        assert_eq!(change.kind, ChangeKind::Push { reference, digest });
        for (target, reference) in [
            (r#""digest": "DIGEST""#, Digest::sha256(b"x").to_string()),
            (r#""tag": "v1""#, "v1".to_owned()),
        ] {
            let text =
                format!(r#"{{"action": "delete", "target": {{"repository": "a/b", {target}}}}}"#);
            let kind = event(&text).change().unwrap().kind;
            assert_eq!(kind, ChangeKind::Delete(reference.parse().unwrap()));
        }
    }

    #[test]
    fn what_is_no_manifest_or_unreadable_is_none() {
        for text in [
            r#"{"action": "pull", "target": {"repository": "a/b", "digest": "DIGEST"}}"#,
            r#"{"action": "push", "target": {"mediaType": "application/octet-stream",
                "repository": "a/b", "digest": "DIGEST"}}"#,
            r#"{"action": "delete", "target": {"repository": "../b", "digest": "DIGEST"}}"#,
            r#"{"action": "delete", "target": {"repository": "a/b"}}"#,
            "{}",
        ] {
            assert_eq!(event(text).change(), None, "{text}");
        }
    }
}
