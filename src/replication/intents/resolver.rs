use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Wish,
    queries::{self, IntentRow, Unsettled},
};
use crate::{
    clock::Timestamp,
    replication::{Error, IntentId, Operation, Policy, PolicyId, Shared, executions},
    store::Db,
};

/// Settles what nobody concluded, at once and then every [`INTERVAL`], until told to stop.
///
/// Such an intent becomes a job: if the change was made the job copies it, if not the job finds
/// both sides equal.
pub(in crate::replication) async fn resolve(shared: Arc<Shared>, stop: CancellationToken) {
    let mut rounds = 0_u64;
    let mut away = false;
    loop {
        let settled = round(&shared, rounds).await;
        match &settled {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "changes of unknown outcome became jobs"),
            Err(error) if !away => {
                tracing::warn!(%error, "changes of unknown outcome cannot be settled yet");
            }
            Err(_still) => {}
        }
        away = settled.is_err();
        rounds += 1;
        let wait = stop.run_until_cancelled(tokio::time::sleep(INTERVAL));
        if wait.await.is_none() {
            return;
        }
    }
}

/// One pass; how many intents became jobs.
async fn round(shared: &Shared, number: u64) -> Result<usize, Error> {
    let now = shared.clock.now();
    let oldest_boot = now.minus(FORGET_BOOT_AFTER);
    queries::beat(&shared.db, &shared.boot, now, oldest_boot).await?;
    if number.is_multiple_of(SWEEP_EVERY) {
        executions::queries::sweep(&shared.db, now.minus(KEEP_EMPTY)).await?;
    }
    settle(shared, now).await
}

pub(super) async fn settle(shared: &Shared, now: Timestamp) -> Result<usize, Error> {
    let count = settle_rows(shared, now).await? + settle_spilled(shared, now).await?;
    shared.metrics.settled.inc_by(count as u64);
    Ok(count)
}

async fn settle_rows(shared: &Shared, now: Timestamp) -> Result<usize, Error> {
    let which = Unsettled {
        boot: &shared.boot,
        own_before: now.minus(shared.config.unknown_after()),
        alive_after: alive_after(&shared.db, now),
        limit: BATCH,
    };
    let rows = queries::unsettled(&shared.db, which).await?;
    let left = |row: &IntentRow| !shared.in_flight.contains(IntentId(row.id));
    let mut wishes = Vec::new();
    let mut intents = Vec::new();
    for row in rows.into_iter().filter(left) {
        intents.push(IntentId(row.id));
        let policy = shared.policy(PolicyId(row.policy_id)).await?;
        wishes.extend(policy.and_then(|policy| wish(&policy, &row)));
    }
    let count = intents.len();
    if count > 0 {
        shared.writer.confirm(wishes, intents).await?;
        shared.jobs.wake();
    }
    Ok(count)
}

async fn settle_spilled(shared: &Shared, now: Timestamp) -> Result<usize, Error> {
    let Some(wishes) = shared
        .spill
        .settled_before(now.minus(shared.config.unknown_after()))
        .await?
    else {
        return Ok(0);
    };
    let count = wishes.len();
    shared.writer.confirm(wishes, Vec::new()).await?;
    shared.spill.clear().await?;
    shared.jobs.wake();
    Ok(count)
}

/// A row that was written by this program reads back; one that does not is dropped with a word.
fn wish(policy: &Policy, row: &IntentRow) -> Option<Wish> {
    let parsed = (
        row.repository.parse(),
        row.reference.parse(),
        Operation::parse(&row.operation),
    );
    let (Ok(repository), Ok(reference), Some(operation)) = parsed else {
        tracing::error!(
            repository.name = row.repository,
            reference = row.reference,
            "an unreadable intent is dropped"
        );
        return None;
    };
    Some(Wish::new(policy, &repository, reference, operation))
}

/// A SQLite database has one gateway: every other process that used it is dead.
fn alive_after(db: &Db, now: Timestamp) -> Timestamp {
    match db {
        Db::Lite { .. } => Timestamp::from_millis(i64::MAX),
        Db::Pg(_) => now.minus(DEAD_AFTER),
    }
}

const INTERVAL: Duration = Duration::from_secs(5);
/// Three missed beats.
const DEAD_AFTER: Duration = Duration::from_secs(15);
const FORGET_BOOT_AFTER: Duration = Duration::from_hours(24);
/// Executions without tasks (their jobs' history has ended) go after this time.
const KEEP_EMPTY: Duration = Duration::from_hours(24);
/// In rounds: about an hour.
const SWEEP_EVERY: u64 = 720;
/// More are left for the next round.
const BATCH: i64 = 1000;
