//! Events that are not in the database yet, in memory and in a local file.
//!
//! A change is written to the file before the registry behind can make it, without waiting for a
//! disk or a database: what the file has survives the death of the process. What is left in it at
//! the next start has happened, or is looked for in the registry.

mod journal;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::{Error, Event, Resource};
use crate::clock::Timestamp;
use journal::{Journal, Line};

/// The events of this process that wait.
#[derive(Debug)]
pub(super) struct Outbox {
    state: Mutex<State>,
    /// Told when an event has happened.
    pub news: Notify,
    max_events: usize,
}

#[derive(Debug)]
struct State {
    entries: BTreeMap<u64, Entry>,
    next: u64,
    journal: Journal,
}

#[derive(Debug)]
struct Entry {
    event: Event,
    standing: Standing,
    is_in_file: bool,
}

/// What is known of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The registry has been asked and has not answered.
    UnderWay,
    Happened,
    /// The answer was lost.
    Unknown {
        since: Timestamp,
    },
}

impl Outbox {
    /// With what an earlier life of the process has left.
    pub(super) fn open(path: PathBuf, max_events: usize, now: Timestamp) -> Result<Self, Error> {
        let (journal, left) = Journal::open(path)?;
        let entries: BTreeMap<u64, Entry> = left
            .into_iter()
            .map(|left| {
                let standing = if left.happened {
                    Standing::Happened
                } else {
                    Standing::Unknown { since: now }
                };
                let entry = Entry {
                    event: left.event,
                    standing,
                    is_in_file: true,
                };
                (left.id, entry)
            })
            .collect();
        Ok(Self {
            state: Mutex::new(State {
                next: entries.keys().next_back().map_or(1, |last| last + 1),
                entries,
                journal,
            }),
            news: Notify::new(),
            max_events,
        })
    }

    /// Keeps what is about to happen; `None` when too much waits already.
    pub(super) fn begin(&self, event: Event) -> Option<u64> {
        self.state()
            .keep(event, Standing::UnderWay, self.max_events)
    }

    /// Keeps what has happened; whether there was room.
    pub(super) fn add(&self, event: Event) -> bool {
        let kept = self
            .state()
            .keep(event, Standing::Happened, self.max_events);
        self.news.notify_one();
        kept.is_some()
    }

    /// Keeps what has happened in memory only; whether there was room.
    pub(super) fn add_fleeting(&self, event: Event) -> bool {
        let mut state = self.state();
        if state.entries.len() >= self.max_events {
            return false;
        }
        let id = state.number();
        let entry = Entry {
            event,
            standing: Standing::Happened,
            is_in_file: false,
        };
        state.entries.insert(id, entry);
        drop(state);
        self.news.notify_one();
        true
    }

    /// What began has happened, to these artifacts alone.
    pub(super) fn happened_to(&self, id: u64, resources: Vec<Resource>) {
        let mut state = self.state();
        let amended = state.entries.get_mut(&id).map(|entry| {
            entry.standing = Standing::Happened;
            entry.event.resources = resources;
            entry.event.clone()
        });
        if let Some(event) = amended {
            let happened = true;
            state.journal.append(&Line::Event {
                id,
                happened,
                event,
            });
        }
        drop(state);
        self.news.notify_one();
    }

    /// What began has happened.
    pub(super) fn happened(&self, id: u64) {
        let mut state = self.state();
        let is_in_file = state.entries.get_mut(&id).is_some_and(|entry| {
            entry.standing = Standing::Happened;
            entry.is_in_file
        });
        if is_in_file {
            state.journal.append(&Line::Happened(id));
        }
        drop(state);
        self.news.notify_one();
    }

    /// Nobody knows whether what began has happened.
    pub(super) fn unknown(&self, id: u64, now: Timestamp) {
        if let Some(entry) = self.state().entries.get_mut(&id) {
            entry.standing = Standing::Unknown { since: now };
        }
    }

    /// Forgets what is in the database, or has not happened.
    pub(super) fn forget(&self, ids: &[u64]) {
        let mut state = self.state();
        for id in ids {
            let removed = state.entries.remove(id);
            if removed.is_some_and(|entry| entry.is_in_file) {
                state.journal.append(&Line::Over(*id));
            }
        }
        if state.journal.is_grown() {
            let State {
                entries, journal, ..
            } = &mut *state;
            let kept = entries.iter().filter(|(_, entry)| entry.is_in_file);
            journal.rewrite(kept.map(|(id, entry)| Line::Event {
                id: *id,
                happened: entry.standing == Standing::Happened,
                event: entry.event.clone(),
            }));
        }
    }

