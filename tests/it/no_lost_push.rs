//! Killing the gateway at any of its failpoints loses no replication of a push the registry has.

use crate::harness::{Database, Distribution, Gateway, Image, Options, Skopeo, until};

/// Where the process is killed, between two durable effects of a push.
const FAILPOINTS: &[&str] = &[
    "replication.intent_committed",
    "proxy.change_intended",
    "proxy.upstream_answered",
    "replication.confirm_before_commit",
    "replication.confirm_after_commit",
    "jobs.claimed",
    "replication.blob_uploaded",
    "replication.manifest_pushed",
    "jobs.ran",
    "jobs.settled",
];

#[tokio::test]
async fn a_gateway_killed_at_a_failpoint_still_mirrors_the_push_on_sqlite() {
    for failpoint in FAILPOINTS {
        push_and_die_at(Database::Sqlite, failpoint).await;
    }
}

#[tokio::test]
async fn a_gateway_killed_at_a_failpoint_still_mirrors_the_push_on_postgres() {
    for failpoint in FAILPOINTS {
        push_and_die_at(Database::Postgres, failpoint).await;
    }
}

async fn push_and_die_at(database: Database, failpoint: &str) {
    let (source, target) = (Distribution::start().await, Distribution::start().await);
    let options = Options {
        database: Some(database),
        upstream: Some(source.url()),
        ..Options::default()
    };
    let mut gateway = Gateway::with(options).await;
    gateway.create_project("team").await;
    let policy = gateway.mirror_to(&target.url()).await;
    gateway.restart_to_die_at(failpoint).await;

    let image = Image::new(&[failpoint.as_bytes()]);
    let name = format!("{}/team/app:v1", gateway.host());
    // The client may or may not see its push succeed; the registry decides what is true.
    drop(Skopeo::at(&gateway, "admin").push(&image, &name));
    let status = gateway.process().wait().await;
    assert!(!status.success(), "{failpoint}: the process was not killed");

    let mut stored = source.digest("team/app", "v1").await;
    gateway.restart().await;
    if stored.is_none() {
        // Killed before the registry had it: the client would push again.
        drop(Skopeo::at(&gateway, "admin").push(&image, &name));
        stored = source.digest("team/app", "v1").await;
    }
    assert_eq!(
        stored.as_deref(),
        Some(image.digest.as_str()),
        "{failpoint}"
    );
    until("the mirror has the push", async || {
        (target.digest("team/app", "v1").await == stored).then_some(())
    })
    .await;
    gateway.until_mirrored(policy).await;
}
