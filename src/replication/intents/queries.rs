use super::Wish;
use crate::{
    clock::{Setbacks, Timestamp},
    oci::{Digest, RepositoryName, Tag},
    replication::IntentId,
    store::{Db, Error, Tx, read, row, run, sqls, write},
};

sqls! {
    INTENT_INSERT = "insert into replication_intents \
        (policy_id, repository, reference, operation, digest, boot, created_ms) \
        select id, $2, $3, $4, $5, $6, $7 from replication_policies where id = $1 returning id";
    INTENT_DELETE = "delete from replication_intents where id = $1";
    INTENT_UNSETTLED = "select id, policy_id, repository, reference, operation, digest, seen, \
        created_ms from replication_intents where look_ms <= $4 \
        and ((boot = $1 and created_ms < $2) or (boot <> $1 \
        and boot not in (select boot from replication_boots where seen_ms > $3))) \
        order by look_ms, id limit $5";
    INTENT_LOOKED = "update replication_intents set seen = $2, look_ms = $3 where id = $1";
    INTENTS_AGE = "update replication_intents set created_ms = $1, look_ms = 0 \
        where created_ms > $2";
    BOOTS_AGE = "update replication_boots set seen_ms = $1 where seen_ms > $2";
    TOMBSTONE_PUT = "insert into replication_tombstones (repository, tag, deleted_ms) \
        values ($1, $2, $3) on conflict (repository, tag) do update \
        set deleted_ms = excluded.deleted_ms \
        where replication_tombstones.deleted_ms < excluded.deleted_ms";
    TOMBSTONE_SINCE = "select tag from replication_tombstones \
        where repository = $1 and tag = $2 and deleted_ms >= $3";
    TOMBSTONE_SWEEP = "delete from replication_tombstones where deleted_ms < $1";
    BOOT_SEEN = "insert into replication_boots (boot, seen_ms) values ($1, $2) \
        on conflict (boot) do update set seen_ms = excluded.seen_ms";
    BOOT_FORGET = "delete from replication_boots where seen_ms < $1";
}

row! {
    /// An intent that nobody has concluded.
    pub(crate) IntentRow {
        id: i64,
        policy_id: i64,
        repository: String,
        reference: String,
        operation: String,
        digest: Option<String>,
        seen: Option<String>,
        created_ms: i64,
    }
}

/// `None` when the policy is gone.
pub(super) async fn insert(
    tx: &mut Tx,
    wish: &Wish,
    boot: &str,
    now: Timestamp,
) -> Result<Option<IntentId>, Error> {
    let id: Option<i64> = run!(tx, |connection, sql = INTENT_INSERT| {
        sqlx::query_scalar(sql)
            .bind(wish.policy.0)
            .bind(&wish.repository)
            .bind(wish.reference.as_str())
            .bind(wish.operation.name())
            .bind(wish.expected.as_ref().map(Digest::as_str))
            .bind(boot)
            .bind(now.millis())
            .fetch_optional(connection)
            .await?
    });
    Ok(id.map(IntentId))
}

pub(super) async fn delete(tx: &mut Tx, intents: &[IntentId]) -> Result<(), Error> {
    for intent in intents {
        run!(tx, |connection, sql = INTENT_DELETE| {
            sqlx::query(sql)
                .bind(intent.0)
                .execute(connection)
                .await
                .map(drop)?;
        });
    }
    Ok(())
}

/// Which intents are to be settled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unsettled<'a> {
    pub boot: &'a str,
    /// Own intents from before this time.
    pub own_before: Timestamp,
    /// Intents of processes that were not seen since.
    pub alive_after: Timestamp,
    /// The next look at them is due by this time.
    pub due: Timestamp,
    pub limit: i64,
}

pub(super) async fn unsettled(db: &Db, which: Unsettled<'_>) -> Result<Vec<IntentRow>, Error> {
    Ok(read!(db, |pool, sql = INTENT_UNSETTLED| {
        sqlx::query_as(sql)
            .bind(which.boot)
            .bind(which.own_before.millis())
            .bind(which.alive_after.millis())
            .bind(which.due.millis())
            .bind(which.limit)
            .fetch_all(pool)
            .await?
    }))
}

/// What a look at the registry found, and when the next one is due.
#[derive(Debug)]
pub(super) struct Looked {
    pub intent: IntentId,
    pub found: String,
    pub next: Timestamp,
}

pub(super) async fn looked(db: &Db, intents: &[Looked]) -> Result<(), Error> {
    let mut tx = db.begin().await?;
    for looked in intents {
        run!(&mut tx, |connection, sql = INTENT_LOOKED| {
            sqlx::query(sql)
                .bind(looked.intent.0)
                .bind(&looked.found)
                .bind(looked.next.millis())
                .execute(connection)
                .await
                .map(drop)?;
        });
    }
    tx.commit().await
}

/// Says that this process lives, and forgets those not seen since `forget_before`.
pub(super) async fn beat(
    db: &Db,
    boot: &str,
    now: Timestamp,
    forget_before: Timestamp,
) -> Result<(), Error> {
    write!(db, |pool, sql = BOOT_SEEN| {
        sqlx::query(sql)
            .bind(boot)
            .bind(now.millis())
            .execute(pool)
            .await
            .map(drop)?;
    });
    write!(db, |pool, sql = BOOT_FORGET| {
        sqlx::query(sql)
            .bind(forget_before.millis())
            .execute(pool)
            .await
            .map(drop)?;
    });
    Ok(())
}

/// What was written down when the clock was ahead of `now`, before it was set back, is as old as
/// can be told: written now. Gateways that live say so again.
pub(super) async fn follow_setback(db: &Db, now: Timestamp) -> Result<(), Error> {
    let ahead = now.plus(Setbacks::SLACK).millis();
    write!(db, |pool, sql = INTENTS_AGE| {
        let query = sqlx::query(sql).bind(now.millis()).bind(ahead);
        query.execute(pool).await.map(drop)?;
    });
    write!(db, |pool, sql = BOOTS_AGE| {
        let query = sqlx::query(sql).bind(now.millis()).bind(ahead);
        query.execute(pool).await.map(drop)?;
    });
    Ok(())
}

/// Remembers that a tag was deleted.
pub(super) async fn bury(
    tx: &mut Tx,
    repository: &str,
    tag: &Tag,
    at: Timestamp,
) -> Result<(), Error> {
    run!(tx, |connection, sql = TOMBSTONE_PUT| {
        sqlx::query(sql)
            .bind(repository)
            .bind(tag.as_str())
            .bind(at.millis())
            .execute(connection)
            .await
            .map(drop)?;
    });
    Ok(())
}

/// Whether a tag was deleted at or after `since`, as far as that is remembered.
pub(super) async fn is_buried(
    db: &Db,
    repository: &RepositoryName,
    tag: &Tag,
    since: Timestamp,
) -> Result<bool, Error> {
    let found: Option<String> = read!(db, |pool, sql = TOMBSTONE_SINCE| {
        sqlx::query_scalar(sql)
            .bind(repository.as_str())
            .bind(tag.as_str())
            .bind(since.millis())
            .fetch_optional(pool)
            .await?
    });
    Ok(found.is_some())
}

pub(super) async fn forget_buried(db: &Db, before: Timestamp) -> Result<(), Error> {
    write!(db, |pool, sql = TOMBSTONE_SWEEP| {
        let query = sqlx::query(sql).bind(before.millis());
        query.execute(pool).await.map(drop)?;
    });
    Ok(())
}
