use bytes::Bytes;
use http_body_util::channel::Channel;

use super::Fixture;
use crate::{
    embedded::{Config, Durability},
    oci::{Algorithm, Digest},
    wire::{Body, BoxError},
};

#[tokio::test]
async fn an_upload_tells_how_far_it_has_come() {
    let fixture = Fixture::new();
    let location = fixture.begin("a/b").await;
    for method in ["GET", "HEAD"] {
        let reply = fixture.ask(&format!("{method} {location}")).await;
        assert_eq!(reply.is(204).header("range"), "0-0");
    }
    let patch = format!("PATCH {location}");
    let reply = fixture.send(&patch, &[], "12345").await;
    assert_eq!(reply.is(202).header("range"), "0-4");
    assert_eq!(reply.header("location"), location);
    let id = location.rsplit('/').next().unwrap();
    assert_eq!(reply.header("docker-upload-uuid"), id);
    let reply = fixture.ask(&format!("GET {location}")).await;
    assert_eq!(reply.is(204).header("range"), "0-4");
    assert_eq!(reply.header("location"), location);
}

#[tokio::test]
async fn a_chunk_out_of_order_is_refused_and_the_upload_goes_on() {
    let fixture = Fixture::new();
    let location = fixture.begin("a/b").await;
    let patch = format!("PATCH {location}");
    fixture
        .send(&patch, &[("content-range", "0-4")], "12345")
        .await
        .is(202);
    let digest = Digest::sha256(b"1234567890");
    let put = format!("PUT {location}?digest={digest}");
    for target in [&patch, &put] {
        for range in [
            "0-4",
            "6-10",
            "4-8",
            "nonsense",
            "9-5",
            "18446744073709551615-0",
        ] {
            let reply = fixture
                .send(target, &[("content-range", range)], "67890")
                .await;
            reply.refuses(416, "RANGE_INVALID");
            assert_eq!(reply.header("location"), location);
            assert_eq!(reply.header("range"), "0-4");
        }
    }
    let last = [("content-range", "5-9")];
    fixture.send(&put, &last, "67890").await.is(201);
}

#[tokio::test]
async fn a_chunk_of_another_length_than_announced_leaves_the_upload_as_it_was() {
    let fixture = Fixture::new();
    let location = fixture.begin("a/b").await;
    let patch = format!("PATCH {location}");
    fixture.send(&patch, &[], "12345").await.is(202);
    let announced: &[&[(&str, &str)]] = &[
        &[("content-range", "5-9"), ("content-length", "4")],
        &[("content-range", "5-9")],
        &[("content-range", "5-5")],
        &[("content-range", "5-600000")],
    ];
    for headers in announced {
        let reply = fixture.send(&patch, headers, "abcd").await;
        reply.refuses(400, "SIZE_INVALID");
        let status = fixture.ask(&format!("GET {location}")).await;
        assert_eq!(status.header("range"), "0-4", "{headers:?}");
    }
    let digest = Digest::sha256(b"1234567890");
    let put = format!("PUT {location}?digest={digest}");
    fixture.send(&put, &[], "67890").await.is(201);
}

#[tokio::test]
async fn an_upload_outlives_the_process() {
    let mut fixture = Fixture::new();
    let content: Vec<u8> = (0..700_000_u32).map(|n| (n % 253) as u8).collect();
    let location = fixture.begin("a/b").await;
    let patch = format!("PATCH {location}");
    fixture
        .send(&patch, &[], content[..400_000].to_vec())
        .await
        .is(202);
    fixture.reopen();
    let status = fixture.ask(&format!("GET {location}")).await;
    assert_eq!(status.is(204).header("range"), "0-399999");
    let digest = Digest::sha256(&content);
    let put = format!("PUT {location}?digest={digest}");
    let headers = [("content-range", "400000-699999")];
    fixture
        .send(&put, &headers, content[400_000..].to_vec())
        .await
        .is(201);
    let blob = fixture.ask(&format!("GET /v2/a/b/blobs/{digest}")).await;
    assert!(blob.is(200).body == content);
}

