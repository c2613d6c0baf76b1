//! What is pushed at the registry behind without the gateway is mirrored when the registry tells.

use bytes::Bytes;
use http::Method;

use crate::harness::{Distribution, Gateway, Image, Options, Skopeo, Succeeds, free_port, until};

#[tokio::test]
async fn a_push_past_the_gateway_is_mirrored_and_one_through_it_only_once() {
    let target = Distribution::start().await;
    let port = free_port();
    // The registry needs the gateway's address and CA before it starts.
    let mut gateway = Gateway::with_upstream_away(Options {
        upstream: Some(format!("http://127.0.0.1:{port}")),
        extra: "[notifications]\nsecret = \"s3cret\"\n[replication]\nunknown_after_seconds = 1\n\
                [proxy.cache]\nmax_age_seconds = 3600\n"
            .to_owned(),
        ..Options::default()
    })
    .await;
    let source = Distribution::notifying(port, &gateway, "s3cret").await;
    gateway.until_ready().await;
    gateway.create_project("team").await;
    let policy = gateway.mirror_to(&target.url()).await;

    let image = Image::new(&[b"a layer"]);
    let name = format!("{}/team/app:v1", gateway.host());
    Skopeo::at(&gateway, "admin").push(&image, &name).succeeds();
    gateway.until_mirrored(policy).await;

    let registry = source.http();
    let accept = [("accept", tidegate::oci::MANIFEST_MEDIA_TYPES)];
    let path = "/v2/team/app/manifests/v1";
    let manifest = registry.send(Method::GET, path, &accept, Bytes::new());
    let manifest = manifest.await.expect(200);
    let media_type = [("content-type", manifest.header("content-type"))];
    let path = "/v2/team/app/manifests/v2";
    let put = registry.send(Method::PUT, path, &media_type, manifest.body.clone());
    put.await.expect(201);
    let digest = Some(image.digest.to_string());
    until("the mirror has the new tag", async || {
        (target.digest("team/app", "v2").await == digest).then_some(())
    })
    .await;
    // Events come in order: that of the push through the gateway has been heard.
    let executions = gateway.until_mirrored(policy).await;
    let mut copies = Vec::new();
    for execution in executions.as_array().unwrap() {
        let path = format!("/api/v2.0/replication/executions/{}/tasks", execution["id"]);
        let tasks = gateway.admin().get(&path).await.expect(200).json();
        copies.extend(tasks.as_array().unwrap().clone());
    }
    let of_v1 = |task: &&serde_json::Value| task["src_resource"] == "team/app:v1";
    assert_eq!(copies.iter().filter(of_v1).count(), 1, "{copies:#?}");

    let reader = gateway
        .token(Some("admin"), &["repository:team/app:pull"])
        .await;
    let pull = || {
        reader.send(
            Method::GET,
            "/v2/team/app/manifests/v2",
            &accept,
            Bytes::new(),
        )
    };
    pull().await.expect(200);

    let path = format!("/v2/team/app/manifests/{}", image.digest);
    let deleted = registry.send(Method::DELETE, &path, &[], Bytes::new());
    deleted.await.expect(202);
    until("the gateway has it no more, whatever it kept", async || {
        (pull().await.status == 404).then_some(())
    })
    .await;
    until("the mirror has it no more", async || {
        target
            .digest("team/app", "v1")
            .await
            .is_none()
            .then_some(())
    })
    .await;
}
