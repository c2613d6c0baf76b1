use std::{
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    JobId,
    queries::{Entry, LogRow},
};
use crate::clock::{SharedClock, Timestamp};

/// The log of one run: lines for people, written to the database in batches.
///
/// Cheap to clone. Lines are in the database within [`Config::heartbeat_ms`], and all of them
/// when the run ends; those of a run that dies with its process may be lost.
///
/// [`Config::heartbeat_ms`]: super::Config::heartbeat_ms
#[derive(Debug, Clone)]
pub struct Log {
    clock: SharedClock,
    job: JobId,
    epoch: i64,
    line_bytes: usize,
    buffer: Arc<Mutex<Buffer>>,
}

#[derive(Debug)]
struct Buffer {
    pending: Vec<Entry>,
    next_seq: i64,
    /// Lines the run may still write.
    left: usize,
    /// Lines refused because the run wrote too many.
    refused: u64,
}

/// How much one run may write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub lines: usize,
    pub line_bytes: usize,
}

impl Log {
    /// The log of run `epoch`.
    pub(super) fn new(clock: SharedClock, (job, epoch): (JobId, i64), bounds: Bounds) -> Self {
        Self {
            clock,
            job,
            epoch,
            line_bytes: bounds.line_bytes,
            buffer: Arc::new(Mutex::new(Buffer {
                pending: Vec::new(),
                next_seq: 1,
                left: bounds.lines,
                refused: 0,
            })),
        }
    }

    /// Adds a line; several, if the text has line breaks. Never blocks and never fails: past the
    /// run's bound lines are counted instead of kept.
    pub fn line(&self, text: impl AsRef<str>) {
        let now = self.clock.now();
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.as_ref().lines() {
            if buffer.left == 0 {
                buffer.refused += 1;
                continue;
            }
            buffer.left -= 1;
            let entry = self.entry(buffer.next_seq, now, clean(line, self.line_bytes));
            buffer.push(entry);
        }
    }

    /// Numbers the lines on from those of earlier runs; to be called before the first.
    pub(super) fn continue_after(&self, last_seq: i64) {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        buffer.next_seq = last_seq + 1;
    }

    /// Takes the lines not yet written.
    pub(super) fn take(&self) -> Vec<Entry> {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut buffer.pending)
    }

    /// Puts lines back that could not be written.
    pub(super) fn put_back(&self, mut entries: Vec<Entry>) {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        entries.append(&mut buffer.pending);
        buffer.pending = entries;
    }

    /// Takes what is left when the run ends, with the marker of refused lines and the engine's
    /// own last line, which no bound refuses.
    pub(super) fn close(&self, last: Option<&str>) -> Vec<Entry> {
        let now = self.clock.now();
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = std::mem::take(&mut buffer.refused);
        let marker = (refused > 0)
            .then(|| format!("[{refused} more lines of this run were not kept (jobs.log_lines)]"));
        for line in marker.as_deref().into_iter().chain(last) {
            let entry = self.entry(buffer.next_seq, now, clean(line, self.line_bytes));
            buffer.push(entry);
        }
        std::mem::take(&mut buffer.pending)
    }

    fn entry(&self, seq: i64, now: Timestamp, line: String) -> Entry {
        Entry {
            job_id: self.job.0,
            epoch: self.epoch,
            seq,
            at_ms: now.millis(),
            line,
        }
    }
}

impl Buffer {
    fn push(&mut self, entry: Entry) {
        self.next_seq = entry.seq + 1;
        self.pending.push(entry);
    }
}

/// A log as text, one `TIME LINE` a line.
pub(super) fn render(rows: &[LogRow]) -> String {
    let mut text = String::new();
    if rows.first().is_some_and(|row| row.seq > 1) {
        text.push_str("[lines of earlier runs were not kept (jobs.log_lines)]\n");
    }
    text + &lines(rows)
}

/// Lines of a log as text.
pub(super) fn lines(rows: &[LogRow]) -> String {
    let mut text = String::new();
    for row in rows {
        let at = Timestamp::from_millis(row.at_ms);
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{at} {}", row.line);
    }
    text
}

/// The text without NUL, which PostgreSQL refuses, cut to `max` bytes at a character.
pub(super) fn clean(text: &str, max: usize) -> String {
    let mut clean = text.replace('\0', "\u{fffd}");
    if clean.len() > max {
        let end = (0..=max).rev().find(|end| clean.is_char_boundary(*end));
        clean.truncate(end.unwrap_or(0));
        clean.push('…');
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn log(lines: usize) -> Log {
        let clock = ManualClock::at(Timestamp::from_seconds(0));
        let bounds = Bounds {
            lines,
            line_bytes: 8,
        };
        Log::new(clock, (JobId(1), 1), bounds)
    }

    fn lines(entries: Vec<Entry>) -> Vec<String> {
        entries.into_iter().map(|entry| entry.line).collect()
    }

    #[test]
    fn lines_past_the_bound_are_counted_in_a_marker() {
        let log = log(2);
        log.line("one\ntwo\nthree");
        log.line("four");
        assert_eq!(lines(log.take()), ["one", "two"]);
        let rest = log.close(Some("failed"));
        assert_eq!(rest[0].seq, 3);
        let rest = lines(rest);
        assert!(rest[0].starts_with("[2 more "), "{rest:?}");
        assert_eq!(rest[1], "failed");
    }

    #[test]
    fn long_lines_are_cut_at_a_character_and_lose_their_nul() {
        let log = log(5);
        log.line("äääääääää");
        log.line("a\0b");
        assert_eq!(lines(log.take()), ["ääää…", "a\u{fffd}b"]);
    }

    #[test]
    fn lines_put_back_keep_their_order() {
        let log = log(5);
        log.line("one");
        let taken = log.take();
        log.line("two");
        log.put_back(taken);
        assert_eq!(lines(log.take()), ["one", "two"]);
    }
}
