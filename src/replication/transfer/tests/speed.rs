//! Limits of speed that change while a copy runs.

use std::time::{Duration, Instant};

use crate::{
    replication::{
        Config, Origin, RegistryChange, RegistryId, Status,
        testing::{Rig, push, push_image},
    },
    store::{Listing, testing::databases},
};

/// The only registry of the rig.
async fn target(rig: &Rig) -> RegistryId {
    let page = rig.replication.registries(&Listing::default()).await;
    page.unwrap().items[0].id
}

fn speed(kbps: u32) -> RegistryChange {
    RegistryChange {
        speed_kbps: Some(kbps),
        ..RegistryChange::default()
    }
}

/// Pushes an image with a layer of so many KiB, which differs from all others, and a configuration
/// that is as large.
async fn happens(rig: &Rig, tag: &str, kib: usize) {
    let layer = tag.repeat(kib * 1024 / tag.len());
    push_image(&rig.local, "a/b", tag, &[&layer]).await;
    rig.happen(&push("a/b", tag)).await;
}

#[tokio::test]
async fn all_copies_to_a_target_share_its_speed() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        // 512 KiB a second, for which no ping is needed.
        let target = target(&rig).await;
        rig.remote.script(|_| panic!("nobody asks"));
        rig.replication
            .update_registry(target, speed(4096))
            .await
            .unwrap();
        assert_eq!(
            rig.replication.registry(target).await.unwrap().speed_kbps,
            Some(4096)
        );
        rig.remote.mend();
        assert!(
            rig.replication
                .tee(&"a/b".parse().unwrap(), &Origin::default())
                .is_none()
        );
        happens(&rig, "v1", 512).await;
        happens(&rig, "v2", 512).await;
        let begun = Instant::now();
        rig.work();
        for execution in rig.settled().await {
            assert_eq!(execution.status, Status::Succeed);
        }
        // Two MiB in all. More is no fault of the limit: the machine may be busy.
        let took = begun.elapsed();
        assert!(took > Duration::from_millis(3800), "{took:?}");
    }
}

#[tokio::test]
async fn a_limit_that_another_instance_lifts_holds_a_copy_no_longer() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        let target = target(&rig).await;
        rig.replication
            .update_registry(target, speed(8))
            .await
            .unwrap();
        rig.work();
        // At that speed it would take half an hour.
        happens(&rig, "v1", 2048).await;
        crate::replication::testing::eventually(async || {
            (!rig.remote.requests("PUT ").is_empty()).then_some(())
        })
        .await;
        let other = rig.another(Config::default()).await;
        other.update_registry(target, speed(0)).await.unwrap();
        let execution = rig.settled().await.remove(0);
        let log = rig.logs(execution.id).await;
        assert_eq!(execution.status, Status::Succeed, "{log}");
        assert_eq!(
            rig.replication.registry(target).await.unwrap().speed_kbps,
            None
        );
    }
}
