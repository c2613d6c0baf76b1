//! The clients people use, against the embedded registry and against CNCF distribution.

use crate::harness::{
    Distribution, Docker, Gateway, Image, Options, PASSWORD, Podman, Skopeo, Succeeds,
};

/// A gateway before each kind of registry, with a project `team`.
async fn gateways() -> Vec<(Gateway, Option<Distribution>)> {
    let distribution = Distribution::start().await;
    let before_distribution = Options {
        upstream: Some(distribution.url()),
        ..Options::default()
    };
    let gateways = vec![
        (Gateway::start().await, None),
        (Gateway::with(before_distribution).await, Some(distribution)),
    ];
    for (gateway, _) in &gateways {
        gateway.create_project("team").await;
    }
    gateways
}

#[tokio::test]
async fn skopeo_copies_inspects_lists_and_deletes() {
    for (gateway, _registry) in gateways().await {
        let image = Image::new(&[b"first layer", b"second layer"]);
        let name = format!("{}/team/app:v1", gateway.host());
        gateway.create_member("team", "maria", 4).await;
        let skopeo = Skopeo::at(&gateway, "maria");
        skopeo.push(&image, &name).succeeds();
        let inspected: serde_json::Value =
            serde_json::from_str(&skopeo.run("inspect", &name).succeeds()).unwrap();
        assert_eq!(inspected["Digest"], image.digest.as_str());
        let copy = tempfile::tempdir().unwrap();
        skopeo.pull(&name, copy.path()).succeeds();
        let blob = copy.path().join("blobs/sha256").join(image.digest.hex());
        assert!(blob.exists(), "the pulled image has another digest");
        let tags = skopeo
            .run("list-tags", name.trim_end_matches(":v1"))
            .succeeds();
        assert!(tags.contains("\"v1\""), "{tags}");
        skopeo.run("delete", &name).succeeds();
        assert!(
            !skopeo.run("inspect", &name).status.success(),
            "the image is still there"
        );
    }
}

#[tokio::test]
async fn podman_pushes_and_pulls() {
    for (gateway, _registry) in gateways().await {
        let image = Image::new(&[b"a layer"]);
        gateway.create_member("team", "dora", 2).await;
        let podman = Podman::at(&gateway);
        podman
            .run(&["login", "-u", "dora", "-p", PASSWORD, &gateway.host()])
            .succeeds();
        let pulled = podman.local(&["pull", "-q", &image.source()]).succeeds();
        let name = format!("{}/team/app:v1", gateway.host());
        podman.local(&["tag", pulled.trim(), &name]).succeeds();
        podman.run(&["push", &name]).succeeds();
        podman.local(&["rmi", "-f", pulled.trim()]).succeeds();
        podman.run(&["pull", &name]).succeeds();
    }
}

#[tokio::test]
async fn docker_logs_in_pushes_and_pulls() {
    for (gateway, _registry) in gateways().await {
        let image = Image::new(&[b"a layer", b"another layer"]);
        gateway.create_member("team", "dora", 2).await;
        let docker = Docker::start(&gateway).await;
        let wrong = docker.run(&["login", "-u", "dora", "-p", "wrong", &gateway.host()]);
        assert!(!wrong.status.success(), "a wrong password was accepted");
        let said = String::from_utf8_lossy(&wrong.stderr);
        assert!(said.contains("unauthorized"), "{said}");
        docker
            .run(&["login", "-u", "dora", "-p", PASSWORD, &gateway.host()])
            .succeeds();

        let name = format!("{}/team/app:v1", gateway.host());
        let archive = tempfile::tempdir().unwrap();
        let archive = archive.path().join("image.tar");
        let target = format!("docker-archive:{}:{name}", archive.display());
        let copy = std::process::Command::new("skopeo")
            .args(["copy", &image.source(), &target])
            .output();
        copy.unwrap().succeeds();
        docker
            .run(&["load", "-i", archive.to_str().unwrap()])
            .succeeds();
        docker.run(&["push", &name]).succeeds();
        docker.run(&["rmi", &name]).succeeds();
        docker.run(&["pull", &name]).succeeds();

        let elsewhere = format!("{}/other/app:v1", gateway.host());
        docker.run(&["tag", &name, &elsewhere]).succeeds();
        assert!(
            !docker.run(&["push", &elsewhere]).status.success(),
            "pushed without a role"
        );
    }
}

#[tokio::test]
async fn a_guest_pulls_but_does_not_push() {
    let gateway = Gateway::start().await;
    gateway.create_project("team").await;
    let image = Image::new(&[b"a layer"]);
    let name = format!("{}/team/app:v1", gateway.host());
    Skopeo::at(&gateway, "admin").push(&image, &name).succeeds();
    gateway.create_member("team", "gil", 3).await;
    let guest = Skopeo::at(&gateway, "gil");
    guest.run("inspect", &name).succeeds();
    let refused = guest.push(&Image::new(&[b"other"]), &name);
    assert!(!refused.status.success(), "a guest has pushed");
    assert!(
        !guest.run("delete", &name).status.success(),
        "a guest has deleted"
    );
}

#[tokio::test]
async fn anybody_pulls_from_a_public_project() {
    let gateway = Gateway::start().await;
    let public = serde_json::json!({ "project_name": "open", "metadata": { "public": "true" } });
    gateway
        .admin()
        .post("/api/v2.0/projects", &public)
        .await
        .expect(201);
    let image = Image::new(&[b"a layer"]);
    let name = format!("{}/open/app:v1", gateway.host());
    Skopeo::at(&gateway, "admin").push(&image, &name).succeeds();
    let token = gateway
        .token(None, &["repository:open/app:pull,push"])
        .await;
    token.get("/v2/open/app/manifests/v1").await.expect(200);
    let upload = token
        .send(
            http::Method::POST,
            "/v2/open/app/blobs/uploads/",
            &[],
            bytes::Bytes::new(),
        )
        .await;
    upload.expect(401);
}
