use sqlx::{error::DatabaseError, sqlite::SqliteError};

/// What can go wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is neither `sqlite://…` nor `postgres://…`, or not well formed.
    #[error("database.url: {0}")]
    Url(String),
    /// The database cannot be reached, or no connection came free in time.
    #[error("cannot reach the database at {address}: {source}")]
    Connect {
        address: String,
        source: sqlx::Error,
    },
    /// The schema was made by a newer Tidegate.
    #[error(
        "the database has schema version {found}, this Tidegate knows up to {known}; \
         use the newer Tidegate, or restore a backup from before its upgrade"
    )]
    Newer { found: i64, known: i64 },
    #[error("migrating the database failed: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A unique constraint refused the row.
    #[error("the row exists already")]
    Duplicate,
    /// A foreign key refused the row or its deletion.
    #[error("another row refers to this one, or the row it refers to is gone")]
    Referenced,
    /// PostgreSQL has no NUL in a text; the client's fault.
    #[error("a text holds a NUL character, which cannot be stored")]
    Nul,
    /// A listing names a field or value that is not there; the client's fault.
    #[error(transparent)]
    Listing(#[from] super::ListingError),
    #[error("database: {0}")]
    Sql(sqlx::Error),
}

impl Error {
    /// Whether the same call may work a moment later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Connect { .. } => true,
            Self::Sql(sqlx::Error::Database(refusal)) => passes(&**refusal),
            Self::Sql(error) => matches!(
                error,
                sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::Io(_)
                    // A connection that was cut between two messages.
                    | sqlx::Error::Protocol(_)
                    | sqlx::Error::Tls(_)
                    | sqlx::Error::BeginFailed
                    | sqlx::Error::WorkerCrashed
            ),
            _ => false,
        }
    }
}

/// Whether what the database itself says is about its state and not about the statement.
fn passes(refusal: &dyn DatabaseError) -> bool {
    let Some(code) = refusal.code() else {
        return false;
    };
    if refusal.try_downcast_ref::<SqliteError>().is_some() {
        // The low byte of an extended result code is the primary one.
        code.parse()
            .is_ok_and(|code: i32| PASSING_RESULT_CODES.contains(&(code & 0xff)))
    } else {
        let class = code.get(..2).unwrap_or_default();
        PASSING_SQLSTATE_CLASSES.contains(&class) || code == READ_ONLY_SQLSTATE
    }
}

/// SQLite: busy, locked, an I/O error, disk full, no file could be opened, as when the process has
/// too many open (<https://www.sqlite.org/rescode.html>).
const PASSING_RESULT_CODES: [i32; 5] = [5, 6, 10, 13, 14];

/// PostgreSQL: connection lost, transaction rolled back, out of resources, shutting down or
/// starting (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
const PASSING_SQLSTATE_CLASSES: [&str; 4] = ["08", "40", "53", "57"];

/// A server that only reads: a standby that is about to be promoted.
const READ_ONLY_SQLSTATE: &str = "25006";

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let Some(refusal) = error.as_database_error() else {
            return Self::Sql(error);
        };
        if refusal.code().is_some_and(|code| code == NUL_SQLSTATE) {
            return Self::Nul;
        }
        match refusal.kind() {
            sqlx::error::ErrorKind::UniqueViolation => Self::Duplicate,
            sqlx::error::ErrorKind::ForeignKeyViolation => Self::Referenced,
            _ => Self::Sql(error),
        }
    }
}

/// `character_not_in_repertoire`: all else that a Rust string holds is in it.
const NUL_SQLSTATE: &str = "22021";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Db, testing};

    async fn refusal(db: &Db, statement: &str) -> Error {
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        let refused = match db {
            Db::Lite { writer, .. } => sqlx::raw_sql(statement).execute(writer).await.map(drop),
            Db::Pg(pool) => sqlx::raw_sql(statement).execute(pool).await.map(drop),
        };
        refused.unwrap_err().into()
    }

    /// A folder that is not there stands for a file that cannot be opened: the same code.
    const UNOPENED: &str = "attach database '/nowhere/at/all.db' as other";

    const FULL: &str = "create table t (b blob); pragma max_page_count = 1; \
                        insert into t values (zeroblob(1000000))";

    const POSTGRES: [(&str, bool); 10] = [
        ("08006", true),
        ("40001", true),
        ("40P01", true),
        ("53100", true),
        ("53300", true),
        ("57P01", true),
        ("57P03", true),
        ("25006", true),
        ("25001", false),
        ("22021", false),
    ];

    #[tokio::test]
    async fn what_passes_is_told_from_what_stays() {
        for db in testing::databases().await {
            assert!(!refusal(&db, "select nothing").await.retryable());
            if matches!(*db, Db::Lite { .. }) {
                assert!(refusal(&db, UNOPENED).await.retryable());
                assert!(refusal(&db, FULL).await.retryable());
                continue;
            }
            for (code, expected) in POSTGRES {
                let raise = format!("do $$ begin raise exception using errcode = '{code}'; end $$");
                let error = refusal(&db, &raise).await;
                assert_eq!(error.retryable(), expected, "{code}: {error}");
            }
        }
    }
}
