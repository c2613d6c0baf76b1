use std::{fmt, net::IpAddr, sync::Arc};

use futures_util::future::BoxFuture;
use http::{HeaderName, StatusCode};

use super::Refusal;
use crate::{
    clock::Timestamp,
    oci::{Digest, Manifest, Reference, RepositoryName, Tag},
    wire::RequestId,
};

/// Who listens to changes: pushes and deletes of manifests. Implemented above the proxy.
///
/// For a repository that somebody wants, [`Observer::intend`] returns before the registry behind
/// can commit the change; every change lies between one [`Observer::begin`] and one
/// [`Observer::conclude`], wanted or not.
pub trait Observer: Send + Sync + 'static {
    /// Whether changes of this repository must be written down before they happen. Called on
    /// every push and delete: an answer from memory.
    fn wants(&self, repository: &RepositoryName) -> bool;

    /// Writes the change down; once it returns the intent survives a crash.
    fn intend(&self, change: Arc<Change>) -> BoxFuture<'_, Result<Ticket, Refusal>>;

    /// The change begins: from now on the registry behind may make it. Must not wait.
    fn begin(&self, change: &Arc<Change>);

    /// The change is over, as far as this gateway will ever know. The client's answer waits for
    /// it, so it must not take long.
    fn conclude<'a>(&'a self, change: &'a Arc<Change>, outcome: &'a Outcome) -> BoxFuture<'a, ()>;

    /// A client is being given a manifest. Must not wait, nor write to the database.
    fn pulled(&self, pull: Pull);
}

/// A manifest that a client was given.
#[derive(Debug, Clone)]
pub struct Pull {
    pub repository: RepositoryName,
    pub reference: Reference,
    /// As the registry behind names it; always known when pulled by digest.
    pub digest: Option<Digest>,
    pub actor: Actor,
    pub request_id: Option<RequestId>,
    pub at: Timestamp,
}

/// A push or delete of a manifest that a client asked for.
#[derive(Debug, Clone)]
pub struct Change {
    pub repository: RepositoryName,
    pub kind: ChangeKind,
    pub actor: Actor,
    /// Where a mirroring gateway that has signed in says the change comes from
    /// ([`crate::wire::ORIGIN_HEADER`]).
    pub origin: Option<String>,
    pub request_id: Option<RequestId>,
    pub at: Timestamp,
}

#[derive(Debug, Clone)]
pub enum ChangeKind {
    Push(Push),
    /// A tag goes, its digest stays.
    DeleteTag {
        tag: Tag,
        /// What the tag pointed to; looked up only when the repository is wanted.
        digest: Option<Digest>,
    },
    /// A digest goes and, with it, the tags that point to it.
    DeleteDigest {
        digest: Digest,
        /// Those tags; looked up only when the repository is wanted, and immutable ones always.
        tags: Vec<Tag>,
    },
}

/// A manifest PUT whose bytes match its digest.
#[derive(Debug, Clone)]
pub struct Push {
    pub reference: Reference,
    /// Asked for with `?tag=` beside a digest.
    pub tags: Vec<Tag>,
    pub digest: Digest,
    pub media_type: String,
    /// Of the manifest itself.
    pub size_bytes: u64,
    /// What it points to; none when it cannot be read here: the registry behind judges.
    pub manifest: Option<Arc<Manifest>>,
}

impl Push {
    /// What an image's blobs weigh as its manifest says it; an index names none.
    pub fn blob_bytes(&self) -> u64 {
        self.manifest
            .as_ref()
            .map_or(0, |manifest| manifest.blob_bytes())
    }
}

/// Who makes a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Empty when anonymous.
    pub name: String,
    pub address: Option<IpAddr>,
}

/// How a change ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The registry behind committed it. `tags` are those of [`Push::tags`] that it says it set.
    Committed { tags: Vec<Tag> },
    /// The registry behind, or a rule of ours, refused it: nothing changed.
    Refused { status: StatusCode },
    /// The answer was lost or was a server error: it may have happened or not.
    Unknown,
}

/// An intent that was written down; tells its keeper how the change ended.
///
/// Dropped unsettled it stays as [`Outcome::Unknown`] does: somebody has to look.
pub struct Ticket {
    settle: Box<dyn FnOnce(&Outcome) + Send>,
    follow_up: Option<String>,
}

impl Ticket {
    /// `settle` must not wait.
    pub fn new(settle: impl FnOnce(&Outcome) + Send + 'static) -> Self {
        Self {
            settle: Box::new(settle),
            follow_up: None,
        }
    }

    /// `path`, with its query, tells what follows from the change; the client learns it
    /// ([`FOLLOW_UP_HEADER`]).
    #[must_use]
    pub fn followed_up_at(self, path: String) -> Self {
        Self {
            follow_up: Some(path),
            ..self
        }
    }

    pub(super) fn follow_up(&self) -> Option<&str> {
        self.follow_up.as_deref()
    }

    pub(super) fn settle(self, outcome: &Outcome) {
        (self.settle)(outcome);
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}

/// In the answer to a push: where to ask what becomes of it.
pub(super) const FOLLOW_UP_HEADER: HeaderName = HeaderName::from_static("tidegate-replication");
