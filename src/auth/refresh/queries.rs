use crate::{
    clock::Timestamp,
    store::{self, Db, Tx, read, run, sqls, write},
};

sqls! {
    TOKEN = "select subject, account_id, credential_version, service, used_ms \
        from refresh_tokens where hash = $1";
    INSERT = "insert into refresh_tokens (hash, subject, account_id, credential_version, service, \
        created_ms, used_ms) values ($1, $2, $3, $4, $5, $6, $6)";
    USE = "update refresh_tokens set used_ms = $2 where hash = $1 and used_ms < $2";
    REVOKE = "delete from refresh_tokens where hash = $1";
    REVOKE_ALL = "delete from refresh_tokens where subject = $1";
    SWEEP = "delete from refresh_tokens where used_ms < $1";
    TRIM = "delete from refresh_tokens where subject = $1 and hash not in (select hash from \
        refresh_tokens where subject = $1 order by used_ms desc, hash limit $2)";
}

store::row! {
    pub(super) Token {
        subject: String,
        account_id: i64,
        credential_version: i64,
        service: String,
        used_ms: i64,
    }
}

pub(super) async fn token(db: &Db, hash: &[u8]) -> Result<Option<Token>, store::Error> {
    Ok(read!(db, |pool, sql = TOKEN| sqlx::query_as(sql)
        .bind(hash)
        .fetch_optional(pool)
        .await)?)
}

pub(super) async fn insert(tx: &mut Tx, hash: &[u8], token: &Token) -> Result<(), store::Error> {
    Ok(run!(tx, |connection, sql = INSERT| sqlx::query(sql)
        .bind(hash)
        .bind(&token.subject)
        .bind(token.account_id)
        .bind(token.credential_version)
        .bind(&token.service)
        .bind(token.used_ms)
        .execute(connection)
        .await
        .map(drop))?)
}

/// Keeps the newest tokens of a subject only.
pub(super) async fn trim(tx: &mut Tx, subject: &str, keep: i64) -> Result<(), store::Error> {
    Ok(run!(tx, |connection, sql = TRIM| sqlx::query(sql)
        .bind(subject)
        .bind(keep)
        .execute(connection)
        .await
        .map(drop))?)
}

pub(super) async fn touch(db: &Db, hash: &[u8], now: Timestamp) -> Result<(), store::Error> {
    Ok(write!(db, |pool, sql = USE| sqlx::query(sql)
        .bind(hash)
        .bind(now.millis())
        .execute(pool)
        .await
        .map(drop))?)
}

pub(super) async fn revoke(db: &Db, hash: &[u8]) -> Result<(), store::Error> {
    Ok(write!(db, |pool, sql = REVOKE| sqlx::query(sql)
        .bind(hash)
        .execute(pool)
        .await
        .map(drop))?)
}

pub(in crate::auth) async fn revoke_all(tx: &mut Tx, subject: &str) -> Result<(), store::Error> {
    Ok(run!(tx, |connection, sql = REVOKE_ALL| sqlx::query(sql)
        .bind(subject)
        .execute(connection)
        .await
        .map(drop))?)
}

pub(super) async fn sweep(db: &Db, before: Timestamp) -> Result<u64, store::Error> {
    Ok(write!(db, |pool, sql = SWEEP| sqlx::query(sql)
        .bind(before.millis())
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?)
}
