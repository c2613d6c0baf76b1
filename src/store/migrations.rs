//! Numbered, forward-only migrations; the same numbers for both databases.

use std::borrow::Cow;

use sqlx::{
    Row, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

use super::{Db, Error};

/// Version, description, SQLite text, PostgreSQL text.
type Entry = (i64, &'static str, &'static str, &'static str);

macro_rules! entry {
    ($version:literal, $name:literal) => {
        (
            $version,
            $name,
            include_str!(concat!("../../migrations/sqlite/", $name, ".sql")),
            include_str!(concat!("../../migrations/postgres/", $name, ".sql")),
        )
    };
}

const ENTRIES: &[Entry] = &[
    entry!(1, "0001_auth"),
    entry!(2, "0002_jobs"),
    entry!(3, "0003_replication"),
    entry!(4, "0004_audit"),
    entry!(5, "0005_lanes"),
    entry!(6, "0006_places"),
    entry!(7, "0007_mirroring_both_ways"),
    entry!(8, "0008_intent_looks"),
    entry!(9, "0009_job_api"),
    entry!(10, "0010_tee"),
    entry!(11, "0011_schedule_firings"),
    entry!(14, "0014_task_pages"),
    entry!(15, "0015_oldest_wish"),
    entry!(16, "0016_registry_speed"),
    entry!(17, "0017_copying"),
    entry!(18, "0018_audits"),
    entry!(19, "0019_places_by_age"),
    entry!(20, "0020_job_progress"),
    entry!(21, "0021_inventory"),
    entry!(22, "0022_audit_lists"),
    entry!(24, "0024_webhooks"),
    entry!(25, "0025_settings"),
    entry!(26, "0026_labels"),
    entry!(27, "0027_immutable"),
    entry!(29, "0029_retention"),
    entry!(30, "0030_quotas"),
    entry!(31, "0031_gc"),
    entry!(32, "0032_job_results"),
    entry!(33, "0033_groups"),
    entry!(34, "0034_artifacts_by_push"),
    entry!(35, "0035_group_names"),
    entry!(36, "0036_schedule_overlap"),
    entry!(37, "0037_no_statistics"),
];

/// How many migrations are still to be applied.
pub(super) async fn pending(db: &Db) -> Result<usize, Error> {
    let found = applied_version(db).await?;
    Ok(ENTRIES.iter().filter(|entry| entry.0 > found).count())
}

pub(super) async fn run(db: &Db) -> Result<(), Error> {
    refuse_newer(db).await?;
    match db {
        Db::Lite { writer, .. } => migrator(|entry| entry.2).run(writer).await?,
        Db::Pg(pool) => migrator(|entry| entry.3).run(pool).await?,
    }
    Ok(())
}

/// Refuses a database that a newer Tidegate has migrated.
pub(super) async fn refuse_newer(db: &Db) -> Result<(), Error> {
    let found = applied_version(db).await?;
    let known = ENTRIES.last().map_or(0, |entry| entry.0);
    if found > known {
        Err(Error::Newer { found, known })
    } else {
        Ok(())
    }
}

/// The newest applied migration; 0 for an empty database.
async fn applied_version(db: &Db) -> Result<i64, Error> {
    const EXISTS_LITE: &str = "select count(*) from sqlite_master where name = '_sqlx_migrations'";
    const EXISTS_PG: &str = "select count(*) from information_schema.tables \
         where table_schema = current_schema() and table_name = '_sqlx_migrations'";
    const NEWEST: &str = "select coalesce(max(version), 0) from _sqlx_migrations";
    Ok(match db {
        Db::Lite { writer, .. } => {
            let exists: i64 = sqlx::query(EXISTS_LITE)
                .fetch_one(writer)
                .await?
                .try_get(0)?;
            if exists == 0 {
                0
            } else {
                sqlx::query(NEWEST).fetch_one(writer).await?.try_get(0)?
            }
        }
        Db::Pg(pool) => {
            let exists: i64 = sqlx::query(EXISTS_PG).fetch_one(pool).await?.try_get(0)?;
            if exists == 0 {
                0
            } else {
                sqlx::query(NEWEST).fetch_one(pool).await?.try_get(0)?
            }
        }
    })
}

fn migrator(text: impl Fn(&Entry) -> &'static str) -> Migrator {
    let migrations = ENTRIES.iter().map(|entry| {
        let description = Cow::Borrowed(entry.1);
        Migration::new(
            entry.0,
            description,
            MigrationType::Simple,
            text(entry).into_sql_str(),
            false,
        )
    });
    Migrator::with_migrations(migrations.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing;

    #[tokio::test]
    async fn migrating_twice_changes_nothing() {
        for db in testing::databases().await {
            db.migrate().await.unwrap();
            assert_eq!(
                applied_version(&db).await.unwrap(),
                ENTRIES.last().unwrap().0
            );
        }
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused_with_a_way_out() {
        for db in testing::databases().await {
            const INSERT: &str = "insert into _sqlx_migrations \
                 (version, description, installed_on, success, checksum, execution_time) \
                 values (9999, 'future', current_timestamp, true, '', 0)";
            match &*db {
                Db::Lite { writer, .. } => {
                    sqlx::query(INSERT).execute(writer).await.map(drop).unwrap();
                }
                Db::Pg(pool) => sqlx::query(INSERT).execute(pool).await.map(drop).unwrap(),
            }
            let error = db.migrate().await.unwrap_err();
            assert!(matches!(error, Error::Newer { found: 9999, .. }), "{error}");
        }
    }

    /// Not even the connection that drops them goes by statistics which an older version has left.
    #[tokio::test]
    async fn statistics_of_small_tables_mislead_nobody() {
        let db = testing::sqlite().await;
        let Db::Lite { writer, .. } = &*db else {
            panic!("not SQLite")
        };
        let run = async |text: &'static str| {
            sqlx::raw_sql(text).execute(writer).await.map(drop).unwrap();
        };
        let plan = async || -> String {
            let text = "explain query plan \
                select id from projects where name = 'a' and deleted_ms is null";
            let row = sqlx::query(text).fetch_one(writer).await.unwrap();
            row.try_get("detail").unwrap()
        };
        run("analyze; insert into sqlite_stat1 (tbl, idx, stat) \
                values ('projects', null, '2'), ('projects', 'projects_name', '2 1'); \
                analyze sqlite_schema")
        .await;
        assert_eq!(plan().await, "SCAN projects");
        run(include_str!(
            "../../migrations/sqlite/0037_no_statistics.sql"
        ))
        .await;
        assert_eq!(
            plan().await,
            "SEARCH projects USING INDEX projects_name (name=?)"
        );
    }

    /// SQLite otherwise gives the id of the last deleted row to the next one, and jobs, logs and
    /// messages that remember the old row would mean the new one.
    #[tokio::test]
    async fn ids_of_deleted_rows_never_come_back() {
        const SINGLE_ROW: [&str; 2] = ["replication_revision", "replication_installation"];
        const REUSING: &str = "select name from sqlite_master where type = 'table' \
             and sql like '%integer primary key%' and sql not like '%autoincrement%' \
             order by name desc";
        for db in testing::databases().await {
            if let Db::Lite { writer, .. } = &*db {
                let reusing: Vec<String> =
                    sqlx::query_scalar(REUSING).fetch_all(writer).await.unwrap();
                assert_eq!(reusing, SINGLE_ROW);
            }
        }
    }

    #[tokio::test]
    async fn both_databases_have_the_same_tables_and_columns() {
        let mut shapes = Vec::new();
        for db in testing::databases().await {
            let columns: Vec<String> = match &*db {
                Db::Lite { writer, .. } => sqlx::query_scalar(
                    "select m.name || '.' || p.name from sqlite_master m, pragma_table_info(m.name) p \
                     where m.type in ('table', 'view') and m.name not like 'sqlite%' order by 1",
                )
                .fetch_all(writer)
                .await
                .unwrap(),
                Db::Pg(pool) => sqlx::query_scalar(
                    "select table_name || '.' || column_name from information_schema.columns \
                     where table_schema = current_schema() order by 1",
                )
                .fetch_all(pool)
                .await
                .unwrap(),
            };
            let mut columns = columns;
            columns.sort();
            shapes.push(columns);
        }
        assert!(
            shapes.windows(2).all(|pair| pair[0] == pair[1]),
            "{shapes:#?}"
        );
    }
}
