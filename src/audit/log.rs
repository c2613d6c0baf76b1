use super::queries;
use crate::{
    clock::Timestamp,
    store::{self, Db, Filter, Listing, Page, Test},
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
    /// Entries of these projects, by name.
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
        let mut listing = listing.clone();
        if let View::Projects(names) = view {
            listing.filters.push(Filter {
                field: "project".to_owned(),
                test: Test::AnyOf(names.clone()),
            });
        }
        self.db.page(&queries::ENTRIES, Vec::new(), &listing).await
    }

    /// Deletes entries older than that, in small transactions, and says how many.
    pub async fn sweep(&self, before: Timestamp) -> Result<u64, store::Error> {
        let mut swept = 0;
        loop {
            let deleted = queries::sweep(&self.db, before, SWEEP_BATCH).await?;
            swept += deleted;
            if deleted < SWEEP_BATCH.unsigned_abs() {
                return Ok(swept);
            }
        }
    }
}

/// Rows deleted in one transaction: on SQLite it holds the only writer.
const SWEEP_BATCH: i64 = 1000;
