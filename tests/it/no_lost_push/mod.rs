//! Killing the gateway at any of its failpoints loses no replication of a push the registry has.
//!
//! [`POINTS`] lists every failpoint of the source with an operation that certainly reaches it.
//! `driver.rs` kills and restarts, `operations.rs` says what is done meanwhile and when it is
//! complete, `harness/ledger.rs` looks at what must not be left, `report.rs` tells what happened.
//! `TIDEGATE_KILL_MATRIX=full` runs every failpoint with every operation.

mod driver;
mod operations;
mod random;
mod report;

use std::collections::BTreeSet;

use crate::{harness::Database, layers};
use driver::World;
use operations::Operation::{
    self, DeleteDigest, DeleteTag, DisablePolicy, MakePolicy, ManualRun, PushByDigest, PushByTag,
    PushIndex, PushMounted, PushReferrer, PushWithTags, RecoverAnswered, RecoverRecorded,
    RecoverRunning, RecoverSpilled, RefusedPush, ScheduledRun, Spill, StopRun,
};
use report::Report;

/// Each failpoint, and the operation of the short run, which reaches it.
const POINTS: &[(&str, Operation)] = &[
    ("proxy.manifest_read", PushByTag),
    ("proxy.change_intended", PushByDigest),
    ("proxy.gate_opened", PushWithTags),
    ("proxy.upstream_answered", PushIndex),
    ("proxy.push_concluded", PushReferrer),
    ("proxy.deletion_understood", DeleteTag),
    ("proxy.deletion_answered", DeleteDigest),
    ("proxy.deletion_concluded", DeleteTag),
    ("replication.record_before_commit", PushReferrer),
    ("replication.record_after_commit", DeleteDigest),
    ("replication.intent_committed", PushWithTags),
    ("replication.withdraw_before_commit", RefusedPush),
    ("replication.withdraw_after_commit", RefusedPush),
    ("replication.wishes_promoted", DeleteTag),
    ("replication.jobs_of_push_enqueued", PushByDigest),
    ("replication.execution_of_push_made", PushByTag),
    ("replication.confirm_before_commit", PushWithTags),
    ("replication.confirm_after_commit", PushIndex),
    ("replication.change_confirmed", DeleteDigest),
    ("replication.spill_written", Spill),
    ("replication.spill_synced", Spill),
    ("replication.intent_spilled", Spill),
    ("replication.spill_adopted_before_commit", RecoverSpilled),
    ("replication.spill_adopted", RecoverSpilled),
    ("replication.spill_emptied", RecoverSpilled),
    ("replication.spill_cleared", RecoverSpilled),
    ("replication.boot_seen", RecoverAnswered),
    ("replication.registry_looked_at", RecoverAnswered),
    ("replication.looks_settled", RecoverAnswered),
    ("replication.looks_written", RecoverRecorded),
    ("replication.run_enqueued", ManualRun),
    ("replication.run_before_commit", ManualRun),
    ("replication.run_committed", ManualRun),
    ("replication.execution_begun", ManualRun),
    ("replication.scheduled_run_before_commit", ScheduledRun),
    ("replication.scheduled_run_committed", ScheduledRun),
    ("replication.tasks_before_commit", ManualRun),
    ("replication.tasks_committed", ScheduledRun),
    ("replication.job_of_execution_stopped", StopRun),
    ("replication.job_of_policy_stopped", DisablePolicy),
    ("replication.policy_before_commit", MakePolicy),
    ("replication.policy_committed", MakePolicy),
    ("replication.manifest_pulled", PushReferrer),
    ("replication.upload_started", PushByTag),
    ("replication.blob_uploaded", PushIndex),
    ("replication.blob_mounted", PushMounted),
    ("replication.blob_remembered", PushByDigest),
    ("replication.blobs_copied", PushReferrer),
    ("replication.child_copied", PushIndex),
    ("replication.reference_claimed", PushByTag),
    ("replication.manifest_pushed", PushWithTags),
    ("replication.manifest_deleted", DeleteDigest),
    ("jobs.enqueued", DeleteTag),
    ("jobs.taken", PushByDigest),
    ("jobs.claimed", PushReferrer),
    ("jobs.ran", DeleteTag),
    ("jobs.settle_before_commit", PushIndex),
    ("jobs.settle_committed", PushWithTags),
    ("jobs.settled", DeleteDigest),
    ("jobs.rescue_before_commit", RecoverRunning),
    ("jobs.rescued", RecoverRunning),
    ("jobs.step_before_commit", StopRun),
    ("jobs.step_committed", StopRun),
    ("jobs.slot_advanced", ScheduledRun),
    ("jobs.slot_before_commit", ScheduledRun),
    ("jobs.slot_fired", ScheduledRun),
    ("jobs.swept", RecoverAnswered),
];

