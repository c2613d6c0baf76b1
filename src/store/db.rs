use std::{path::Path, str::FromStr, time::Duration};

use serde::Deserialize;
use sqlx::{
    PgPool, Postgres, Sqlite, SqlitePool, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{Error, migrations};

/// The `[database]` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `sqlite://PATH` or `postgres://USER:PASSWORD@HOST:PORT/NAME`. `None`: SQLite under `data_dir`.
    pub url: Option<String>,
    /// On PostgreSQL one more listens for what other gateways tell.
    pub max_connections: u32,
    /// What SQLite survives; PostgreSQL's durability is set in its own configuration.
    pub durability: Durability,
}

/// What a committed transaction survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// A power cut: every commit is synced to the disk.
    Full,
    /// The death of the process at any instant, but not a power cut.
    #[default]
    Normal,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: None,
            max_connections: 10,
            durability: Durability::default(),
        }
    }
}

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Db {
    /// Readers never wait for the one writer (WAL).
    Lite {
        readers: SqlitePool,
        writer: SqlitePool,
    },
    Pg(PgPool),
}

/// A transaction; dropped without [`Tx::commit`] it is rolled back.
///
/// On SQLite it holds the only writer: keep it short, and never across network I/O.
#[derive(Debug)]
pub enum Tx {
    Lite(Transaction<'static, Sqlite>),
    Pg(Transaction<'static, Postgres>),
}

impl Db {
    /// Opens the database and brings its schema up to date. A relative SQLite path counts from
    /// the working directory; `default_path` is used when no URL is configured.
    pub async fn open(config: &Config, default_path: &Path) -> Result<Self, Error> {
        let db = Self::connect(config, default_path).await?;
        db.migrate().await?;
        Ok(db)
    }

    /// Opens the database and checks that its schema is not newer than this program.
    pub async fn connect(config: &Config, default_path: &Path) -> Result<Self, Error> {
        let default_url = || format!("sqlite://{}", default_path.display());
        let url = config.url.clone().unwrap_or_else(default_url);
        let db = if url.starts_with("sqlite:") {
            Self::connect_sqlite(&url, config).await?
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Self::connect_postgres(&url, config).await?
        } else {
            return Err(Error::Url(format!(
                "`{}` must start with sqlite:// or postgres://",
                address_of(&url)
            )));
        };
        migrations::refuse_newer(&db).await?;
        Ok(db)
    }

    async fn connect_sqlite(url: &str, config: &Config) -> Result<Self, Error> {
        let failed = |source| Error::Connect {
            address: address_of(url),
            source,
        };
        let synchronous = match config.durability {
            Durability::Full => SqliteSynchronous::Full,
            Durability::Normal => SqliteSynchronous::Normal,
        };
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|error| Error::Url(error.to_string()))?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .busy_timeout(ACQUIRE_TIMEOUT)
            .foreign_keys(true)
            .pragma("temp_store", "memory")
            .pragma("cache_size", "-16000");
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.clone())
            .await
            .map_err(failed)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(config.max_connections.max(1))
            .test_before_acquire(false)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await
            .map_err(failed)?;
        Ok(Self::Lite { readers, writer })
    }

    async fn connect_postgres(url: &str, config: &Config) -> Result<Self, Error> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_may_hold_the_password| {
                Error::Url("the postgres:// URL is not well formed".into())
            })?
            .application_name("tidegate");
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections.max(1))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await
            .map_err(|source| Error::Connect {
                address: address_of(url),
                source,
            })?;
        Ok(Self::Pg(pool))
    }

    /// Applies the migrations that are missing; several gateways may do so at once.
    pub async fn migrate(&self) -> Result<(), Error> {
        migrations::run(self).await
    }

    /// How many migrations [`Db::migrate`] would apply.
    pub async fn pending_migrations(&self) -> Result<usize, Error> {
        migrations::pending(self).await
    }

    pub async fn begin(&self) -> Result<Tx, Error> {
        Ok(match self {
            Self::Lite { writer, .. } => Tx::Lite(begin_lite(writer).await?),
            Self::Pg(pool) => Tx::Pg(pool.begin().await?),
        })
    }

    /// [`Db::begin`] for who will not wait for a connection as long as usual.
    pub async fn begin_within(&self, patience: Duration) -> Result<Tx, Error> {
        let begun = tokio::time::timeout(patience, self.begin()).await;
        begun.map_err(|_elapsed| sqlx::Error::PoolTimedOut)?
    }

    /// Asks the database for an answer; for readiness.
    pub async fn ping(&self) -> Result<(), Error> {
        match self {
            Self::Lite { readers, .. } => {
                sqlx::query("select 1").execute(readers).await.map(drop)?;
            }
            Self::Pg(pool) => sqlx::query("select 1").execute(pool).await.map(drop)?,
        }
        Ok(())
    }

    pub async fn close(&self) {
        match self {
            Self::Lite { readers, writer } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Pg(pool) => pool.close().await,
        }
    }
}

impl Tx {
    pub async fn commit(self) -> Result<(), Error> {
        match self {
            Self::Lite(transaction) => transaction.commit().await?,
            Self::Pg(transaction) => transaction.commit().await?,
        }
        Ok(())
    }
}

/// Begins on the writer. SQLite itself rolls back what fails for want of space; the connection
/// then counts a transaction that is no more and refuses to begin another, so it is replaced.
async fn begin_lite(writer: &SqlitePool) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    match writer.begin_with(BEGIN).await {
        Err(sqlx::Error::InvalidSavePointStatement) => {
            writer.acquire().await?.close().await?;
            writer.begin_with(BEGIN).await
        }
        begun => begun,
    }
}

/// Takes the write lock at once: a transaction that reads first and then writes could not wait.
const BEGIN: &str = "BEGIN IMMEDIATE";

/// The URL without user and password.
fn address_of(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => format!(
            "{scheme}://{}",
            rest.rsplit_once('@').map_or(rest, |(_, host)| host)
        ),
        None => "database.url".to_owned(),
    }
}

/// How long a request waits for a connection, and SQLite for its lock, before it is refused.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    /// A table that was small at the last stop would be scanned when it has grown.
    #[tokio::test]
    async fn no_statistics_are_kept_of_tables() {
        let first = testing::sqlite().await;
        first.close().await;
        let Db::Lite { writer, .. } = first.again().await else {
            panic!("not SQLite")
        };
        let tables = "select name from sqlite_master where name like 'sqlite_stat%'";
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&writer).await.unwrap();
        assert!(tables.is_empty(), "{tables:?}");
    }

    #[tokio::test]
    async fn the_writer_goes_on_after_the_disk_was_full() {
        let db = testing::sqlite().await;
        let Db::Lite { writer, .. } = &*db else {
            panic!("not SQLite")
        };
        let run = async |text: &'static str| sqlx::query(text).execute(writer).await.map(drop);
        run("create table filler (bytes blob)").await.unwrap();
        // The engine's own limit stands for a disk without space: the same error, SQLITE_FULL.
        run("pragma max_page_count = 1").await.unwrap();
        let Tx::Lite(mut tx) = db.begin().await.unwrap() else {
            panic!("not SQLite")
        };
        let filling = sqlx::query("insert into filler values (zeroblob(1000000))");
        let refused = filling.execute(&mut *tx).await.unwrap_err();
        assert!(refused.to_string().contains("full"), "{refused}");
        drop(tx);
        run("pragma max_page_count = 1000000").await.unwrap();
        for _again in 0..2 {
            db.begin().await.unwrap().commit().await.unwrap();
        }
    }
}