    /// Some that have happened, oldest first.
    pub(super) fn ready(&self, limit: usize) -> Vec<(u64, Event)> {
        let state = self.state();
        let happened = state
            .entries
            .iter()
            .filter(|(_, entry)| entry.standing == Standing::Happened);
        let taken = happened.take(limit);
        taken
            .map(|(id, entry)| (*id, entry.event.clone()))
            .collect()
    }

    /// Those of which nobody knows, with the time since when.
    pub(super) fn doubtful(&self, limit: usize) -> Vec<(u64, Event, Timestamp)> {
        let state = self.state();
        let doubtful = state.entries.iter().filter_map(|(id, entry)| {
            let Standing::Unknown { since } = entry.standing else {
                return None;
            };
            Some((*id, entry.event.clone(), since))
        });
        doubtful.take(limit).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        let id = self.next;
        self.next += 1;
        id
    }

    fn keep(&mut self, event: Event, standing: Standing, max_events: usize) -> Option<u64> {
        if self.entries.len() >= max_events {
            return None;
        }
        let id = self.number();
        self.journal.append(&Line::Event {
            id,
            happened: standing == Standing::Happened,
            event: event.clone(),
        });
        let entry = Entry {
            event,
            standing,
            is_in_file: true,
        };
        self.entries.insert(id, entry);
        Some(id)
    }
}

/// How long the registry is asked whether a change of unknown outcome was made: it may be slow to
/// make what a gateway that died had sent it.
pub(super) const DOUBT: Duration = Duration::from_mins(15);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::EventType;

    fn event(id: &str) -> Event {
        let at = Timestamp::from_seconds(1);
        let mut event = Event::new(EventType::PushArtifact, "team", "alice", at);
        id.clone_into(&mut event.id);
        event
    }

    fn ids(events: &[(u64, Event)]) -> Vec<&str> {
        events.iter().map(|(_, event)| event.id.as_str()).collect()
    }

    #[test]
    fn what_was_not_written_to_the_database_is_there_after_the_process_died() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let now = Timestamp::from_seconds(10);
        let outbox = Outbox::open(path.clone(), 10, now).unwrap();
        outbox.begin(event("under-way")).unwrap();
        let happened = outbox.begin(event("happened")).unwrap();
        outbox.happened(happened);
        let refused = outbox.begin(event("refused")).unwrap();
        outbox.forget(&[refused]);
        assert!(outbox.add(event("told")));
        assert!(outbox.add_fleeting(event("pull")));
        let stored = outbox.begin(event("stored")).unwrap();
        outbox.happened(stored);
        outbox.forget(&[stored]);
        drop(outbox);

        // The process died while it wrote a line.
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"Event\":{\"id\":99,\"happ");
        std::fs::write(&path, text).unwrap();
        let outbox = Outbox::open(path.clone(), 10, now).unwrap();
        assert_eq!(ids(&outbox.ready(10)), ["happened", "told"]);
        let doubtful = outbox.doubtful(10);
        assert_eq!(doubtful.len(), 1);
        assert_eq!(
            (doubtful[0].1.id.as_str(), doubtful[0].2),
            ("under-way", now)
        );
        outbox.forget(&[doubtful[0].0]);
        drop(outbox);
        let outbox = Outbox::open(path, 10, now).unwrap();
        assert_eq!(ids(&outbox.ready(10)), ["happened", "told"]);
        assert!(outbox.doubtful(10).is_empty());
    }

    #[test]
    fn the_file_does_not_grow_with_what_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let now = Timestamp::from_seconds(10);
        let outbox = Outbox::open(path.clone(), 10, now).unwrap();
        let stays = outbox.begin(event("stays")).unwrap();
        for _ in 0..5000 {
            let id = outbox.begin(event("passes")).unwrap();
            outbox.happened(id);
            outbox.forget(&[id]);
        }
        assert!(std::fs::metadata(&path).unwrap().len() < 600_000);
        outbox.happened(stays);
        drop(outbox);
        let outbox = Outbox::open(path, 10, now).unwrap();
        assert_eq!(ids(&outbox.ready(10)), ["stays"]);
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::from_seconds(10);
        let outbox = Outbox::open(folder.path().join("events"), 2, now).unwrap();
        assert!(outbox.add(event("a")) && outbox.add_fleeting(event("b")));
        assert!(!outbox.add(event("c")) && !outbox.add_fleeting(event("d")));
        assert_eq!(outbox.begin(event("e")), None);
        assert_eq!(ids(&outbox.ready(10)), ["a", "b"]);
    }
}
