//! What projects hold, seen and changed through Harbor's API, in front of a real distribution,
//! which deletes digests only, and of the embedded registry.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::harness::{
    Distribution, Gateway, Http, Image, Options, PASSWORD, Skopeo, rule_for_tags, until,
};

const REPOSITORY: &str = "/api/v2.0/projects/library/repositories/app";

async fn column(http: &Http, path: &str, field: &str) -> Vec<String> {
    let rows = http.get(path).await.expect(200).json();
    let mut values: Vec<String> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row[field].as_str().unwrap().to_owned())
        .collect();
    values.sort();
    values
}

async fn gateways() -> Vec<(Gateway, Option<Distribution>)> {
    let distribution = Distribution::start().await;
    let options = Options {
        upstream: Some(distribution.url()),
        ..Options::default()
    };
    vec![
        (Gateway::start().await, None),
        (Gateway::with(options).await, Some(distribution)),
    ]
}

#[tokio::test]
async fn a_tag_is_deleted_and_its_siblings_stay() {
    for (gateway, _distribution) in gateways().await {
        let (admin, skopeo) = (gateway.admin(), Skopeo::at(&gateway, "admin"));
        let image = Image::new(&[b"one"]);
        for tag in ["v1", "v2"] {
            let pushed = skopeo.push(&image, &format!("{}/library/app:{tag}", gateway.host()));
            assert!(pushed.status.success(), "{pushed:?}");
        }
        let tags = format!("{REPOSITORY}/artifacts/{}/tags", image.digest);
        assert_eq!(column(&admin, &tags, "name").await, ["v1", "v2"]);
        admin.delete(&format!("{tags}/v1")).await.expect(200);
        assert_eq!(column(&admin, &tags, "name").await, ["v2"]);
        assert_eq!(gateway.registry_tags("library/app").await, ["v2"]);
        let digests = column(&admin, &format!("{REPOSITORY}/artifacts"), "digest").await;
        assert_eq!(digests, [image.digest.to_string()]);
        // The image is whole.
        let directory = tempfile::tempdir().unwrap();
        let pulled = skopeo.pull(
            &format!("{}/library/app:v2", gateway.host()),
            &directory.path().join("image"),
        );
        assert!(pulled.status.success(), "{pulled:?}");
        let tagged = admin.post(&tags, &json!({ "name": "v3" })).await;
        tagged.expect(201);
        assert_eq!(gateway.registry_tags("library/app").await, ["v2", "v3"]);
        let gone = format!("{REPOSITORY}/artifacts/v2");
        admin.delete(&gone).await.expect(200);
        admin.get(&gone).await.expect(404);
        assert!(gateway.registry_tags("library/app").await.is_empty());
    }
}

#[tokio::test]
async fn an_immutable_tag_stays_what_it_is() {
    for (gateway, _distribution) in gateways().await {
        let (admin, skopeo) = (gateway.admin(), Skopeo::at(&gateway, "admin"));
        let (one, two) = (Image::new(&[b"one"]), Image::new(&[b"two"]));
        let name = |tag: &str| format!("{}/library/app:{tag}", gateway.host());
        for tag in ["v1", "latest"] {
            assert!(skopeo.push(&one, &name(tag)).status.success());
        }
        let rules = "/api/v2.0/projects/library/immutabletagrules";
        admin.post(rules, &rule_for_tags("v*")).await.expect(201);
        let refused = skopeo.push(&two, &name("v1"));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && said.contains("immutable"),
            "{said}"
        );
        // The same again is no change; other tags are free, and so are new ones, once.
        for (image, tag) in [(&one, "v1"), (&two, "latest"), (&two, "v2"), (&two, "v2")] {
            let pushed = skopeo.push(image, &name(tag));
            assert!(pushed.status.success(), "{tag}: {pushed:?}");
        }
        assert!(!skopeo.push(&one, &name("v2")).status.success());
        let tag = format!("{REPOSITORY}/artifacts/v1/tags/v1");
        let message = admin.delete(&tag).await.expect(412).text();
        assert!(message.contains("immutable"), "{message}");
        admin
            .delete(&format!("{REPOSITORY}/artifacts/v1"))
            .await
            .expect(412);
        admin.delete(REPOSITORY).await.expect(412);
        assert!(!skopeo.run("delete", &name("v1")).status.success());
        assert_eq!(
            gateway.registry_tags("library/app").await,
            ["latest", "v1", "v2"]
        );
    }
}

#[tokio::test]
async fn an_artifact_is_copied_without_its_blobs_moving() {
    for (gateway, distribution) in gateways().await {
        let (admin, skopeo) = (gateway.admin(), Skopeo::at(&gateway, "admin"));
        gateway.create_project("team").await;
        let image = Image::new(&[b"layer of some weight"]);
        let pushed = skopeo.push(&image, &format!("{}/library/app:v1", gateway.host()));
        assert!(pushed.status.success(), "{pushed:?}");
        let copies = "/api/v2.0/projects/team/repositories/group%252Fapp/artifacts";
        let from = format!("{copies}?from=library/app:v1");
        admin.post(&from, &Value::Null).await.expect(201);
        let digests = column(&admin, copies, "digest").await;
        assert_eq!(digests, [image.digest.to_string()]);
        if let Some(distribution) = &distribution {
            let uploads = distribution.requests("PUT /v2/team/group/app/blobs/uploads");
            assert!(uploads.is_empty(), "{uploads:?}");
        }
        let directory = tempfile::tempdir().unwrap();
        let pulled = skopeo.pull(
            &format!("{}/team/group/app:v1", gateway.host()),
            &directory.path().join("image"),
        );
        assert!(pulled.status.success(), "{pulled:?}");
    }
}

