use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Wish, spill::Kept};
use crate::{
    oci::{Reference, Tag},
    replication::IntentId,
};

/// A change that is on its way to the registry. Give it back with
/// [`Replication::confirm`](crate::replication::Replication::confirm) or
/// [`withdraw`](crate::replication::Replication::withdraw); drop it when nobody knows what
/// became of the change.
#[derive(Debug)]
#[must_use]
pub struct Ticket {
    pub(super) wishes: Vec<Wish>,
    pub(super) intents: Vec<IntentId>,
    /// What the registry may leave unset although it makes the change.
    optional: Vec<Tag>,
    in_flight: Option<Arc<InFlight>>,
    /// Where the file has the change instead of the database.
    kept: Option<Kept>,
}

/// The intents whose requests are under way in this process; the resolver leaves them alone.
#[derive(Debug, Default)]
pub(in crate::replication) struct InFlight(Mutex<HashSet<IntentId>>);

impl Ticket {
    pub(super) fn empty() -> Self {
        Self {
            wishes: Vec::new(),
            intents: Vec::new(),
            optional: Vec::new(),
            in_flight: None,
            kept: None,
        }
    }

    /// The ticket of a change that the spill file has.
    pub(super) fn of_spilled(wishes: Vec<Wish>, kept: Kept) -> Self {
        let mut ticket = Self::empty();
        ticket.wishes = wishes;
        ticket.kept = Some(kept);
        ticket
    }

    /// Whether no policy cares about the change.
    pub fn is_empty(&self) -> bool {
        self.wishes.is_empty()
    }

    pub(super) fn with_optional(mut self, tags: Vec<Tag>) -> Self {
        self.optional = tags;
        self
    }

    /// What is left to wish once the registry has made the change and set, of the optional
    /// tags, those in `tags_set`.
    pub(super) fn fulfilled(&self, tags_set: &[Tag]) -> Vec<Wish> {
        let happened = |wish: &&Wish| match &wish.reference {
            Reference::Tag(tag) => !self.optional.contains(tag) || tags_set.contains(tag),
            Reference::Digest(_) => true,
        };
        self.wishes.iter().filter(happened).cloned().collect()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(in_flight) = &self.in_flight {
            let mut ids = in_flight.ids();
            for intent in &self.intents {
                ids.remove(intent);
            }
        }
    }
}

impl InFlight {
    pub(super) fn ticket(self: &Arc<Self>, wishes: Vec<Wish>, intents: Vec<IntentId>) -> Ticket {
        self.ids().extend(intents.iter().copied());
        Ticket {
            wishes,
            intents,
            optional: Vec::new(),
            in_flight: Some(Arc::clone(self)),
            kept: None,
        }
    }

    pub(super) fn contains(&self, intent: IntentId) -> bool {
        self.ids().contains(&intent)
    }

    fn ids(&self) -> MutexGuard<'_, HashSet<IntentId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
