use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderName, HeaderValue};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    end::End,
    failure::{from_store, is_missing_content},
    side_by_side::side_by_side,
    throttle::{Bucket, Limited},
};
use crate::{
    failpoint,
    jobs::{Failure, Log, Running},
    oci::{Descriptor, Digest, ErrorCode, Manifest, Reference},
    registry::{Error, Kind, Upload},
    replication::{Origin, Policy, Shared},
    wire::ORIGIN_HEADER,
};

/// The copying of one artifact, with all that its steps share.
#[derive(Debug)]
pub(super) struct Copy<'a> {
    pub shared: &'a Shared,
    pub policy: &'a Policy,
    pub source: End,
    pub destination: End,
    pub job: &'a Running,
    pub log: &'a Log,
    /// Blobs under way, over all children of an index.
    pub slots: Semaphore,
    /// The limits that the bytes keep to: the policy's, and that of the registry that is not ours.
    pub buckets: [Arc<Bucket>; 2],
    /// Begun and not ended at the destination, by blob.
    uploads: Mutex<HashMap<Digest, OpenUpload>>,
}

/// An upload under way.
#[derive(Debug)]
pub(super) struct OpenUpload {
    pub upload: Upload,
    /// Whether another run can go on with it.
    is_kept: bool,
}

/// How the copying of an artifact ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Copied,
    /// The destination had it.
    Equal,
    /// The destination's tag points elsewhere and the policy does not overwrite.
    Kept,
    /// The destination, a gateway that mirrors back, has deleted the tag since.
    Superseded,
    /// The policy's filters leave this kind of artifact, or its labels.
    Filtered,
    /// The source does not have it.
    Absent,
}

/// Where an artifact stands; each step holds what the one before has found.
#[derive(Debug)]
pub(super) enum Step {
    Initialize(Look),
    Check(Artifact),
    PullManifest(Artifact),
    TransferBlobs(Pulled),
    PushManifest(Pulled),
    /// The destination has the artifact; what refers to it comes next.
    Accompany(Artifact, Outcome),
    Finished(Outcome),
}

/// The asking of the source what a reference is.
#[derive(Debug)]
pub(super) struct Look {
    reference: Reference,
    /// 1 for the first.
    number: u8,
}

#[derive(Debug)]
pub(super) struct Artifact {
    pub reference: Reference,
    pub digest: Digest,
    /// The look at the source that found `digest`.
    look: u8,
    /// 0 for what the job is about, more for children of an index.
    pub depth: u8,
    pub trust: Trust,
}

/// Whether what is known of the destination is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Believe,
    /// The destination turned out to lack something: ask it for each thing.
    Ask,
}

#[derive(Debug)]
pub(super) struct Pulled {
    artifact: Artifact,
    manifest: Manifest,
    bytes: Bytes,
}

