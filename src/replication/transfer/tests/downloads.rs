//! A source that breaks off is asked for the rest.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower::ServiceExt;

use crate::{
    oci::Digest,
    replication::{
        Status,
        testing::{Rig, name, push, push_image},
    },
    store::testing::databases,
    wire::{Body, BoxError, Exchange},
};

/// Sends half of each blob of more than one byte and breaks off; the ranges that are asked for are
/// written to `ranges`.
fn breaking(inner: Exchange, ranges: Arc<Mutex<Vec<String>>>) -> Exchange {
    Exchange::new(tower::service_fn(move |request: Request<Body>| {
        let is_blob = request.uri().path().contains("/blobs/sha256:")
            && request.method() == http::Method::GET;
        if let Some(range) = request.headers().get(header::RANGE) {
            let range = range.to_str().unwrap().to_owned();
            ranges.lock().unwrap().push(range);
        }
        let inner = inner.clone();
        async move {
            let answer = inner.oneshot(request).await?;
            if !is_blob {
                return Ok(answer);
            }
            let (head, body) = answer.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            let half = bytes.slice(..bytes.len().div_ceil(2));
            let is_whole = half.len() == bytes.len();
            let broken = (!is_whole).then(|| Err(BoxError::from("the line is cut")));
            let frames = std::iter::once(Ok(Frame::<Bytes>::data(half))).chain(broken);
            let body = StreamBody::new(futures_util::stream::iter(frames));
            Ok(http::Response::from_parts(head, Body::boxed(body)))
        }
    }))
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on_where_it_was() {
    for db in databases().await {
        let mut rig = Rig::new(db).await;
        let ranges = Arc::<Mutex<Vec<String>>>::default();
        rig.wrap_local(|inner| breaking(inner, Arc::clone(&ranges)))
            .await;
        rig.policy(|_| {}).await;
        rig.work();
        let layer = "x".repeat(1000);
        let digest = push_image(&rig.local, "a/b", "v1", &[&layer]).await;
        rig.happen(&push("a/b", "v1")).await;
        let executions = rig.settled().await;
        let log = rig.logs(executions[0].id).await;
        assert_eq!(executions[0].status, Status::Succeed, "{log}");
        assert_eq!(rig.remote.digest("a/b", "v1").await, Some(digest));
        let (repository, blob) = (name("a/b"), Digest::sha256(layer.as_bytes()));
        let there = rig.remote.client.head_blob(&repository, &blob).await;
        assert_eq!(there.unwrap(), Some(1000));
        let ranges = ranges.lock().unwrap().clone();
        for range in ["bytes=500-", "bytes=750-", "bytes=999-"] {
            assert!(ranges.iter().any(|seen| seen == range), "{ranges:?}");
        }
    }
}
