//! Databases for tests: a fresh SQLite file, and a fresh PostgreSQL schema where
//! `TIDEGATE_TEST_POSTGRES_URL` names a server (`tests/run` starts one).

use std::{ops::Deref, path::PathBuf};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqlSafeStr};

use super::{Config, Db, Sql};

/// A migrated database that lives as long as the test.
pub(crate) struct TestDb {
    db: Db,
    config: Config,
    path: PathBuf,
    _directory: Option<tempfile::TempDir>,
}

impl TestDb {
    /// Another process's connections to the same database.
    pub(crate) async fn again(&self) -> Db {
        Db::open(&self.config, &self.path).await.unwrap()
    }

    /// What another process opens it by.
    pub(crate) fn url(&self) -> String {
        let file = || format!("sqlite://{}", self.path.display());
        self.config.url.clone().unwrap_or_else(file)
    }

    /// The same with a pool of one connection.
    pub(crate) async fn with_one_connection(&self) -> Db {
        let config = Config {
            max_connections: 1,
            ..self.config.clone()
        };
        Db::open(&config, &self.path).await.unwrap()
    }
}

impl Deref for TestDb {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

/// One migrated database of each kind that is at hand; SQLite always.
pub(crate) async fn databases() -> Vec<TestDb> {
    let mut databases = vec![sqlite().await];
    if let Ok(server) = std::env::var("TIDEGATE_TEST_POSTGRES_URL") {
        databases.push(postgres(&server).await);
    }
    databases
}

pub(crate) async fn sqlite() -> TestDb {
    let directory = tempfile::tempdir().unwrap();
    let (config, path) = (Config::default(), directory.path().join("tidegate.db"));
    let db = Db::open(&config, &path).await.unwrap();
    TestDb {
        db,
        config,
        path,
        _directory: Some(directory),
    }
}

async fn postgres(server: &str) -> TestDb {
    let schema = format!("test_{}", hex::encode(crate::secret::random_bytes::<8>()));
    let mut connection = PgConnection::connect(server).await.unwrap();
    let create = AssertSqlSafe(format!("create schema {schema}"));
    sqlx::query(create).execute(&mut connection).await.unwrap();
    let separator = if server.contains('?') { '&' } else { '?' };
    let url = format!("{server}{separator}options=-csearch_path%3D{schema}");
    let config = Config {
        url: Some(url),
        max_connections: 5,
        ..Config::default()
    };
    let path = PathBuf::new();
    let db = Db::open(&config, &path).await.unwrap();
    TestDb {
        db,
        config,
        path,
        _directory: None,
    }
}

/// Prepares every statement on every database: what `cargo check` would do, could it ask them.
pub(crate) async fn prepare(statements: &[(&str, Sql)]) {
    for db in databases().await {
        for (name, sql) in statements {
            let prepared = match &*db {
                Db::Lite { writer, .. } => writer.prepare(sql.lite.into_sql_str()).await.map(drop),
                Db::Pg(pool) => pool.prepare(sql.pg.into_sql_str()).await.map(drop),
            };
            prepared.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
