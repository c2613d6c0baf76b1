use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Semaphore;

use super::Change;
use crate::oci::Reference;

/// The references that tasks are looking at.
#[derive(Debug)]
pub(super) struct Looks {
    /// Whether somebody asked after the task had begun its look.
    asked: Mutex<HashMap<Change, bool>>,
    /// So many look at once.
    pub(super) turns: Semaphore,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            asked: Mutex::default(),
            turns: Semaphore::new(LOOKS_AT_ONCE),
        }
    }
}

impl Looks {
    /// True when the caller is to look; else a task does, and will do it again.
    pub(super) fn ask(&self, change: &Change) -> bool {
        let mut asked = self.asked();
        if let Some(again) = asked.get_mut(change) {
            *again = true;
            return false;
        }
        asked.insert(change.clone(), false);
        true
    }

    /// Whoever is looking at this, or at a digest in the same repository, will look again.
    pub(super) fn ask_again(&self, change: &Change) {
        for (other, again) in self.asked().iter_mut() {
            let meets = other.reference == change.reference
                || matches!(other.reference, Reference::Digest(_))
                || matches!(change.reference, Reference::Digest(_));
            if other.repository == change.repository && meets {
                *again = true;
            }
        }
    }

    /// A look begins: who asked before is served by it.
    pub(super) fn begin(&self, change: &Change) {
        if let Some(again) = self.asked().get_mut(change) {
            *again = false;
        }
    }

    /// A look is over; true when nobody has asked since it began.
    pub(super) fn end(&self, change: &Change) -> bool {
        let mut asked = self.asked();
        let is_over = asked.get(change) != Some(&true);
        if is_over {
            asked.remove(change);
        }
        is_over
    }

    /// Whether nobody looks at anything.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.asked().is_empty()
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<Change, bool>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Enough to hide the way to the registry, few enough to leave room for pulls.
const LOOKS_AT_ONCE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn change(reference: &str) -> Change {
        Change {
            repository: "team/app".parse().unwrap(),
            reference: reference.parse().unwrap(),
        }
    }

    #[test]
    fn who_asks_during_a_look_makes_it_be_done_again() {
        let (looks, v1) = (Looks::default(), change("v1"));
        assert!(looks.ask(&v1));
        assert!(!looks.ask(&v1));
        looks.begin(&v1);
        looks.ask_again(&v1);
        assert!(!looks.end(&v1));
        looks.begin(&v1);
        looks.ask_again(&change("v2"));
        assert!(looks.end(&v1));
        assert!(looks.ask(&v1));
    }
}
