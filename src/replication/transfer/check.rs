use super::{
    copy::{Artifact, Copy, Outcome, Step, Trust},
    failure::from_store,
};
use crate::{jobs::Failure, oci::Digest, replication::places::Belief};

/// What the destination's reference is, as far as it matters.
enum Found {
    Absent,
    Digest(Digest),
    /// The copy is wanted whatever it is.
    Unasked,
}

impl Copy<'_> {
    /// Finds out what the destination has, and asks it only if that could save the copy.
    pub(super) async fn check(&self, artifact: Artifact) -> Result<Step, Failure> {
        let reference = &artifact.reference;
        let name = &self.destination.repository;
        let line = match self.find(&artifact).await? {
            Found::Digest(digest) if digest == artifact.digest => {
                self.log
                    .line(format!("check: the destination has {name} {reference}"));
                if artifact.depth == 0 && self.policy.spec.asks_for_labels() {
                    let Some((manifest, _bytes)) = self.read_manifest(&artifact).await? else {
                        return self.vanished(artifact);
                    };
                    if !self.bears_labels(&artifact, &manifest).await? {
                        return Ok(Step::Finished(Outcome::Filtered));
                    }
                }
                return Ok(Step::Accompany(artifact, Outcome::Equal));
            }
            Found::Digest(digest) if !self.policy.spec.overwrite => {
                self.log.line(format!(
                    "check: {name} {reference} is {digest} at the destination and the policy \
                     does not overwrite"
                ));
                return Ok(Step::Finished(Outcome::Kept));
            }
            Found::Digest(_other) => {
                format!("check: the destination has another {name} {reference}")
            }
            Found::Absent => format!("check: the destination has no {name} {reference}"),
            Found::Unasked => {
                format!("check: the destination is not known to have this {name} {reference}")
            }
        };
        self.log.line(line);
        Ok(Step::PullManifest(artifact))
    }

    async fn find(&self, artifact: &Artifact) -> Result<Found, Failure> {
        let end = &self.destination;
        let (places, reference) = (&self.shared.places, &artifact.reference);
        let belief = places.reference(end.place(), reference).await;
        let belief = belief.map_err(|error| from_store(&error))?;
        if artifact.trust == Trust::Believe {
            let wants_any = self.policy.spec.overwrite;
            let is_believed = artifact.depth > 0 || !self.has_other_writers();
            match &belief {
                Belief::Held { digest, .. } if *digest != artifact.digest && wants_any => {
                    return Ok(Found::Unasked);
                }
                Belief::Held { digest, .. } if *digest == artifact.digest && is_believed => {
                    return Ok(Found::Digest(digest.clone()));
                }
                Belief::Unknown if wants_any => return Ok(Found::Unasked),
                _ => {}
            }
        }
        let Some(head) = end.head(reference).await? else {
            return Ok(Found::Absent);
        };
        if head.digest == artifact.digest {
            let seen = (belief.claim(), &head.digest);
            places.settle(end.place(), reference, seen).await;
        }
        Ok(Found::Digest(head.digest))
    }

    /// At a gateway people push as well, and its changes come here without our asking: that a tag
    /// is what we last made it is checked there.
    fn has_other_writers(&self) -> bool {
        self.shared.snapshot.is_gateway(self.destination.registry)
    }
}
