use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::Error;
use crate::oci::{Reference, RepositoryName};

/// The changes that are under way: in memory, to see which of them overlap, and in a file, so
/// that a process that dies leaves the next one a list of what to look at.
///
/// The file is written without waiting for the disk. It survives the death of the process, not
/// that of the machine; after that, `tidegate sync` looks at everything.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    state: Mutex<State>,
}

/// A reference that may change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change {
    pub repository: RepositoryName,
    pub reference: Reference,
}

/// How a change is known to stand to the others of its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Alone,
    /// Another change touched the same thing meanwhile: nobody knows which came last.
    Overlapped,
}

/// What a change touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The reference only.
    Reference,
    /// The whole repository: a deleted digest takes its tags along.
    Repository,
}

#[derive(Debug)]
struct State {
    file: File,
    bytes: u64,
    under_way: HashMap<RepositoryName, Vec<UnderWay>>,
}

#[derive(Debug)]
struct UnderWay {
    reference: Reference,
    reach: Reach,
    standing: Standing,
}

impl Journal {
    /// Opens the file and tells what the last process left in it.
    pub(super) fn open(path: &Path) -> Result<(Self, HashSet<Change>), Error> {
        let failed = |source| Error::Journal {
            path: path.display().to_string(),
            source,
        };
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
        };
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map_err(failed)?;
        let journal = Self {
            path: path.to_owned(),
            state: Mutex::new(State {
                file,
                bytes: text.len() as u64,
                under_way: HashMap::new(),
            }),
        };
        Ok((journal, text.lines().filter_map(parse).collect()))
    }

    /// A change begins. When the disk does not take it, it is remembered in memory only.
    pub(super) fn begin(&self, change: &Change, reach: Reach) {
        let mut state = self.state();
        let others = state
            .under_way
            .entry(change.repository.clone())
            .or_default();
        let mut standing = Standing::Alone;
        for other in others.iter_mut() {
            let meet = other.reference == change.reference
                || reach == Reach::Repository
                || other.reach == Reach::Repository;
            if meet {
                (standing, other.standing) = (Standing::Overlapped, Standing::Overlapped);
            }
        }
        others.push(UnderWay {
            reference: change.reference.clone(),
            reach,
            standing,
        });
        if let Err(error) = state.append(change) {
            tracing::warn!("the journal {}: {error}", self.path.display());
        }
    }

    /// A change is over and in the index. `None` when it was not begun here.
    pub(super) fn end(&self, change: &Change, reach: Reach) -> Option<Standing> {
        let mut state = self.state();
        let others = state.under_way.get_mut(&change.repository)?;
        let position = others
            .iter()
            .position(|other| other.reference == change.reference && other.reach == reach)?;
        let ended = others.swap_remove(position);
        if others.is_empty() {
            state.under_way.remove(&change.repository);
        }
        if let Err(error) = self.shorten(&mut state) {
            tracing::warn!("the journal {}: {error}", self.path.display());
        }
        Some(ended.standing)
    }

    /// Empties the file when nothing is under way; when it is long, keeps what is.
    fn shorten(&self, state: &mut State) -> io::Result<()> {
        if state.under_way.is_empty() {
            state.bytes = 0;
            return state.file.set_len(0);
        }
        if state.bytes < LONG_BYTES {
            return Ok(());
        }
        let new = self.path.with_extension("journal.new");
        let text = state.text();
        fs::write(&new, &text)?;
        fs::rename(&new, &self.path)?;
        state.file = OpenOptions::new().append(true).open(&self.path)?;
        state.bytes = text.len() as u64;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn append(&mut self, change: &Change) -> io::Result<()> {
        let line = line(&change.repository, &change.reference);
        self.file.write_all(line.as_bytes())?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn text(&self) -> String {
        let changes = self.under_way.iter();
        changes
            .flat_map(|(repository, changes)| {
                changes
                    .iter()
                    .map(move |change| line(repository, &change.reference))
            })
            .collect()
    }
}

fn line(repository: &RepositoryName, reference: &Reference) -> String {
    format!("{repository} {}\n", reference.as_str())
}

/// A line that was cut short by the end of a process says nothing.
fn parse(line: &str) -> Option<Change> {
    let (repository, reference) = line.split_once(' ')?;
    Some(Change {
        repository: repository.parse().ok()?,
        reference: reference.parse().ok()?,
    })
}

/// From here on the file is written anew: some thousand changes.
const LONG_BYTES: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn change(reference: &str) -> Change {
        Change {
            repository: "team/app".parse().unwrap(),
            reference: reference.parse().unwrap(),
        }
    }

    fn open(path: &Path) -> (Journal, HashSet<Change>) {
        Journal::open(path).unwrap()
    }

    #[test]
    fn what_was_begun_and_not_ended_is_told_to_the_next_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (journal, left) = open(&path);
        assert!(left.is_empty());
        for reference in ["v1", "v2"] {
            journal.begin(&change(reference), Reach::Reference);
        }
        journal.end(&change("v1"), Reach::Reference);
        drop(journal);
        let (journal, left) = open(&path);
        assert!(left.contains(&change("v2")), "{left:?}");
        journal.begin(&change("v2"), Reach::Reference);
        journal.end(&change("v2"), Reach::Reference);
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_line_that_was_cut_short_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        fs::write(&path, "team/app v1\nteam/app\nnonsense %% x\nteam/").unwrap();
        assert_eq!(open(&path).1, HashSet::from([change("v1")]));
    }

    #[test]
    fn changes_of_one_reference_and_deletes_of_a_digest_overlap() {
        use Reach::{Reference, Repository};
        let directory = tempfile::tempdir().unwrap();
        let cases = [
            (("v1", Reference), ("v1", Reference), Standing::Overlapped),
            (("v1", Reference), ("v2", Reference), Standing::Alone),
            (("v1", Reference), ("v2", Repository), Standing::Overlapped),
            (("v2", Repository), ("v1", Reference), Standing::Overlapped),
        ];
        for (index, (first, second, expected)) in cases.into_iter().enumerate() {
            let (journal, _) = open(&directory.path().join(index.to_string()));
            for (reference, reach) in [first, second] {
                journal.begin(&change(reference), reach);
            }
            for (reference, reach) in [first, second] {
                let standing = journal.end(&change(reference), reach);
                assert_eq!(standing, Some(expected), "{index}");
            }
            assert_eq!(journal.end(&change("v1"), Reference), None);
        }
    }

    #[test]
    fn a_long_journal_keeps_only_what_is_under_way() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (journal, _) = open(&path);
        journal.begin(&change("stays"), Reach::Reference);
        while fs::metadata(&path).unwrap().len() < LONG_BYTES {
            journal.begin(&change("passes"), Reach::Reference);
            journal.state().under_way.retain(|_, changes| {
                changes.retain(|change| change.reference.as_str() == "stays");
                true
            });
        }
        journal.begin(&change("v1"), Reach::Reference);
        journal.end(&change("v1"), Reach::Reference);
        assert_eq!(fs::read_to_string(&path).unwrap(), "team/app stays\n");
    }
}