#[tokio::test]
async fn uploads_beyond_those_kept_open_go_on_from_their_files() {
    let mut fixture = Fixture::new();
    fixture.reopen_with(&Config {
        durability: Durability::Cached,
        open_uploads: 0,
        ..Config::default()
    });
    let location = fixture.begin("a/b").await;
    for part in ["12", "345", "6"] {
        let patch = format!("PATCH {location}");
        fixture.send(&patch, &[], part).await.is(202);
    }
    let digest = Digest::sha256(b"123456");
    fixture
        .ask(&format!("PUT {location}?digest={digest}"))
        .await
        .is(201);
}

#[tokio::test]
async fn what_came_before_the_connection_broke_is_kept() {
    let fixture = Fixture::new();
    let location = fixture.begin("a/b").await;
    let (mut sender, body) = Channel::<Bytes, BoxError>::new(2);
    sender
        .send_data(Bytes::from_static(b"12345"))
        .await
        .unwrap();
    sender.abort("reset by peer".into());
    let patch = format!("PATCH {location}");
    let reply = fixture.send(&patch, &[], Body::boxed(body)).await;
    reply.refuses(400, "SIZE_INVALID");
    let status = fixture.ask(&format!("GET {location}")).await;
    assert_eq!(status.is(204).header("range"), "0-4");
    let digest = Digest::sha256(b"1234567890");
    let put = format!("PUT {location}?digest={digest}");
    fixture
        .send(&put, &[("content-range", "5-9")], "67890")
        .await
        .is(201);
}