impl<'a> Copy<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        policy: &'a Policy,
        source: End,
        destination: End,
        job: &'a Running,
    ) -> Self {
        let limited = [
            Limited::Policy(policy.id),
            Limited::Registry(policy.spec.remote()),
        ];
        Self {
            shared,
            policy,
            source,
            destination,
            job,
            log: &job.log,
            slots: Semaphore::new(shared.config.parallel_blobs.max(1)),
            buckets: limited.map(|limited| shared.throttles.bucket(limited)),
            uploads: Mutex::default(),
        }
    }

    /// Tells a gateway at the destination which ones the change has passed, this one the last.
    ///
    /// What is brought here goes on from here as a client's push does, but not back to the gateway
    /// it comes from. It is made now: that its tag was deleted here before does not matter.
    #[must_use]
    pub(super) fn stamped(mut self, origin: &Origin) -> Self {
        let snapshot = &self.shared.snapshot;
        let passed = if self.destination.registry.is_local() {
            let made = Origin::default().heard(self.shared.clock.now());
            match snapshot.installation(self.source.registry) {
                Some(there) => made.and(&there),
                None => made,
            }
        } else {
            origin.clone().and(snapshot.own())
        };
        if let Ok(value) = HeaderValue::from_str(&passed.to_string()) {
            let name = HeaderName::from_static(ORIGIN_HEADER);
            self.destination.client = self.destination.client.with_header(name, value);
        }
        self
    }

    /// Copies what the source's reference points to now.
    pub(super) async fn artifact(&self, reference: &Reference) -> Result<Outcome, Failure> {
        let reference = reference.clone();
        let look = Look {
            reference,
            number: 1,
        };
        self.walk(Step::Initialize(look)).await
    }

    /// Gives up the uploads that are open at the destination, for a bounded time. Those that the
    /// next run can go on with stay, if there is one.
    pub(super) async fn abandon(&self, failure: &Failure) {
        let goes_on = match failure {
            Failure::Stopped => self.job.is_interrupted(),
            Failure::Permanent { .. } => false,
            Failure::Retryable { .. } | Failure::Throttled { .. } | Failure::TargetDown { .. } => {
                true
            }
        };
        let mut open = std::mem::take(&mut *self.open_uploads());
        open.retain(|_digest, open| !(open.is_kept && goes_on));
        let cancels = open.iter().map(|(digest, open)| async move {
            if open.is_kept {
                self.shared.uploads.forget(self.job.id, digest).await;
            }
            self.destination.client.cancel_upload(&open.upload).await
        });
        let all = futures_util::future::join_all(cancels);
        if tokio::time::timeout(ABANDON_WITHIN, all).await.is_err() {
            self.log
                .line("the destination was slow to drop a half upload; it expires there");
        }
    }

    /// Notes where an upload of the blob is; another run can go on with it if `is_kept`.
    pub(super) fn upload_is_open(&self, blob: &Descriptor, upload: &Upload, is_kept: bool) {
        let upload = upload.clone();
        let open = OpenUpload { upload, is_kept };
        self.open_uploads().insert(blob.digest.clone(), open);
    }

    pub(super) fn upload_ended(&self, blob: &Descriptor) -> Option<OpenUpload> {
        self.open_uploads().remove(&blob.digest)
    }

    fn open_uploads(&self) -> MutexGuard<'_, HashMap<Digest, OpenUpload>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn walk(&self, first: Step) -> Result<Outcome, Failure> {
        let mut step = first;
        loop {
            step = match step {
                Step::Initialize(look) => self.initialize(look).await?,
                Step::Check(artifact) => self.check(artifact).await?,
                Step::PullManifest(artifact) => self.pull_manifest(artifact).await?,
                Step::TransferBlobs(pulled) => self.transfer_blobs(pulled).await?,
                Step::PushManifest(pulled) => self.push_manifest(pulled).await?,
                Step::Accompany(artifact, outcome) => {
                    self.accompany(&artifact.digest, artifact.depth).await?;
                    Step::Finished(outcome)
                }
                Step::Finished(outcome) => return Ok(outcome),
            };
        }
    }

    /// Asks the source what the reference is.
    async fn initialize(&self, look: Look) -> Result<Step, Failure> {
        let reference = look.reference;
        let name = &self.source.repository;
        let Some(head) = self.source.head(&reference).await? else {
            self.log
                .line(format!("initialize: the source has no {name} {reference}"));
            return Ok(Step::Finished(Outcome::Absent));
        };
        let digest = head.digest;
        self.log.line(format!(
            "initialize: {name} {reference} is {digest} at the source"
        ));
        Ok(Step::Check(Artifact {
            reference,
            digest,
            look: look.number,
            depth: 0,
            trust: Trust::Believe,
        }))
    }

    async fn pull_manifest(&self, artifact: Artifact) -> Result<Step, Failure> {
        let Some((manifest, bytes)) = self.read_manifest(&artifact).await? else {
            return self.vanished(artifact);
        };
        failpoint::hit("replication.manifest_pulled");
        let size = bytes.len();
        self.log
            .line(format!("pull manifest: {} ({size} bytes)", artifact.digest));
        if artifact.depth == 0 && !self.is_wanted(&artifact, &manifest).await? {
            return Ok(Step::Finished(Outcome::Filtered));
        }
        Ok(Step::TransferBlobs(Pulled {
            artifact,
            manifest,
            bytes,
        }))
    }

    /// The source's manifest; `None` when it is gone.
    pub(super) async fn read_manifest(
        &self,
        artifact: &Artifact,
    ) -> Result<Option<(Manifest, Bytes)>, Failure> {
        let pulled = match self.source.manifest(&artifact.digest).await {
            Ok(pulled) => pulled,
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            Err(error) => return Err(self.source.failure(&error)),
        };
        let manifest = Manifest::parse(&pulled.media_type, &pulled.bytes)
            .map_err(|error| Failure::permanent(format!("{}: {error}", artifact.digest)))?;
        Ok(Some((manifest, pulled.bytes)))
    }

    /// The manifest went after the look that found it. A tag may have moved to another: only a
    /// look that finds no tag says that it is gone.
    pub(super) fn vanished(&self, artifact: Artifact) -> Result<Step, Failure> {
        let Artifact {
            reference, digest, ..
        } = artifact;
        self.log.line(format!("pull manifest: {digest} is gone"));
        match reference {
            Reference::Digest(_) => Ok(Step::Finished(Outcome::Absent)),
            Reference::Tag(_) if artifact.look < MAX_LOOKS => Ok(Step::Initialize(Look {
                reference,
                number: artifact.look + 1,
            })),
            Reference::Tag(tag) => Err(Failure::retryable(format!(
                "the source's tag {tag} points to {digest}, which the source does not have"
            ))),
        }
    }

    async fn transfer_blobs(&self, pulled: Pulled) -> Result<Step, Failure> {
        let depth = pulled.artifact.depth + 1;
        if !pulled.manifest.children.is_empty() && depth > MAX_DEPTH {
            let digest = &pulled.artifact.digest;
            return Err(Failure::permanent(format!(
                "{digest}: indexes within indexes go deeper than {MAX_DEPTH}"
            )));
        }
        let mut copies = Vec::with_capacity(pulled.manifest.children.len());
        for child in &pulled.manifest.children {
            let (reference, digest) = (Reference::Digest(child.digest.clone()), &child.digest);
            copies.push(self.child(Artifact {
                trust: pulled.artifact.trust,
                ..Artifact::below(reference, digest.clone(), pulled.artifact.depth)
            }));
        }
        side_by_side(copies, self.shared.config.parallel_blobs).await?;
        self.copy_blobs(&pulled.manifest.blobs, pulled.artifact.trust)
            .await?;
        failpoint::hit("replication.blobs_copied");
        Ok(Step::PushManifest(pulled))
    }

    /// A child that the source lacks is left to the destination's judgement of the index.
    pub(super) fn child(&self, artifact: Artifact) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            self.walk(Step::Check(artifact)).await?;
            failpoint::hit("replication.child_copied");
            Ok(())
        }
        .boxed()
    }

    async fn push_manifest(&self, pulled: Pulled) -> Result<Step, Failure> {
        let begun = Instant::now();
        let Artifact {
            reference, digest, ..
        } = &pulled.artifact;
        let (end, places) = (&self.destination, &self.shared.places);
        let claim = places.claim(end.place(), reference).await;
        let claim = claim.map_err(|error| from_store(&error))?;
        failpoint::hit("replication.reference_claimed");
        let (media_type, bytes) = (&pulled.manifest.media_type, pulled.bytes.clone());
        let put = end
            .client
            .put_manifest(&end.repository, reference, media_type, bytes)
            .await;
        match put {
            Ok(put) if put.lists_referrer => {}
            Ok(_put) => {
                self.list_referrer(&pulled.artifact, &pulled.manifest, pulled.bytes.len())
                    .await?;
            }
            Err(Error::Refused(refusal)) if refusal.code == ErrorCode::Superseded.as_str() => {
                return Ok(Step::Finished(Outcome::Superseded));
            }
            Err(error) if is_missing_content(&error) && pulled.artifact.trust == Trust::Believe => {
                return self.disappointed(pulled, &error).await;
            }
            Err(error) => return Err(end.failure(&error)),
        }
        failpoint::hit("replication.manifest_pushed");
        places.settle(end.place(), reference, (claim, digest)).await;
        self.log.line(format!(
            "push manifest: {} {reference} in {} ms",
            end.repository,
            begun.elapsed().as_millis()
        ));
        Ok(Step::Accompany(pulled.artifact, Outcome::Copied))
    }

    /// The destination lacks what it was believed to have: brings everything again, once, and
    /// asks for each thing.
    async fn disappointed(&self, pulled: Pulled, error: &Error) -> Result<Step, Failure> {
        let end = &self.destination;
        self.log.line(format!(
            "push manifest: {error}: what was known of {} is forgotten",
            end.repository
        ));
        let forgotten = self.shared.places.forget(end.place()).await;
        forgotten.map_err(|error| from_store(&error))?;
        let artifact = Artifact {
            trust: Trust::Ask,
            ..pulled.artifact
        };
        Ok(Step::TransferBlobs(Pulled { artifact, ..pulled }))
    }
}

impl Artifact {
    /// One that comes along with an artifact of `depth`.
    pub(super) fn below(reference: Reference, digest: Digest, depth: u8) -> Self {
        Self {
            reference,
            digest,
            look: 1,
            depth: depth + 1,
            trust: Trust::Believe,
        }
    }
}

impl Outcome {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Copied => "copied",
            Self::Equal => "the destination had it already",
            Self::Kept => "left alone, for the policy does not overwrite",
            Self::Superseded => "left alone, for the tag was deleted at the destination since",
            Self::Filtered => "left out by the policy's filters",
            Self::Absent => "the source does not have it",
        }
    }
}

/// Indexes within indexes; real ones have two levels.
const MAX_DEPTH: u8 = 8;
/// Looks at a tag that moves before a later attempt looks again.
const MAX_LOOKS: u8 = 3;
/// Leaves the rest of the second in which a stop must take effect.
const ABANDON_WITHIN: Duration = Duration::from_millis(500);