#[tokio::test]
async fn a_registry_that_was_full_before_is_shown() {
    let distribution = Distribution::start().await;
    let options = Options {
        upstream: Some(distribution.url()),
        ..Options::default()
    };
    let first = Gateway::with(options.clone()).await;
    let image = Image::new(&[b"old"]);
    let pushed = Skopeo::with(&first, "admin", PASSWORD)
        .push(&image, &format!("{}/library/app:v1", first.host()));
    assert!(pushed.status.success(), "{pushed:?}");
    // Another gateway, which has seen nothing of it.
    let gateway = Gateway::with(options).await;
    let admin = gateway.admin();
    until("the registry is shown", async || {
        let listed = admin.get("/api/v2.0/repositories").await.expect(200).json();
        (listed.as_array()?.len() == 1).then_some(())
    })
    .await;
    let tags = format!("{REPOSITORY}/artifacts/v1/tags");
    assert_eq!(column(&admin, &tags, "name").await, ["v1"]);
}

#[tokio::test]
async fn sync_mends_the_index_with_and_without_a_running_gateway() {
    let distribution = Distribution::start().await;
    let options = Options {
        upstream: Some(distribution.url()),
        ..Options::default()
    };
    let mut gateway = Gateway::with(options.clone()).await;
    let elsewhere = Gateway::with(options).await;
    let image = Image::new(&[b"old"]);
    let push = |tag: &str| {
        let name = format!("{}/library/app:{tag}", elsewhere.host());
        let pushed = Skopeo::at(&elsewhere, "admin").push(&image, &name);
        assert!(pushed.status.success(), "{pushed:?}");
    };
    let admin = gateway.admin();
    push("v1");
    let told = sync(&gateway, &[]);
    assert!(told.contains("a gateway runs on"), "{told}");
    assert!(told.contains("1 of 1: library/app has 1 tags"), "{told}");
    let tags = format!("{REPOSITORY}/artifacts/{}/tags", image.digest);
    assert_eq!(column(&admin, &tags, "name").await, ["v1"]);
    gateway.kill();
    push("v2");
    let told = sync(&gateway, &["--project", "library"]);
    assert!(
        told.ends_with("done: 1 repositories with 2 tags\n"),
        "{told}"
    );
    let none = sync(&gateway, &["--project", "nobody"]);
    assert_eq!(none, "tidegate: there is no project nobody\n");
    gateway.restart().await;
    let listed = column(&gateway.admin(), &tags, "name").await;
    assert_eq!(listed, ["v1", "v2"]);
}

#[tokio::test]
async fn sync_makes_no_registry_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    drop(Gateway::command(directory.path(), &Options::default()).await);
    let said = sync_in(directory.path(), &[]);
    assert!(said.starts_with("tidegate: there is no "), "{said}");
    assert!(!directory.path().join("data").exists());
}

/// What `tidegate sync` says.
fn sync(gateway: &Gateway, arguments: &[&str]) -> String {
    sync_in(gateway.directory(), arguments)
}

fn sync_in(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let output = command
        .current_dir(directory)
        .args(["sync", "--config", "tidegate.toml"])
        .args(arguments)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn a_push_that_the_process_died_in_is_shown_after_the_restart() {
    let mut gateway = Gateway::start().await;
    let image = Image::new(&[b"one"]);
    let name = format!("{}/library/app:v1", gateway.host());
    gateway.kill();
    assert!(gateway.start_to_die_at("proxy.upstream_answered").await);
    let pushed = Skopeo::at(&gateway, "admin").push(&image, &name);
    assert!(!pushed.status.success());
    gateway.process().wait().await;
    gateway.restart().await;
    let admin = gateway.admin();
    let artifacts = format!("{REPOSITORY}/artifacts");
    until("the push is shown", async || {
        let answer = admin.get(&artifacts).await;
        (answer.status == 200 && answer.json().as_array()?.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_mirrored_from_elsewhere_is_shown() {
    let distribution = Distribution::start().await;
    let options = Options {
        upstream: Some(distribution.url()),
        ..Options::default()
    };
    let elsewhere = Gateway::with(options).await;
    let image = Image::new(&[b"from elsewhere"]);
    let pushed = Skopeo::at(&elsewhere, "admin")
        .push(&image, &format!("{}/library/app:v1", elsewhere.host()));
    assert!(pushed.status.success(), "{pushed:?}");
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    let source =
        json!({ "name": "elsewhere", "type": "docker-registry", "url": distribution.url() });
    let source = admin.post("/api/v2.0/registries", &source).await;
    let policy = json!({
        "name": "bring", "src_registry": { "id": source.expect(201).id() }, "enabled": true,
        "filters": [{ "type": "name", "value": "library/app" }],
        "trigger": { "type": "manual" }, "override": true,
    });
    let policy = admin.post("/api/v2.0/replication/policies", &policy).await;
    let run = json!({ "policy_id": policy.expect(201).id() });
    let run = admin.post("/api/v2.0/replication/executions", &run).await;
    run.expect(201);
    let artifacts = format!("{REPOSITORY}/artifacts");
    until("the image is shown", async || {
        let answer = admin.get(&artifacts).await;
        (answer.status == 200 && answer.json().as_array()?.len() == 1).then_some(())
    })
    .await;
}
