use crate::store::{self, Db, Tx, read, run, sqls};

sqls! {
    SETTINGS = "select name, value from settings";
    // SQLite's transactions have the only writer already.
    LOCK = "select 1" | "lock table settings in share row exclusive mode";
    PUT = "insert into settings (name, value) values ($1, $2) \
        on conflict (name) do update set value = excluded.value";
}

/// Names and JSON texts.
pub(super) type Rows = Vec<(String, String)>;

pub(super) async fn all(db: &Db) -> Result<Rows, store::Error> {
    Ok(read!(db, |pool, sql = SETTINGS| sqlx::query_as(sql)
        .fetch_all(pool)
        .await)?)
}

/// Reads the rows and keeps others from changing them until the transaction ends.
pub(super) async fn lock(tx: &mut Tx) -> Result<Rows, store::Error> {
    run!(tx, |connection, sql = LOCK| sqlx::query(sql)
        .execute(connection)
        .await
        .map(drop))?;
    Ok(run!(tx, |connection, sql = SETTINGS| sqlx::query_as(sql)
            .fetch_all(connection)
            .await)?)
}

pub(super) async fn put(tx: &mut Tx, name: &str, value: &str) -> Result<(), store::Error> {
    Ok(run!(tx, |connection, sql = PUT| sqlx::query(sql)
        .bind(name)
        .bind(value)
        .execute(connection)
        .await
        .map(drop))?)
}
