//! Clients push while it runs.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{HOUR, age, assert_blob, bytes_on_disk, collect, delete, now};
use crate::{
    embedded::{
        Collection,
        tests::{Fixture, fixture::image},
    },
    oci::Digest,
};

/// What a client does until its image is there; how often it had to begin.
async fn push(fixture: &Fixture, name: &str, layer: &[u8], from: &str) -> u32 {
    let mut attempts = 1;
    loop {
        for content in [&b"{}"[..], layer] {
            let digest = Digest::sha256(content);
            let head = format!("HEAD /v2/{name}/blobs/{digest}");
            let mount = format!("POST /v2/{name}/blobs/uploads/?mount={digest}&from={from}");
            let is_there =
                fixture.ask(&head).await.status == 200 || fixture.ask(&mount).await.status == 201;
            if !is_there {
                fixture.push_blob(name, content).await;
            }
        }
        let put = fixture.put_manifest(name, "v1", &image(layer, "")).await;
        if put.status == 201 {
            return attempts;
        }
        put.refuses(400, "MANIFEST_BLOB_UNKNOWN");
        attempts += 1;
    }
}

/// Each pusher has a repository of its own; the content is everybody's.
async fn push_and_delete(fixture: &Fixture, pusher: u32, round: u32) {
    let (name, neighbour) = (format!("a/{pusher}"), format!("a/{}", (pusher + 1) % 4));
    let layer = format!("{}", (round + pusher) % 3);
    push(fixture, &name, layer.as_bytes(), &neighbour).await;
    let manifest = format!("GET /v2/{name}/manifests/v1");
    fixture.ask(&manifest).await.is(200);
    for content in [&b"{}"[..], layer.as_bytes()] {
        assert_blob(fixture, &name, content, 200).await;
    }
    let json = image(layer.as_bytes(), "");
    delete(fixture, &name, &Digest::sha256(json.as_bytes())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn images_pushed_while_it_runs_are_whole() {
    let fixture = Arc::new(Fixture::new());
    let done = CancellationToken::new();
    let pushers = (0..4).map(|pusher| {
        let fixture = fixture.clone();
        tokio::spawn(async move {
            for round in 0..40 {
                push_and_delete(&fixture, pusher, round).await;
            }
        })
    });
    let pushers: Vec<_> = pushers.collect();
    let collecting = async {
        let mut runs = 0;
        while !done.is_cancelled() {
            let quarantine = HOUR * (runs % 2);
            let collection = Collection {
                quarantine,
                ..now()
            };
            collect(&fixture, collection).await;
            runs += 1;
        }
        runs
    };
    let pushing = async {
        for pusher in pushers {
            pusher.await.unwrap();
        }
        done.cancel();
    };
    let (runs, ()) = tokio::join!(collecting, pushing);
    assert!(runs > 2, "{runs}");
    collect(&fixture, now()).await;
    assert_eq!(bytes_on_disk(&fixture), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_pushes_twice_within_the_window() {
    let fixture = Fixture::new();
    let done = CancellationToken::new();
    let collecting = async {
        let window = HOUR;
        while !done.is_cancelled() {
            collect(&fixture, Collection { window, ..now() }).await;
        }
    };
    let pushing = async {
        for round in 0..60 {
            let layer = format!("{}", round % 3);
            let attempts = push(&fixture, "a/b", layer.as_bytes(), "a/c").await;
            assert_eq!(attempts, 1);
            let digest = Digest::sha256(image(layer.as_bytes(), "").as_bytes());
            delete(&fixture, "a/b", &digest).await;
            age(&fixture);
        }
        done.cancel();
    };
    tokio::join!(collecting, pushing);
}
