use std::{io, path::PathBuf, sync::Arc};

use tokio::task::JoinHandle;

use super::{Sink, message};
use crate::{
    audit::recorder::Noted,
    telemetry::{Appended, LogFile},
};

/// A file with a line of JSON for each event.
#[derive(Debug)]
pub(super) struct Lines {
    file: LogFile,
    /// Of the first so many events. Whoever gave up waiting for it has not undone it.
    writing: Option<(usize, JoinHandle<Appended>)>,
}

impl Lines {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            file: LogFile::new(path),
            writing: None,
        }
    }
}

impl Sink for Lines {
    async fn send(&mut self, events: &mut Vec<Arc<Noted>>) -> io::Result<bool> {
        let writing = self.writing.take().unwrap_or_else(|| {
            let lines = events.iter().flat_map(|noted| message::line(noted));
            (events.len(), self.file.begin(lines.collect()))
        });
        // Dropped here, it would be forgotten while the thread goes on.
        let (count, task) = self.writing.insert(writing);
        let (count, done) = (*count, task.await);
        self.writing = None;
        let (file, written) = done.map_err(io::Error::other)?;
        self.file = file;
        written?;
        events.drain(..count);
        Ok(true)
    }

    fn has_moved(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, future::poll_fn, pin::pin, task::Poll};

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
