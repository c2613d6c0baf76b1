use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::task::{JoinHandle, spawn_blocking};

use super::{Sink, message};
use crate::audit::recorder::Noted;

/// A file with a line of JSON for each event.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    file: Option<File>,
    /// Of the first so many events. Whoever gave up waiting for it has not undone it.
    writing: Option<(usize, JoinHandle<Written>)>,
}

/// The file to go on with, and how it went.
type Written = (Option<File>, io::Result<()>);

impl Lines {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            writing: None,
        }
    }

    fn write(&mut self, events: &[Arc<Noted>]) -> JoinHandle<Written> {
        let (path, held) = (self.path.clone(), self.file.take());
        let lines = events.iter().flat_map(|noted| message::line(noted));
        let lines: Vec<u8> = lines.collect();
        spawn_blocking(move || match file_at(&path, held) {
            Ok(mut file) => {
                let written = append(&mut file, &lines);
                (Some(file), written)
            }
            Err(error) => (None, Err(error)),
        })
    }
}

impl Sink for Lines {
    async fn send(&mut self, events: &mut Vec<Arc<Noted>>) -> io::Result<bool> {
        let writing = match self.writing.take() {
            Some(writing) => writing,
            None => (events.len(), self.write(events)),
        };
        // Dropped here, it would be forgotten while the thread goes on.
        let (count, task) = self.writing.insert(writing);
        let (count, done) = (*count, task.await);
        self.writing = None;
        let (file, written) = done.map_err(io::Error::other)?;
        self.file = file;
        let path = self.path.display();
        written.map_err(|error| io::Error::other(format!("cannot write {path}: {error}")))?;
        events.drain(..count);
        Ok(true)
    }

    fn has_moved(&self) -> bool {
        false
    }
}

/// The file at the path, also when another one lies there than a moment ago.
fn file_at(path: &Path, held: Option<File>) -> io::Result<File> {
    if let Some(file) = held {
        let own = file.metadata()?;
        let is_there = fs::metadata(path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (own.dev(), own.ino()));
        if is_there {
            return Ok(file);
        }
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(MODE).open(path)
}

fn append(file: &mut File, lines: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    let written = file.write_all(lines);
    if written.is_err() {
        // Half a line would spoil the next one.
        let _ = file.set_len(before);
    }
    written
}

/// Readable for the group, as log shippers need it.
const MODE: u32 = 0o640;

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, task::Poll};

    use super::*;
    use crate::{
        audit::{Event, Operation, Outcome},
        clock::Timestamp,
    };

    fn event(number: usize) -> Arc<Noted> {
        Arc::new(Noted {
            at: Timestamp::from_seconds(1),
            event: Event {
                user: "alice".to_owned(),
                operation: Operation::Create,
                resource_type: "user",
                resource: format!("thing {number}"),
                project: None,
                outcome: Outcome::Succeeded,
                description: String::new(),
                source: None,
                request_id: None,
            },
        })
    }

    async fn give_up_after(most_polls: u32, future: impl Future<Output = io::Result<bool>>) {
        let mut future = pin!(future);
        let mut polls = 0;
        poll_fn(|context| {
            polls += 1;
            let is_over = polls > most_polls;
            match future.as_mut().poll(context) {
                Poll::Pending if !is_over => Poll::Pending,
                _ => Poll::Ready(()),
            }
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_given_up_at_any_instant_is_written_once() {
        for most_polls in 1..10 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("audit.json");
            let mut lines = Lines::new(path.clone());
            let mut events: Vec<_> = (0..3).map(event).collect();
            give_up_after(most_polls, lines.send(&mut events)).await;
            if !events.is_empty() {
                assert!(lines.send(&mut events).await.unwrap());
            }
            assert!(events.is_empty());
            let written = fs::read_to_string(&path).unwrap();
            assert_eq!(written.lines().count(), 3, "{most_polls}: {written}");
        }
    }
}
