use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use crate::webhook::{Error, Event};

/// A file of lines that is only appended to, and rewritten when most of it is over.
///
/// Nothing is synced: a line is safe from the death of the process once it is written, which
/// costs a copy into the system's cache, so a push may do it.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// The length after the last rewriting.
    kept_bytes: u64,
    is_failing: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Line {
    Event {
        id: u64,
        happened: bool,
        event: Event,
    },
    Happened(u64),
    Over(u64),
}

/// An event of an earlier life of the process.
#[derive(Debug)]
pub(super) struct Left {
    pub id: u64,
    pub happened: bool,
    pub event: Event,
}

impl Journal {
    pub(super) fn open(path: PathBuf) -> Result<(Self, Vec<Left>), Error> {
        let failed = |source| Error::Outbox {
            path: path.display().to_string(),
            source,
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
        };
        let left = read(&text);
        let file = append_to(&path).map_err(failed)?;
        let mut journal = Self {
            bytes: text.len() as u64,
            kept_bytes: 0,
            path,
            file,
            is_failing: false,
        };
        journal.rewrite(left.iter().map(|left| Line::Event {
            id: left.id,
            happened: left.happened,
            event: left.event.clone(),
        }));
        Ok((journal, left))
    }

    /// A line that cannot be written is in memory only; that is said once.
    pub(super) fn append(&mut self, line: &Line) {
        // A line break first: a full disk may have left half a line.
        let text = format!("\n{}\n", text_of(line));
        let written = self.file.write_all(text.as_bytes());
        self.bytes += text.len() as u64;
        self.report(&written);
    }

    /// Whether most of the file may be over.
    pub(super) const fn is_grown(&self) -> bool {
        self.bytes > REWRITE_FROM_BYTES + 2 * self.kept_bytes
    }

    pub(super) fn rewrite(&mut self, lines: impl Iterator<Item = Line>) {
        let rewritten = self.replace(lines);
        // Else every event would try it again.
        self.kept_bytes = self.bytes;
        self.report(&rewritten);
    }

    fn replace(&mut self, lines: impl Iterator<Item = Line>) -> io::Result<()> {
        let mut text = String::new();
        for line in lines {
            text.push_str(&text_of(&line));
            text.push('\n');
        }
        let new = self.path.with_extension("new");
        fs::write(&new, &text)?;
        fs::rename(&new, &self.path)?;
        self.file = append_to(&self.path)?;
        self.bytes = text.len() as u64;
        Ok(())
    }

    fn report(&mut self, result: &io::Result<()>) {
        if let Err(error) = result
            && !self.is_failing
        {
            let path = self.path.display();
            tracing::warn!("webhook events are kept in memory only: {path}: {error}");
        }
        self.is_failing = result.is_err();
    }
}

fn append_to(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn text_of(line: &Line) -> String {
    serde_json::to_string(line).unwrap_or_default()
}

/// What is not over; lines that cannot be read were never written whole.
fn read(text: &str) -> Vec<Left> {
    let mut left = BTreeMap::new();
    for line in text.lines() {
        match serde_json::from_str(line) {
            Ok(Line::Event {
                id,
                happened,
                event,
            }) => {
                let entry = Left {
                    id,
                    happened,
                    event,
                };
                left.insert(id, entry);
            }
            Ok(Line::Happened(id)) => {
                if let Some(entry) = left.get_mut(&id) {
                    entry.happened = true;
                }
            }
            Ok(Line::Over(id)) => {
                left.remove(&id);
            }
            Err(_empty_or_cut) => {}
        }
    }
    left.into_values().collect()
}

/// Some hundred events.
const REWRITE_FROM_BYTES: u64 = 256 * 1024;
