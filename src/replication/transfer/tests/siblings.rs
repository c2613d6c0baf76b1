//! Blobs on their way beside one that breaks off.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Request, header};
use tower::ServiceExt;

use crate::{
    oci::Digest,
    replication::{
        Status,
        testing::{Reply, Rig, push, push_image},
    },
    store::testing::databases,
    wire::{Body, Exchange},
};

/// Holds the blob back until another has broken off, and a moment longer.
fn late(inner: Exchange, blob: &Digest, has_broken: Arc<AtomicBool>) -> Exchange {
    let path = format!("/v2/a/b/blobs/{blob}");
    Exchange::new(tower::service_fn(move |request: Request<Body>| {
        let is_late = request.method() == http::Method::GET && request.uri().path() == path;
        let (inner, has_broken) = (inner.clone(), Arc::clone(&has_broken));
        async move {
            while is_late && !has_broken.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if is_late {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            inner.oneshot(request).await
        }
    }))
}

#[tokio::test]
async fn a_blob_under_way_arrives_though_another_breaks_off() {
    for db in databases().await {
        let mut rig = Rig::new(db).await;
        let has_broken = Arc::new(AtomicBool::new(false));
        let slow = Digest::sha256(b"slow layer");
        rig.wrap_local(|inner| late(inner, &slow, Arc::clone(&has_broken)))
            .await;
        rig.policy(|_| {}).await;
        rig.remote.script(move |ask| {
            let is_fast = ask.is_upload_of_data() && ask.headers[header::CONTENT_LENGTH] == "4";
            let breaks = is_fast && !has_broken.swap(true, Ordering::SeqCst);
            breaks.then_some(Reply::HangUp)
        });
        rig.work();
        let digest = push_image(&rig.local, "a/b", "v1", &["fast", "slow layer"]).await;
        rig.happen(&push("a/b", "v1")).await;
        let execution = rig.settled().await.remove(0);
        let log = rig.logs(execution.id).await;
        assert_eq!(execution.status, Status::Succeed, "{log}");
        assert_eq!(rig.remote.digest("a/b", "v1").await, Some(digest));
        assert!(log.contains("broke off"), "{log}");
        let again = format!("blob {slow}: 10 bytes, known at the destination");
        assert!(log.contains(&again), "{log}");
    }
}
