use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{
    Wish,
    look::{Lookout, Sight},
    queries::{self, IntentRow, Looked, Unsettled},
    tombstone,
};
use crate::{
    clock::{Setbacks, Timestamp},
    failpoint,
    oci::{Reference, RepositoryName},
    replication::{
        Error, IntentId, Operation, Policy, PolicyId, RegistryId, Shared, executions, uploads,
    },
    store::Db,
};

/// Settles what nobody concluded, at once and then again and again, until told to stop.
///
/// Such an intent becomes a job: if the change was made the job copies it, if not the job finds
/// both sides equal. The registry may still be at work on a change whose gateway died or gave up
/// waiting: unless it is seen made, it is looked at again for
/// [`Config::unknown_for_seconds`](crate::replication::Config::unknown_for_seconds), and each
/// look that sees something new makes another job.
pub(in crate::replication) async fn resolve(shared: Arc<Shared>, stop: CancellationToken) {
    let interval = shared.config.dead_after() / BEATS;
    let mut rounds = 0_u64;
    let mut away = false;
    let mut setbacks = Setbacks::default();
    loop {
        let settled = round(&shared, rounds, &mut setbacks).await;
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
        let wait = stop.run_until_cancelled(tokio::time::sleep(interval));
        if wait.await.is_none() {
            return;
        }
    }
}

/// One pass; how many intents became jobs.
async fn round(shared: &Shared, number: u64, setbacks: &mut Setbacks) -> Result<usize, Error> {
    let now = shared.clock.now();
    if setbacks.is_behind(now) {
        queries::follow_setback(&shared.db, now).await?;
        setbacks.taken_up(now);
    }
    let oldest_boot = now.minus(FORGET_BOOT_AFTER);
    queries::beat(&shared.db, &shared.boot, now, oldest_boot).await?;
    failpoint::hit("replication.boot_seen");
    if number.is_multiple_of(SWEEP_EVERY) {
        executions::queries::sweep(&shared.db, now.minus(KEEP_EMPTY)).await?;
        tombstone::sweep(shared, now).await?;
        shared.places.sweep(now).await?;
    }
    let settled = settle(shared, now).await?;
    if number.is_multiple_of(SWEEP_EVERY) {
        // Asks other registries, for which no push should wait.
        uploads::sweep(shared, now).await?;
    }
    Ok(settled)
}

/// Takes over the changes in the file, and looks at what is due; how many intents became jobs.
pub(super) async fn settle(shared: &Shared, now: Timestamp) -> Result<usize, Error> {
    adopt_spilled(shared, now).await?;
    let count = settle_rows(shared, now).await?;
    shared.metrics.settled.inc_by(count as u64);
    Ok(count)
}

/// What a round has found out.
#[derive(Debug, Default)]
struct Findings {
    wishes: Vec<Wish>,
    over: Vec<IntentId>,
    open: Vec<Looked>,
}

async fn settle_rows(shared: &Shared, now: Timestamp) -> Result<usize, Error> {
    let which = Unsettled {
        boot: &shared.boot,
        own_before: now.minus(shared.config.unknown_after()),
        alive_after: alive_after(shared, now),
        due: now,
        limit: BATCH,
    };
    let rows = queries::unsettled(&shared.db, which).await?;
    let left = |row: &IntentRow| !shared.in_flight.contains(IntentId(row.id));
    let lookout = Lookout::new(shared.client(RegistryId::LOCAL).await?);
    let mut looks = Vec::with_capacity(rows.len());
    for row in rows.into_iter().filter(left) {
        looks.push(look(&lookout, row));
    }
    let mut seen = stream::iter(looks).buffer_unordered(LOOKS_AT_ONCE);
    let mut findings = Findings::default();
    while let Some((row, found)) = seen.next().await {
        findings.add(shared, row, found, now).await?;
    }
    findings.write(shared).await
}

/// An intent with what it is about and what the registry says; without, when it is unreadable.
type Seen = (IntentRow, Option<(Subject, Sight)>);

