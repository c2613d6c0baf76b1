//! Tests of the engine against both databases: `queue` and `leases` step through it under a
//! clock that stands still, `running` lets a whole runner work, `conformance` compares it with
//! the pure state machine.

mod bulk;
mod conformance;
mod cron;
mod fairness;
mod leases;
mod lifecycle;
mod queue;
mod running;
mod schedules;
mod system;
mod targets;

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{
    Config, Enqueued, Job, JobId, Jobs, NewJob, Selected, State, lease::Ending, queries::Claimed,
    settler::Ended, slots::Slot,
};
use crate::{
    clock::{ManualClock, Timestamp},
    store::{Db, Listing},
};

pub(super) const KIND: &str = "copy";

pub(super) fn noon() -> Arc<ManualClock> {
    ManualClock::at(Timestamp::from_seconds(1_800_000_000))
}

/// One instance of the gateway on a shared database.
pub(super) fn instance(db: &Db, clock: &Arc<ManualClock>) -> Jobs {
    let config = Config {
        poll_ms: 10,
        heartbeat_ms: 10,
        stop_grace_seconds: 1,
        log_lines: 5,
        ..Config::default()
    };
    Jobs::new(db.clone(), clock.clone(), config)
}

pub(super) fn wish(key: &str, n: i64) -> NewJob {
    NewJob::new(KIND, key, json!({ "n": n }))
}

pub(super) async fn enqueue(jobs: &Jobs, job: NewJob) -> Enqueued {
    let mut tx = jobs.inner.db.begin().await.unwrap();
    let enqueued = jobs.enqueue(&mut tx, job).await.unwrap();
    tx.commit().await.unwrap();
    jobs.wake();
    enqueued
}

/// Claims the one job that is due, as a worker would.
pub(super) async fn claim_one(jobs: &Jobs) -> (Claimed, Arc<Slot>) {
    let row = try_claim(jobs).await.expect("a job is due");
    let slot = jobs.inner.occupy(&row);
    (row, slot)
}

pub(super) async fn try_claim(jobs: &Jobs) -> Option<Claimed> {
    let mut rows = jobs.inner.claim(&[KIND], 1).await.unwrap();
    assert!(rows.len() <= 1);
    rows.pop()
}

/// Writes how a run ended; `None`: its lease was lost.
pub(super) async fn settle(jobs: &Jobs, slot: &Arc<Slot>, ending: Ending) -> Option<State> {
    let ended = Ended {
        slot: slot.clone(),
        ending,
        log: Vec::new(),
    };
    let states = jobs.inner.settle(&[ended]).await.unwrap();
    jobs.inner.slots.remove(slot);
    states[0]
}

pub(super) async fn state(jobs: &Jobs, id: JobId) -> State {
    jobs.job(id).await.unwrap().state
}

/// The jobs in one state, or all, newest first.
pub(super) async fn listed(jobs: &Jobs, state: Option<State>) -> Vec<Job> {
    let selected = state.map(|state| Selected::parse(state.as_str()).unwrap());
    jobs.page(selected, &Listing::default())
        .await
        .unwrap()
        .items
}

/// Waits until the job has that state.
pub(super) async fn becomes(jobs: &Jobs, id: JobId, wanted: State) {
    let reached = async {
        while state(jobs, id).await != wanted {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(10), reached).await;
    assert!(reached.is_ok(), "{:?}", jobs.job(id).await);
}

#[tokio::test]
async fn every_statement_is_valid_on_both_databases() {
    crate::store::testing::prepare(super::queries::ALL).await;
    crate::store::testing::prepare(super::ledger::ALL).await;
    crate::store::testing::prepare(super::bulk::ALL).await;
    crate::store::testing::prepare(super::schedule::ALL).await;
    crate::store::testing::prepare(super::system::ALL).await;
    crate::store::testing::prepare(super::setback::ALL).await;
}
