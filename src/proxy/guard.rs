//! Phase 4: rules that hold for everybody, in order.

use std::hash::{DefaultHasher, Hash, Hasher};

use http::Method;
use tokio::sync::{Mutex, MutexGuard};

use super::{Change, ChangeKind, Inner, Refusal};
use crate::{
    auth::immutable::Immutable,
    oci::{ErrorCode, Reference, RepositoryName, Tag},
};

/// Who changes an immutable tag takes its turn, or two first pushes of it would both find it free,
/// and a deletion would take one along that was pushed after it had looked.
///
/// A change takes one turn and, while it has it, waits for no other change: none waits for ever.
#[derive(Debug)]
pub(super) struct Turns([Mutex<()>; 64]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Turns {
    async fn of(&self, repository: &RepositoryName) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        repository.hash(&mut hasher);
        let turns = self.0.len() as u64;
        let index = usize::try_from(hasher.finish() % turns).unwrap_or_default();
        self.0[index].lock().await
    }
}

impl Inner {
    pub(super) fn guard(&self, method: &Method) -> Result<(), Refusal> {
        self.refuse_writes_when_read_only(method)
    }

    fn refuse_writes_when_read_only(&self, method: &Method) -> Result<(), Refusal> {
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        if is_read || !self.parts.settings.values().read_only {
            return Ok(());
        }
        Err(Refusal::new(
            ErrorCode::Denied,
            "the registry is in read-only mode: pushes and deletes are refused",
        ))
    }

    /// Waits for the turn of a deletion that takes tags along: until it is over no immutable tag
    /// is pushed. Must be had before it is looked which tags those are, and held to the end.
    pub(super) async fn turn_of_deletion(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
        rules: &Immutable,
    ) -> Option<MutexGuard<'_, ()>> {
        match reference {
            Reference::Digest(_) if !rules.is_empty() => Some(self.turns.of(repository).await),
            Reference::Digest(_) | Reference::Tag(_) => None,
        }
    }

    /// Refuses to overwrite or delete an immutable tag; the same digest may be pushed again. A tag
    /// of which the registry does not say whether it is there counts as neither free nor the same.
    /// The turn of a push, which is returned, must be held until the push is over.
    pub(super) async fn guard_immutable(
        &self,
        change: &Change,
        rules: &Immutable,
    ) -> Result<Option<MutexGuard<'_, ()>>, Refusal> {
        let repository = &change.repository;
        let refuse = |tag: &Tag| {
            let message = format!(
                "the tag {tag} of {repository} is immutable: it can be neither overwritten nor \
                 deleted"
            );
            Err(Refusal::new(ErrorCode::Precondition, message))
        };
        if rules.is_empty() {
            return Ok(None);
        }
        match &change.kind {
            ChangeKind::DeleteTag { tag, .. } if rules.holds(tag.as_str()) => refuse(tag),
            ChangeKind::DeleteTag { .. } => Ok(None),
            ChangeKind::DeleteDigest { tags, .. } => {
                let held = tags.iter().find(|tag| rules.holds(tag.as_str()));
                held.map_or(Ok(None), refuse)
            }
            ChangeKind::Push(push) => {
                let tag = match &push.reference {
                    Reference::Tag(tag) => Some(tag),
                    Reference::Digest(_) => None,
                };
                let tags = push.tags.iter().chain(tag);
                let held: Vec<&Tag> = tags.filter(|tag| rules.holds(tag.as_str())).collect();
                if held.is_empty() {
                    return Ok(None);
                }
                let turn = self.turns.of(repository).await;
                for tag in held {
                    let there = self.parts.upstream.digest(repository, tag).await?;
                    if there.is_some_and(|there| there != push.digest) {
                        return refuse(tag);
                    }
                }
                Ok(Some(turn))
            }
        }
    }
}
