use std::time::Duration;

use super::{Awaited, Progress, Standing};
use crate::{
    oci::{Digest, Reference},
    replication::{
        Error,
        testing::{Reply, Rig, eventually, name, push, push_image},
    },
    store::testing::databases,
};

const LONG: Duration = Duration::from_secs(20);

fn tag(tag: &str) -> Awaited {
    Awaited {
        repository: name("library/app"),
        reference: Reference::Tag(tag.parse().unwrap()),
        digest: None,
        policy: None,
    }
}

async fn progress(rig: &Rig, awaited: &Awaited) -> Progress {
    let standing = rig.replication.wait(awaited, Duration::ZERO).await;
    standing.unwrap().targets[0].progress
}

#[tokio::test]
async fn who_waits_is_told_when_it_is_there() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let policy = rig.policy(|_| {}).await;
        let digest = push_image(&rig.local, "library/app", "v1", &["layer"]).await;
        let awaited = tag("v1");
        assert_eq!(progress(&rig, &awaited).await, Progress::Missing);
        rig.happen(&push("library/app", "v1")).await;
        assert_eq!(progress(&rig, &awaited).await, Progress::Waiting);
        let waiting = rig.replication.clone();
        let waiting = tokio::spawn(async move { waiting.wait(&awaited, LONG).await });
        rig.work();
        let standing: Standing = waiting.await.unwrap().unwrap();
        assert!(standing.is_complete(), "{standing:?}");
        assert_eq!(standing.digest, digest);
        assert_eq!(standing.targets[0].policy, policy);
        assert!(standing.targets[0].job.is_some());
        assert_eq!(rig.remote.digest("library/app", "v1").await, Some(digest));
    }
}

#[tokio::test]
async fn what_nobody_brings_is_not_waited_for() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let policy = rig.policy(|_| {}).await;
        push_image(&rig.local, "library/app", "v1", &["layer"]).await;
        rig.happen(&push("library/app", "v1")).await;
        let other = Awaited {
            digest: Some(Digest::sha256(b"another")),
            ..tag("v1")
        };
        let stopped = eventually(async || {
            let execution = rig.all_executions().await.pop()?;
            rig.tasks(execution.id).await.pop()
        })
        .await;
        rig.jobs.stop(stopped.job_id).await.unwrap();
        let standing = rig.replication.wait(&tag("v1"), LONG).await.unwrap();
        assert_eq!(standing.targets[0].progress, Progress::Missing);
        assert_eq!(standing.targets[0].job, Some(stopped.job_id));
        rig.jobs.retry(stopped.job_id).await.unwrap();
        rig.work();
        assert!(
            rig.replication
                .wait(&tag("v1"), LONG)
                .await
                .unwrap()
                .is_complete()
        );
        let standing = rig.replication.wait(&other, LONG).await.unwrap();
        assert_eq!(standing.targets[0].progress, Progress::Missing);
        assert!(
            standing.targets[0].message.contains("sha256:"),
            "{standing:?}"
        );

        let gone = rig.replication.wait(&tag("none"), LONG).await.unwrap_err();
        assert!(matches!(gone, Error::NotHere { .. }), "{gone}");
        let elsewhere = Awaited {
            policy: Some(crate::replication::PolicyId(policy.0 + 1)),
            ..tag("v1")
        };
        let unwanted = rig.replication.wait(&elsewhere, LONG).await.unwrap_err();
        assert!(matches!(unwanted, Error::NotMirrored(_)), "{unwanted}");
    }
}

#[tokio::test]
async fn nobody_waits_for_longer_than_the_process_lives() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        push_image(&rig.local, "library/app", "v1", &["layer"]).await;
        rig.remote.script(|_| Some(Reply::not_so_fast()));
        rig.happen(&push("library/app", "v1")).await;
        rig.work();
        let (replication, awaited) = (rig.replication.clone(), tag("v1"));
        let hours = Duration::from_hours(1);
        let waiting = tokio::spawn(async move { replication.wait(&awaited, hours).await });
        rig.shut_down();
        let standing = tokio::time::timeout(LONG, waiting).await.unwrap();
        assert!(standing.unwrap().unwrap().is_under_way());
    }
}
