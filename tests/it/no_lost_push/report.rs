use std::collections::BTreeMap;

use super::operations::Operation;
use crate::harness::Database;

/// What became of one failpoint with one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The process died there, and all was well afterwards.
    Killed,
    /// The operation does not pass there; it ended well.
    NotReached,
}

/// What happened at each failpoint, on one database.
pub struct Report {
    database: Database,
    lines: BTreeMap<&'static str, Vec<(Operation, Seen)>>,
}

impl Report {
    pub fn new(database: Database) -> Self {
        Self {
            database,
            lines: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, point: &'static str, operation: Operation, seen: Seen) {
        self.lines.entry(point).or_default().push((operation, seen));
    }

    /// A table for people; nextest shows it with `--success-output final`.
    #[expect(clippy::print_stdout, reason = "the report of this test")]
    pub fn print(&self) {
        println!(
            "{:?}: | failpoint | killed during | not reached by |",
            self.database
        );
        for (point, runs) in &self.lines {
            let of = |wanted: Seen| {
                let runs = runs.iter().filter(|(_, seen)| *seen == wanted);
                let names = runs.map(|(operation, _)| format!("{operation:?}"));
                names.collect::<Vec<_>>().join(", ")
            };
            println!(
                "| {point} | {} | {} |",
                of(Seen::Killed),
                of(Seen::NotReached)
            );
        }
    }
}