#[tokio::test]
async fn a_request_that_is_dropped_gives_its_upload_back() {
    let fixture = Fixture::new();
    let location = fixture.begin("a/b").await;
    let (mut sender, body) = Channel::<Bytes, BoxError>::new(1);
    sender
        .send_data(Bytes::from(vec![1; 600_000]))
        .await
        .unwrap();
    let patch = format!("PATCH {location}");
    {
        let sending = fixture.send(&patch, &[], Body::boxed(body));
        let mut sending = std::pin::pin!(sending);
        // It waits for more of the body once it has taken what there is.
        while sender.capacity() == 0 {
            assert!(futures_util::poll!(sending.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
    }
    // The last chunk may still be on its way to the disk.
    let offset = loop {
        let reply = fixture.send(&patch, &[], "").await;
        match reply.status.as_u16() {
            202 => break reply.header("range").to_owned(),
            _ => reply.refuses(416, "RANGE_INVALID"),
        };
        tokio::task::yield_now().await;
    };
    let written: usize = offset.trim_start_matches("0-").parse().unwrap();
    let rest = vec![1; 600_000 - (written + 1).min(600_000)];
    let digest = Digest::sha256(&vec![1; 600_000]);
    let put = format!("PUT {location}?digest={digest}");
    fixture.send(&put, &[], rest).await.is(201);
}

#[tokio::test]
async fn of_two_requests_for_one_upload_one_writes_and_the_other_is_refused() {
    let fixture = Fixture::new();
    let location = fixture.begin("a/b").await;
    let patch = format!("PATCH {location}");
    let (mut sender, body) = Channel::<Bytes, BoxError>::new(1);
    sender
        .send_data(Bytes::from_static(b"12345"))
        .await
        .unwrap();
    let digest = Digest::sha256(b"12345");
    let put = format!("PUT {location}?digest={digest}");
    let first = fixture.send(&patch, &[], Body::boxed(body));
    let others = async {
        while sender.capacity() == 0 {
            tokio::task::yield_now().await;
        }
        for target in [&patch, &put] {
            let reply = fixture.send(target, &[], "67890").await;
            reply.refuses(416, "RANGE_INVALID");
            assert_eq!(reply.header("location"), location);
        }
        drop(sender);
    };
    let (reply, ()) = tokio::join!(first, others);
    assert_eq!(reply.is(202).header("range"), "0-4");
    fixture.ask(&put).await.is(201);
}

#[tokio::test]
async fn a_cancelled_upload_is_gone() {
    let fixture = Fixture::new();
    let location = fixture.begin("a/b").await;
    fixture
        .send(&format!("PATCH {location}"), &[], "12345")
        .await
        .is(202);
    fixture.ask(&format!("DELETE {location}")).await.is(204);
    for method in ["GET", "PATCH", "DELETE"] {
        let reply = fixture.ask(&format!("{method} {location}")).await;
        reply.refuses(404, "BLOB_UPLOAD_UNKNOWN");
    }
    assert_eq!(
        std::fs::read_dir(fixture.root().join("uploads"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn an_upload_cancelled_while_it_is_written_is_refused_at_its_end() {
    let fixture = Fixture::new();
    let location = fixture.begin("a/b").await;
    let (mut sender, body) = Channel::<Bytes, BoxError>::new(1);
    sender
        .send_data(Bytes::from_static(b"12345"))
        .await
        .unwrap();
    let patch = format!("PATCH {location}");
    let writing = fixture.send(&patch, &[], Body::boxed(body));
    let cancelling = async {
        while sender.capacity() == 0 {
            tokio::task::yield_now().await;
        }
        fixture.ask(&format!("DELETE {location}")).await.is(204);
        drop(sender);
    };
    let (reply, ()) = tokio::join!(writing, cancelling);
    reply.refuses(404, "BLOB_UPLOAD_UNKNOWN");
    fixture.ask(&format!("GET {location}")).await.is(404);
}

#[tokio::test]
async fn an_upload_whose_digest_does_not_match_ends_with_nothing_stored() {
    let fixture = Fixture::new();
    let claimed = Digest::sha256(b"claimed");
    let location = fixture.begin("a/b").await;
    let put = format!("PUT {location}?digest={claimed}");
    fixture
        .send(&put, &[], "sent")
        .await
        .refuses(400, "DIGEST_INVALID");
    let once = format!("POST /v2/a/b/blobs/uploads/?digest={claimed}");
    fixture
        .send(&once, &[], "sent")
        .await
        .refuses(400, "DIGEST_INVALID");
    for digest in [claimed, Digest::sha256(b"sent")] {
        let head = format!("HEAD /v2/a/b/blobs/{digest}");
        fixture.ask(&head).await.is(404);
    }
    assert_eq!(
        std::fs::read_dir(fixture.root().join("uploads"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn sha512_is_served_whenever_the_client_says_so() {
    let fixture = Fixture::new();
    let digest = Digest::of(Algorithm::Sha512, b"12345");
    let start = "POST /v2/a/first/blobs/uploads/?digest-algorithm=sha512";
    let first = fixture
        .ask(start)
        .await
        .is(202)
        .header("location")
        .to_owned();
    // Not announced: what came before is hashed again.
    let second = fixture.begin("a/second").await;
    for location in [first, second] {
        let patch = format!("PATCH {location}");
        fixture.send(&patch, &[], "123").await.is(202);
        let put = format!("PUT {location}?digest={digest}");
        fixture.send(&put, &[], "45").await.is(201);
    }
    let once = format!("POST /v2/a/third/blobs/uploads/?digest={digest}");
    fixture.send(&once, &[], "12345").await.is(201);
    for name in ["a/first", "a/second", "a/third"] {
        let blob = fixture.ask(&format!("GET /v2/{name}/blobs/{digest}")).await;
        assert_eq!(blob.is(200).body, b"12345");
        assert_eq!(blob.header("docker-content-digest"), digest.as_str());
    }
}

#[tokio::test]
async fn an_upload_in_one_request_leaves_nothing_when_the_client_goes_away() {
    let fixture = Fixture::new();
    let uploads = fixture.root().join("uploads");
    let in_progress = || std::fs::read_dir(&uploads).unwrap().count();
    let digest = Digest::sha256(b"12345");
    let post = format!("POST /v2/a/b/blobs/uploads/?digest={digest}");
    let (mut sender, body) = Channel::<Bytes, BoxError>::new(1);
    sender.send_data(Bytes::from_static(b"123")).await.unwrap();
    {
        let sending = fixture.send(&post, &[], Body::boxed(body));
        let mut sending = std::pin::pin!(sending);
        while sender.capacity() == 0 {
            assert!(futures_util::poll!(sending.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
        assert_eq!(in_progress(), 1);
    }
    while in_progress() > 0 {
        tokio::task::yield_now().await;
    }
}
