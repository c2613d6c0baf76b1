use std::collections::BTreeMap;

use super::queries;
use crate::{
    clock::Timestamp,
    store::{self, Db, Filter, Listing, Page, Test, Tx},
};

/// The audit log as it is read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Log {
    db: Db,
}

store::row! {
    /// One entry. `at_ms` is milliseconds since the epoch.
    pub Entry {
        id: i64,
        at_ms: i64,
        user_name: String,
        operation: String,
        resource_type: String,
        resource: String,
        project: Option<String>,
        succeeded: bool,
        description: String,
        source: Option<String>,
        request_id: Option<String>,
    }
}

/// Which entries somebody may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    Everything,
    /// Entries of these projects, by name; those of earlier projects of the names are not theirs.
    Projects(Vec<String>),
}

impl Log {
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// Entries by fields `id`, `username`, `operation`, `resource_type`, `resource`, `project`,
    /// `operation_result`, `operation_description`, `op_time`; the newest first unless sorted.
    pub async fn entries(
        &self,
        view: &View,
        listing: &Listing,
    ) -> Result<Page<Entry>, store::Error> {
        let (selection, names) = match view {
            View::Everything => (&queries::ENTRIES, None),
            View::Projects(names) => (&queries::ENTRIES_OF_PROJECTS, Some(names)),
        };
        let mut narrowed = listing.clone();
        narrowed.filters.extend(names.map(|names| Filter {
            field: "project".to_owned(),
            test: Test::AnyOf(names.clone()),
        }));
        let names = names.map(|names| serde_json::json!(names).to_string());
        let is_counted = match &names {
            _ if !listing.filters.is_empty() => false,
            Some(names) => !queries::have_namesakes(&self.db, names).await?,
            None => true,
        };
        if !is_counted {
            return self.db.page(selection, Vec::new(), &narrowed).await;
        }
        let items = self.db.rows(selection, Vec::new(), &narrowed).await?;
        let total = match names {
            Some(names) => queries::total_of(&self.db, &names).await?,
            None => queries::total(&self.db).await?,
        };
        Ok(Page { items, total })
    }

    /// Deletes entries older than that, in small transactions, and says how many.
    pub async fn sweep(&self, before: Timestamp) -> Result<u64, store::Error> {
        let mut swept = 0;
        loop {
            let mut tx = self.db.begin().await?;
            let gone = queries::sweep(&mut tx, before, SWEEP_BATCH).await?;
            uncount(&mut tx, &gone).await?;
            tx.commit().await?;
            swept += gone.len() as u64;
            if i64::try_from(gone.len()).is_ok_and(|gone| gone < SWEEP_BATCH) {
                return Ok(swept);
            }
        }
    }
}

/// Takes deleted entries, given as their projects, out of the totals.
pub(super) async fn uncount(tx: &mut Tx, gone: &[Option<String>]) -> Result<(), store::Error> {
    for (project, entries) in counted(gone.iter().map(Option::as_deref)) {
        queries::count(tx, project, -entries).await?;
    }
    Ok(())
}

/// How often each project occurs, in the order of their names, so that those who count at once
/// wait for each other and not in a ring.
pub(super) fn counted<'a>(
    projects: impl Iterator<Item = Option<&'a str>>,
) -> BTreeMap<&'a str, i64> {
    let mut counts = BTreeMap::new();
    for project in projects {
        *counts.entry(project.unwrap_or_default()).or_default() += 1;
    }
    counts
}

/// Rows deleted in one transaction: on SQLite it holds the only writer.
const SWEEP_BATCH: i64 = 1000;