/// Those of blobs that go ahead of their manifest.
const TEE_POINTS: [&str; 3] = [
    "replication.tee_begun",
    "replication.tee_committed",
    "replication.tee_remembered",
];

#[test]
fn every_failpoint_of_the_source_is_driven() {
    let named = layers::names_in_source("failpoint::hit(\"");
    // The embedded registry proves its own in `src/embedded/tests/crash.rs`, large blobs in
    // `tests/it/resume.rs`, the purge of the audit log in `src/audit/purge/tests.rs`.
    let driven_here = |name: &String| {
        let elsewhere = ["embedded.", "audit.", "replication.chunk_kept"];
        !elsewhere.iter().any(|start| name.starts_with(start))
    };
    let source: BTreeSet<String> = named.into_iter().filter(driven_here).collect();
    let points = POINTS.iter().map(|(name, _)| *name).chain(TEE_POINTS);
    let driven: BTreeSet<String> = points.map(str::to_owned).collect();
    assert_eq!(source, driven);
    assert!(driven.len() >= 40, "{}", driven.len());
}

/// Kills at every `SHARES`-th failpoint, beginning with `share`: several tests run beside each other.
async fn kill_at_share(database: Database, share: usize) {
    let mut world = World::new(database).await;
    let mut report = Report::new(database);
    let is_full = std::env::var("TIDEGATE_KILL_MATRIX").is_ok_and(|value| value == "full");
    for (point, certain) in POINTS.iter().skip(share).step_by(SHARES) {
        report.add(point, *certain, world.kill_at(point, *certain, true).await);
        for operation in Operation::PUSHES_AND_DELETES {
            if is_full && operation != *certain {
                let seen = world.kill_at(point, operation, false).await;
                report.add(point, operation, seen);
            }
        }
    }
    report.print();
}

const SHARES: usize = 4;

#[tokio::test]
async fn killed_at_the_first_share_of_failpoints_on_sqlite() {
    kill_at_share(Database::Sqlite, 0).await;
}

#[tokio::test]
async fn killed_at_the_second_share_of_failpoints_on_sqlite() {
    kill_at_share(Database::Sqlite, 1).await;
}

#[tokio::test]
async fn killed_at_the_third_share_of_failpoints_on_sqlite() {
    kill_at_share(Database::Sqlite, 2).await;
}

#[tokio::test]
async fn killed_at_the_fourth_share_of_failpoints_on_sqlite() {
    kill_at_share(Database::Sqlite, 3).await;
}

#[tokio::test]
async fn killed_at_the_first_share_of_failpoints_on_postgres() {
    kill_at_share(Database::Postgres, 0).await;
}

#[tokio::test]
async fn killed_at_the_second_share_of_failpoints_on_postgres() {
    kill_at_share(Database::Postgres, 1).await;
}

#[tokio::test]
async fn killed_at_the_third_share_of_failpoints_on_postgres() {
    kill_at_share(Database::Postgres, 2).await;
}

#[tokio::test]
async fn killed_at_the_fourth_share_of_failpoints_on_postgres() {
    kill_at_share(Database::Postgres, 3).await;
}

/// Kills while blobs go ahead, during everything that pushes some.
async fn kill_in_tee(database: Database) {
    let mut world = World::teeing(database).await;
    let mut report = Report::new(database);
    for point in TEE_POINTS {
        for operation in [
            PushByTag,
            PushByDigest,
            PushWithTags,
            PushIndex,
            PushReferrer,
        ] {
            let seen = world.kill_at(point, operation, true).await;
            report.add(point, operation, seen);
        }
    }
    report.print();
}

#[tokio::test]
async fn killed_while_blobs_go_ahead_on_sqlite() {
    kill_in_tee(Database::Sqlite).await;
}

#[tokio::test]
async fn killed_while_blobs_go_ahead_on_postgres() {
    kill_in_tee(Database::Postgres).await;
}
