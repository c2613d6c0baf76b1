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
            .connect_with(options.clone().optimize_on_close(true, None))
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

    pub async fn begin(&self) -> Result<Tx, Error> {
        Ok(match self {
            Self::Lite { writer, .. } => Tx::Lite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::Pg(pool) => Tx::Pg(pool.begin().await?),
        })
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
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
