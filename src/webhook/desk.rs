//! Events become executions and jobs: one task that commits together what came meanwhile.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Error, Event, EventType, Policy,
    handle::Shared,
    outbox::DOUBT,
    payload::{self, Setting},
    queries::{self, NewTask},
};
use crate::{
    clock::Timestamp,
    jobs::{JobId, NewJob},
    oci::Reference,
    store::Tx,
};

/// Writes events until `stop`, and then once more.
pub(super) async fn serve(shared: Arc<Shared>, stop: CancellationToken) {
    let mut away = false;
    while !stop.is_cancelled() {
        away = flush_or_report(&shared, away).await;
        let pause = if away { WHILE_AWAY } else { LOOK_EVERY };
        tokio::select! {
            () = stop.cancelled() => {}
            () = shared.outbox.news.notified(), if !away => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    flush_or_report(&shared, away).await;
}

/// Asks the registry about what nobody knows, and forgets old executions, until `stop`.
pub(super) async fn keep(shared: Arc<Shared>, stop: CancellationToken) {
    let mut swept: Option<Instant> = None;
    let keeping = async {
        loop {
            settle_doubts(&shared).await;
            if swept.is_none_or(|swept| swept.elapsed() >= SWEEP_EVERY) {
                swept = Some(Instant::now());
                let before = shared.clock.now().minus(KEEP_EMPTY);
                if let Err(error) = queries::sweep(&shared.db, before).await {
                    tracing::debug!("old webhook executions were not deleted: {error}");
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let _ended: Option<()> = stop.run_until_cancelled(keeping).await;
}

/// Whether the database is away; said once.
async fn flush_or_report(shared: &Shared, was_away: bool) -> bool {
    let written = flush(shared).await;
    if let Err(error) = &written
        && !was_away
    {
        tracing::warn!("webhook events wait for the database: {error}");
    }
    written.is_err()
}

/// Writes all that has happened.
async fn flush(shared: &Shared) -> Result<(), Error> {
    loop {
        let batch = shared.outbox.ready(BATCH);
        if batch.is_empty() {
            return Ok(());
        }
        match write(shared, &batch).await {
            Err(error) if error.retryable() => return Err(error),
            // One that cannot be written must not keep the others.
            Err(_of_some_event) => write_each(shared, &batch).await?,
            Ok(()) => {}
        }
    }
}

async fn write_each(shared: &Shared, batch: &[(u64, Event)]) -> Result<(), Error> {
    for one in batch.chunks(1) {
        match write(shared, one).await {
            Err(error) if error.retryable() => return Err(error),
            Err(error) => give_up(shared, one, &error),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn give_up(shared: &Shared, batch: &[(u64, Event)], error: &Error) {
    tracing::error!("a webhook event cannot be written: {error}");
    shared.metrics.dropped.inc_by(batch.len() as u64);
    let ids: Vec<u64> = batch.iter().map(|(id, _)| *id).collect();
    shared.outbox.forget(&ids);
}

/// One transaction for all of them.
async fn write(shared: &Shared, batch: &[(u64, Event)]) -> Result<(), Error> {
    let mut tx = shared.db.begin().await?;
    let now = shared.clock.now();
    for (_, event) in batch {
        for policy in shared.snapshot.concerned(event) {
            execute(shared, &mut tx, (event, &policy), now).await?;
        }
    }
    tx.commit().await?;
    shared.jobs.wake();
    shared.metrics.fired.inc_by(batch.len() as u64);
    let ids: Vec<u64> = batch.iter().map(|(id, _)| *id).collect();
    shared.outbox.forget(&ids);
    Ok(())
}

/// Makes the execution and the jobs of an event for a policy, unless it has them.
async fn execute(
    shared: &Shared,
    tx: &mut Tx,
    (event, policy): (&Event, &Policy),
    now: Timestamp,
) -> Result<(), Error> {
    let Some(execution) = queries::insert_execution(tx, policy.id, event, now).await? else {
        return Ok(());
    };
    let setting = Setting {
        is_public: queries::is_public(tx, policy.project).await?,
        host: shared.host.as_deref(),
    };
    let jobs: Vec<NewJob> = (0..policy.targets.len())
        .map(|number| job(shared, (event, policy), execution, number))
        .collect();
    let enqueued = shared.jobs.enqueue_all(tx, &jobs).await?;
    for (target, job) in policy.targets.iter().zip(enqueued) {
        let payload = payload::compose(event, setting, policy, target);
        let task = NewTask {
            execution,
            job: JobId(job.id.0),
            target,
            content_type: payload.content_type,
            body: &payload.body,
            now,
        };
        queries::insert_task(tx, &task).await?;
    }
    Ok(())
}

/// Each target of each policy has a lane and a breaker of its own, so that a receiver that does
/// not answer keeps nobody else waiting.
fn job(
    shared: &Shared,
    (event, policy): (&Event, &Policy),
    execution: i64,
    number: usize,
) -> NewJob {
    let kind = policy
        .targets
        .get(number)
        .map_or("WEBHOOK", |target| target.notify_type.job_kind());
    let params = json!({"policy": policy.id, "execution": execution, "event": event.kind.name()});
    let mut job = NewJob::new(kind, format!("{execution}/{number}"), params)
        .in_project(event.project.as_str())
        .for_target(format!("webhook/{}/{number}", policy.id));
    job.max_attempts = Some(shared.config.max_attempts);
    job
}

/// Asks the registry about what nobody knows.
async fn settle_doubts(shared: &Shared) {
    let now = shared.clock.now();
    for (id, event, since) in shared.outbox.doubtful(BATCH) {
        if has_happened(shared, &event).await == Some(true) {
            shared.outbox.happened(id);
        } else if now.since(since) >= DOUBT {
            shared.outbox.forget(&[id]);
        }
    }
}

/// Whether the registry has what was pushed, or has no more what was deleted; `None` when it
/// does not say.
async fn has_happened(shared: &Shared, event: &Event) -> Option<bool> {
    let repository = event.repository.as_ref()?;
    let resource = event.resources.first()?;
    let reference = resource.tag.as_ref().or(resource.digest.as_ref())?;
    let reference: Reference = reference.parse().ok()?;
    let found = shared.local.head_manifest(repository, &reference).await;
    let found = found.ok()?.map(|head| head.digest.to_string());
    Some(match event.kind {
        EventType::DeleteArtifact => found.is_none(),
        _ => found.is_some() && (resource.digest.is_none() || found == resource.digest),
    })
}

/// Bounds the time that SQLite's one writer is held.
const BATCH: usize = 100;
const LOOK_EVERY: Duration = Duration::from_secs(5);
const WHILE_AWAY: Duration = Duration::from_secs(1);
const SWEEP_EVERY: Duration = Duration::from_hours(1);
/// Executions whose jobs' history has ended go after this time.
const KEEP_EMPTY: Duration = Duration::from_hours(24);