async fn look(lookout: &Lookout, row: IntentRow) -> Seen {
    let Some(subject) = Subject::of(&row) else {
        return (row, None);
    };
    let sight = lookout
        .look(&row, &subject.repository, &subject.reference)
        .await;
    (row, Some((subject, sight)))
}

impl Findings {
    /// What the registry has becomes a job unless the last look has seen the same.
    async fn add(
        &mut self,
        shared: &Shared,
        row: IntentRow,
        found: Option<(Subject, Sight)>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let intent = IntentId(row.id);
        let policy = shared.policy(PolicyId(row.policy_id)).await?;
        let (Some((subject, sight)), Some(policy)) = (found, policy) else {
            self.over.push(intent);
            return Ok(());
        };
        let created = Timestamp::from_millis(row.created_ms);
        if row.seen.as_deref() != Some(sight.text()) {
            self.wishes.push(subject.wish(&policy));
        }
        match sight.next(created, now, &shared.config) {
            Some(next) => self.open.push(Looked {
                intent,
                found: sight.text().to_owned(),
                next,
            }),
            None => self.over.push(intent),
        }
        Ok(())
    }

    async fn write(self, shared: &Shared) -> Result<usize, Error> {
        let count = self.wishes.len();
        if count > 0 || !self.over.is_empty() {
            failpoint::hit("replication.registry_looked_at");
            shared.writer.confirm(self.wishes, self.over).await?;
            failpoint::hit("replication.looks_settled");
            shared.jobs.wake();
        }
        if !self.open.is_empty() {
            queries::looked(&shared.db, &self.open).await?;
            failpoint::hit("replication.looks_written");
        }
        Ok(count)
    }
}

/// Makes the changes in the file intents that belong to no living process.
async fn adopt_spilled(shared: &Shared, now: Timestamp) -> Result<(), Error> {
    let Some(wishes) = shared
        .spill
        .settled_before(now.minus(shared.config.unknown_after()), now)
        .await?
    else {
        return Ok(());
    };
    let mut tx = shared.db.begin().await?;
    for wish in &wishes {
        queries::insert(&mut tx, wish, NOBODY, now).await?;
    }
    failpoint::hit("replication.spill_adopted_before_commit");
    tx.commit().await?;
    failpoint::hit("replication.spill_adopted");
    shared.spill.clear().await?;
    failpoint::hit("replication.spill_cleared");
    Ok(())
}

/// What an intent is about.
#[derive(Debug)]
struct Subject {
    repository: RepositoryName,
    reference: Reference,
    operation: Operation,
}

impl Subject {
    /// A row that was written by this program reads back; one that does not is dropped with a word.
    fn of(row: &IntentRow) -> Option<Self> {
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
        Some(Self {
            repository,
            reference,
            operation,
        })
    }

    fn wish(self, policy: &Policy) -> Wish {
        Wish::new(policy, &self.repository, self.reference, self.operation)
    }
}

/// A SQLite database has one gateway: every other process that used it is dead.
fn alive_after(shared: &Shared, now: Timestamp) -> Timestamp {
    match shared.db {
        Db::Lite { .. } => Timestamp::from_millis(i64::MAX),
        Db::Pg(_) => now.minus(shared.config.dead_after()),
    }
}

/// The boot of intents that no process concludes.
const NOBODY: &str = "";
/// Beats that a gateway may miss before it is dead.
const BEATS: u32 = 3;
/// Enough for a restart under load, few enough to leave the registry to its clients.
const LOOKS_AT_ONCE: usize = 8;
const FORGET_BOOT_AFTER: Duration = Duration::from_hours(24);
/// Executions without tasks (their jobs' history has ended) go after this time.
const KEEP_EMPTY: Duration = Duration::from_hours(24);
/// In rounds: about an hour.
const SWEEP_EVERY: u64 = 720;
/// More are left for the next round.
const BATCH: i64 = 1000;
