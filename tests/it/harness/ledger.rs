use sqlx::{
    AssertSqlSafe, Connection, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions,
};

use super::Gateway;

/// The gateway's database, looked at from the side.
pub struct Ledger {
    place: Place,
}

enum Place {
    Sqlite(std::path::PathBuf),
    Postgres(String),
}

impl Ledger {
    pub fn of(gateway: &Gateway) -> Self {
        let url = gateway.database_url();
        let url = url.unwrap_or_else(|| "sqlite://data/tidegate.db".to_owned());
        let place = match url.strip_prefix("sqlite://") {
            Some(path) => Place::Sqlite(gateway.directory().join(path)),
            None => Place::Postgres(url),
        };
        Self { place }
    }

    /// What work is left, in words; empty when there is none.
    pub async fn unfinished(&self) -> String {
        let mut left = Vec::new();
        for (what, statement) in LEFT {
            let count = self.count(statement).await;
            if count > 0 {
                left.push(format!("{count} {what}"));
            }
        }
        left.join("; ")
    }

    pub async fn count(&self, statement: &str) -> i64 {
        let statement = AssertSqlSafe(statement.to_owned());
        match &self.place {
            Place::Sqlite(path) => {
                let mut connection = lite(path).await;
                let query = sqlx::query_scalar(statement);
                query.fetch_one(&mut connection).await.unwrap()
            }
            Place::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let query = sqlx::query_scalar(statement);
                query.fetch_one(&mut connection).await.unwrap()
            }
        }
    }

    pub async fn run(&self, statement: &str) {
        self.try_run(statement).await.unwrap();
    }

    async fn try_run(&self, statement: &str) -> Result<(), sqlx::Error> {
        let statement = AssertSqlSafe(statement.to_owned());
        match &self.place {
            Place::Sqlite(path) => {
                let mut connection = lite(path).await;
                let query = sqlx::query(statement);
                query.execute(&mut connection).await.map(drop)
            }
            Place::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let query = sqlx::query(statement);
                query.execute(&mut connection).await.map(drop)
            }
        }
    }

    /// Lets the time pass for which intents of unknown outcome are looked at.
    pub async fn age_intents(&self) {
        self.run("update replication_intents set created_ms = 1, look_ms = 0")
            .await;
    }

    /// Makes every attempt to write an intent fail, as a database that is away does.
    pub async fn hide_intents(&self) {
        self.run("alter table replication_intents rename to hidden_intents")
            .await;
    }

    /// Ends [`Ledger::hide_intents`], if it was called.
    pub async fn show_intents(&self) {
        let shown = self.try_run("alter table hidden_intents rename to replication_intents");
        drop(shown.await);
    }
}

async fn lite(path: &std::path::Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(std::time::Duration::from_mins(1));
    SqliteConnection::connect_with(&options).await.unwrap()
}

/// None of these may be left once everything has come to rest.
const LEFT: &[(&str, &str)] = &[
    (
        "live jobs",
        "select count(*) from jobs where finished_ms is null",
    ),
    (
        "failed jobs",
        "select count(*) from jobs where state = 'failed' and coalesce(target, '') not in \
         (select 'registry/' || id from registries where name = 'doomed')",
    ),
    (
        "finished jobs without a time or in no final state",
        "select count(*) from jobs where (finished_ms is not null) \
         <> (state in ('done', 'failed', 'stopped'))",
    ),
    (
        "tasks without a job",
        "select count(*) from replication_tasks t left join jobs j on j.id = t.job_id \
         where j.id is null",
    ),
    (
        "executions of pushes without a task",
        "select count(*) from replication_executions e where e.trigger_kind = 'event_based' \
         and not exists (select 1 from replication_tasks t where t.execution_id = e.id)",
    ),
];
