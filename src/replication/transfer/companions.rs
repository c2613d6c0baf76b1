//! Signatures, attestations and the like: what refers to an artifact comes along with it.

use serde_json::json;

use super::{
    copy::{Artifact, Copy},
    side_by_side::side_by_side,
};
use crate::{
    jobs::Failure,
    oci::{Digest, Manifest, Reference, companion_subject, companion_tags},
    replication::policy::Resource,
};

impl Copy<'_> {
    /// Whether the policy wants the artifact: its filters accept it, or it belongs to one that the
    /// destination has.
    pub(super) async fn is_wanted(
        &self,
        artifact: &Artifact,
        manifest: &Manifest,
    ) -> Result<bool, Failure> {
        let spec = &self.policy.spec;
        if !spec.accepts_resource(Resource::of(manifest)) {
            return Ok(false);
        }
        if spec.asks_for_labels() && !self.bears_labels(artifact, manifest).await? {
            return Ok(false);
        }
        if spec.accepts_reference(&artifact.reference) {
            return Ok(true);
        }
        let Some(subject) = subject_by_tag(&artifact.reference) else {
            return Ok(false);
        };
        let held = self.destination.head(&Reference::Digest(subject)).await?;
        Ok(held.is_some())
    }

    /// Whether the policy accepts the artifact's labels. What is attached to another bears its
    /// labels.
    pub(super) async fn bears_labels(
        &self,
        artifact: &Artifact,
        manifest: &Manifest,
    ) -> Result<bool, Failure> {
        let companion = subject_by_tag(&artifact.reference);
        let subject = manifest.subject.as_ref().map(|subject| &subject.digest);
        let bearer = companion.as_ref().or(subject).unwrap_or(&artifact.digest);
        let inventory = &self.shared.inventory;
        let names = inventory.label_names(&self.source.repository, bearer);
        Ok(self.policy.spec.accepts_labels(&names.await?))
    }

    /// Brings what refers to an artifact that the destination has now: referrers, and the tags of
    /// cosign unless they match the policy's filters and so have tasks of their own. Of a policy
    /// that asks for labels they have none, as they bear none themselves.
    pub(super) async fn accompany(&self, digest: &Digest, depth: u8) -> Result<(), Failure> {
        if depth > MAX_DEPTH {
            return Ok(());
        }
        let source = &self.source;
        let referrers = source.client.referrers(&source.repository, digest, None);
        let referrers = referrers.await.map_err(|error| source.failure(&error))?;
        let mut companions = Vec::new();
        for referrer in referrers.descriptors() {
            let reference = Reference::Digest(referrer.digest.clone());
            companions.push((reference, referrer.digest.clone()));
        }
        for tag in companion_tags(digest) {
            let reference = Reference::Tag(tag);
            let spec = &self.policy.spec;
            if spec.accepts_reference(&reference) && !spec.asks_for_labels() {
                continue;
            }
            if let Some(head) = source.head(&reference).await? {
                companions.push((reference, head.digest));
            }
        }
        let mut copies = Vec::with_capacity(companions.len());
        for (reference, digest) in companions {
            self.log
                .line(format!("companion: {reference} belongs to it"));
            copies.push(self.child(Artifact::below(reference, digest, depth)));
        }
        side_by_side(copies, self.shared.config.parallel_blobs).await
    }

    /// Lists a manifest as a referrer of its subject at a destination that does not do so by
    /// itself: in the referrers tag, one copy at a time.
    pub(super) async fn list_referrer(
        &self,
        artifact: &Artifact,
        manifest: &Manifest,
        size_bytes: usize,
    ) -> Result<(), Failure> {
        let Some(subject) = &manifest.subject else {
            return Ok(());
        };
        let end = &self.destination;
        let _turn = self
            .shared
            .flights
            .turn(end.registry, &subject.digest)
            .await;
        let descriptor = json!({
            "mediaType": manifest.media_type,
            "digest": artifact.digest,
            "size": size_bytes,
            "artifactType": manifest.artifact_type,
            "annotations": manifest.annotations,
        });
        end.client
            .list_referrer(&end.repository, &subject.digest, descriptor)
            .await
            .map_err(|error| end.failure(&error))
    }
}

/// What an artifact is attached to by cosign's tag.
fn subject_by_tag(reference: &Reference) -> Option<Digest> {
    match reference {
        Reference::Tag(tag) => companion_subject(tag),
        Reference::Digest(_) => None,
    }
}

/// A signature of a bill of material of an image of an index: no more is looked for.
const MAX_DEPTH: u8 = 3;
