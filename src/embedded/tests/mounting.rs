use super::Fixture;
use crate::oci::Digest;

#[tokio::test]
async fn a_blob_is_mounted_from_a_repository_that_has_it() {
    let fixture = Fixture::new();
    let digest = fixture.push_blob("a/source", b"layer").await;
    let mount = format!("POST /v2/a/target/blobs/uploads/?mount={digest}&from=a%2Fsource");
    let reply = fixture.ask(&mount).await;
    assert_eq!(
        reply.is(201).header("location"),
        format!("/v2/a/target/blobs/{digest}")
    );
    assert_eq!(reply.header("docker-content-digest"), digest.as_str());
    let blob = fixture
        .ask(&format!("GET /v2/a/target/blobs/{digest}"))
        .await;
    assert_eq!(blob.is(200).body, b"layer");
}

#[tokio::test]
async fn what_cannot_be_mounted_becomes_an_upload() {
    let fixture = Fixture::new();
    let digest = fixture.push_blob("a/source", b"layer").await;
    fixture.push_blob("a/other", b"x").await;
    let absent = Digest::sha256(b"absent");
    for query in [
        format!("mount={digest}"),
        format!("mount={digest}&from=a/other"),
        format!("mount={digest}&from=nowhere"),
        format!("mount={absent}&from=a/source"),
    ] {
        let reply = fixture
            .ask(&format!("POST /v2/a/target/blobs/uploads/?{query}"))
            .await;
        let location = reply.is(202).header("location").to_owned();
        let head = format!("HEAD /v2/a/target/blobs/{digest}");
        fixture.ask(&head).await.is(404);
        fixture.ask(&format!("GET {location}")).await.is(204);
    }
}

#[tokio::test]
async fn a_deleted_blob_cannot_be_mounted() {
    let fixture = Fixture::new();
    let digest = fixture.push_blob("a/source", b"layer").await;
    fixture
        .ask(&format!("DELETE /v2/a/source/blobs/{digest}"))
        .await
        .is(202);
    let mount = format!("POST /v2/a/target/blobs/uploads/?mount={digest}&from=a/source");
    fixture.ask(&mount).await.is(202);
}
