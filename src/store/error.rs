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
            Self::Sql(error) => matches!(
                error,
                sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::PoolClosed
            ),
            _ => false,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let Some(refusal) = error.as_database_error() else {
            return Self::Sql(error);
        };
        match refusal.kind() {
            sqlx::error::ErrorKind::UniqueViolation => Self::Duplicate,
            sqlx::error::ErrorKind::ForeignKeyViolation => Self::Referenced,
            _ => Self::Sql(error),
        }
    }
}
