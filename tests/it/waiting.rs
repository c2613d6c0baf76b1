//! A pipeline that pushes, and goes on when the mirror has it.

use http::Method;

use crate::harness::{Database, Distribution, Gateway, Image, Options, Skopeo, Succeeds, until};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

#[tokio::test]
async fn a_push_tells_where_to_wait_until_the_mirror_has_it() {
    for database in Database::BOTH {
        let gateway = Gateway::with(Options {
            database: Some(database),
            ..Options::default()
        })
        .await;
        gateway.create_project("team").await;
        let developer = gateway.create_member("team", "dev", 2).await;
        let image = Image::new(&[b"a layer"]);
        let name = format!("{}/team/app:v1", gateway.host());
        Skopeo::at(&gateway, "dev").push(&image, &name).succeeds();
        let put = async || {
            let client = gateway
                .token(Some("dev"), &["repository:team/app:pull,push"])
                .await;
            let manifest = format!("/v2/team/app/manifests/{}", image.digest);
            let manifest = client.get(&manifest).await.expect(200).body;
            let headers = [("content-type", OCI_MANIFEST)];
            let path = "/v2/team/app/manifests/v1";
            let put = client.send(Method::PUT, path, &headers, manifest).await;
            put.expect(201)
        };
        let unmirrored = put().await;
        assert!(!unmirrored.headers.contains_key("tidegate-replication"));

        let mirror = Distribution::start().await;
        gateway.mirror_to(&mirror.url()).await;
        let path = put().await.header("tidegate-replication").to_owned();
        let standing = developer.get(&path).await.expect(200).json();
        assert_eq!(standing["complete"], true, "{standing:#}");
        assert_eq!(standing["digest"], image.digest.as_str());
        assert_eq!(standing["targets"][0]["status"], "there");
        let there = mirror.digest("team/app", "v1").await;
        assert_eq!(there.as_deref(), Some(image.digest.as_str()));

        // Nobody brings this one.
        let other = path.replace(&image.digest.as_str()[7..], &"0".repeat(64));
        developer.get(&other).await.expect(409);
        developer
            .get(&format!("{path}&timeout=601"))
            .await
            .expect(400);
        developer.get("/api/v1/replication/wait").await.expect(400);
        let none = path
            .replace("reference=v1", "reference=v2")
            .replace("&digest", "&x");
        developer.get(&none).await.expect(404);
        gateway.http().get(&path).await.expect(401);
        gateway.create_project("other").await;
        let stranger = gateway.create_member("other", "stranger", 1).await;
        stranger.get(&path).await.expect(403);
    }
}

#[tokio::test]
async fn the_time_of_a_wait_is_bounded_and_says_what_is_in_the_way() {
    let gateway = Gateway::start().await;
    gateway.create_project("team").await;
    let mirror = Distribution::start().await;
    let (port, policy) = (mirror.port(), gateway.mirror_to(&mirror.url()).await);
    drop(mirror);
    let image = Image::new(&[b"a layer"]);
    let name = format!("{}/team/app:v1", gateway.host());
    Skopeo::at(&gateway, "admin").push(&image, &name).succeeds();
    let path = "/api/v1/replication/wait?repository=team/app&reference=v1&timeout=1";
    until("the target has been found to be away", async || {
        let waited = gateway.admin().get(path).await.expect(408).json();
        let target = &waited["targets"][0];
        assert_eq!(target["policy_id"], policy);
        (target["message"] != serde_json::Value::Null).then_some(())
    })
    .await;
    let lag = async || {
        let answer = gateway.admin().get("/api/v1/replication/lag").await;
        answer.expect(200).json()
    };
    let behind = lag().await;
    let (of_policy, of_target) = (&behind["policies"][0], &behind["targets"][0]);
    assert_eq!(of_policy["policy_id"], policy);
    assert!(of_policy["oldest"].is_string(), "{behind:#}");
    assert!(of_target["parked"]["reason"].is_string(), "{behind:#}");
    assert_eq!(of_target["registry"], "mirror");

    let _mirror = Distribution::on_port(port).await;
    let path = path.replace("timeout=1", "timeout=60");
    gateway.admin().get(&path).await.expect(200);
    let behind = lag().await;
    assert_eq!(behind["policies"][0]["lag_seconds"], 0);
    assert_eq!(behind["targets"][0]["parked"], serde_json::Value::Null);
}
