//! Tokens: least privilege, refresh, revocation, and a registry that verifies them itself.

use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::harness::{Distribution, Gateway, Image, Options, PASSWORD, Skopeo, Succeeds, until};

#[tokio::test]
async fn the_challenge_names_realm_service_and_scope() {
    let gateway = Gateway::start().await;
    let ping = gateway.http().get("/v2/").await.expect(401);
    let challenge = ping.header("www-authenticate").to_owned();
    let realm = format!("Bearer realm=\"{}/service/token\",service=", gateway.url());
    assert!(challenge.starts_with(&realm), "{challenge}");
    let answer = gateway
        .http()
        .send(Method::PUT, "/v2/team/app/manifests/v1", &[], Bytes::new())
        .await
        .expect(401);
    assert!(
        answer
            .header("www-authenticate")
            .contains("scope=\"repository:team/app:pull,push\"")
    );
}

#[tokio::test]
async fn a_token_holds_what_was_asked_and_is_allowed_for_each_repository() {
    let gateway = Gateway::start().await;
    gateway.create_project("team").await;
    gateway.create_project("other").await;
    gateway.create_member("team", "dora", 2).await;
    let path = "/service/token?scope=repository:team/a:pull&scope=repository:team/b:pull,push,delete%20repository:other/c:pull";
    let answer = gateway
        .http()
        .basic("dora", PASSWORD)
        .get(path)
        .await
        .expect(200)
        .json();
    assert_eq!(answer["token"], answer["access_token"]);
    assert!(answer["expires_in"].as_i64().unwrap() >= 60);
    let token = gateway.http().bearer(answer["token"].as_str().unwrap());
    let start = |name: &str| format!("/v2/{name}/blobs/uploads/");
    token
        .send(Method::POST, &start("team/b"), &[], Bytes::new())
        .await
        .expect(202);
    token
        .send(Method::POST, &start("team/a"), &[], Bytes::new())
        .await
        .expect(401);
    assert!(
        token
            .get("/v2/other/c/manifests/v1")
            .await
            .status
            .is_client_error()
    );
}

#[tokio::test]
async fn a_refresh_token_stands_for_the_password_until_it_is_changed() {
    let gateway = Gateway::start().await;
    gateway.create_project("team").await;
    let dora = gateway.create_member("team", "dora", 2).await;
    let answer = dora
        .get("/service/token?offline_token=true&client_id=docker&account=dora")
        .await
        .expect(200);
    let refresh = answer.json()["refresh_token"]
        .as_str()
        .expect("a refresh token")
        .to_owned();
    let form = [(
        "content-type",
        "application/x-www-form-urlencoded; charset=utf-8",
    )];
    let body = Bytes::from(format!(
        "grant_type=refresh_token&client_id=docker&scope=repository:team/app:pull&refresh_token={refresh}"
    ));
    let http = gateway.http();
    let token = http
        .send(Method::POST, "/service/token", &form, body.clone())
        .await
        .expect(200)
        .json();
    assert!(token["access_token"].is_string(), "{token}");
    let password = json!({ "old_password": PASSWORD, "new_password": "Another12345" });
    let me = dora.get("/api/v2.0/users/current").await.expect(200).json();
    dora.put(
        &format!("/api/v2.0/users/{}/password", me["user_id"]),
        &password,
    )
    .await
    .expect(200);
    http.send(Method::POST, "/service/token", &form, body)
        .await
        .expect(401);
}

#[tokio::test]
async fn a_removed_member_loses_access_within_a_second() {
    let gateway = Gateway::start().await;
    gateway.create_project("team").await;
    gateway.create_member("team", "dora", 2).await;
    let token = gateway
        .token(Some("dora"), &["repository:team/app:pull,push"])
        .await;
    token.get("/v2/team/app/manifests/v1").await.expect(404);
    let members = gateway
        .admin()
        .get("/api/v2.0/projects/team/members?entityname=dora")
        .await
        .expect(200)
        .json();
    let member = format!("/api/v2.0/projects/team/members/{}", members[0]["id"]);
    gateway.admin().delete(&member).await.expect(200);
    let removed = std::time::Instant::now();
    until("access is gone", async || {
        (token.get("/v2/team/app/manifests/v1").await.status != 404).then_some(())
    })
    .await;
    assert!(
        removed.elapsed() < std::time::Duration::from_secs(1),
        "{:?}",
        removed.elapsed()
    );
}

#[tokio::test]
async fn a_registry_behind_verifies_the_same_tokens() {
    for algorithm in ["ES256", "RS256"] {
        let extra = format!("[token]\nalgorithm = \"{algorithm}\"\n");
        let first = Gateway::with(Options {
            extra,
            ..Options::default()
        })
        .await;
        let certificate = first
            .http()
            .get("/service/token/certificate")
            .await
            .expect(200)
            .text();
        let issuer = "tidegate";
        let registry = Distribution::with(|directory| {
            let bundle = directory.join("bundle.crt");
            std::fs::write(&bundle, &certificate).unwrap();
            format!(
                "auth:\n  token:\n    realm: {}/service/token\n    service: tidegate\n    issuer: {issuer}\n    \
                 rootcertbundle: {}\n",
                first.url(),
                bundle.display()
            )
        })
        .await;
        registry.http().get("/v2/").await.expect(401);
        first.create_project("team").await;
        let token = first
            .token(Some("admin"), &["repository:team/app:pull,push"])
            .await;
        let direct = token
            .get(&format!("{}/v2/team/app/tags/list", registry.url()))
            .await;
        assert_eq!(direct.status, 404, "{algorithm}: {}", direct.text());
        assert_eq!(
            direct.json()["errors"][0]["code"],
            "NAME_UNKNOWN",
            "{algorithm}"
        );
    }
}

#[tokio::test]
async fn robots_log_in_push_and_lose_access_when_disabled() {
    let gateway = Gateway::start().await;
    gateway.create_project("team").await;
    let robot = json!({
        "name": "ci", "level": "project", "duration": -1,
        "permissions": [{ "kind": "project", "namespace": "team", "access": [
            { "resource": "repository", "action": "pull" }, { "resource": "repository", "action": "push" },
        ]}],
    });
    let created = gateway
        .admin()
        .post("/api/v2.0/robots", &robot)
        .await
        .expect(201)
        .json();
    assert_eq!(created["name"], "robot$team+ci");
    let secret = created["secret"].as_str().unwrap();
    let image = Image::new(&[b"a layer"]);
    let name = format!("{}/team/app:v1", gateway.host());
    Skopeo::with(&gateway, "robot$team+ci", secret)
        .push(&image, &name)
        .succeeds();
    let id = created["id"].as_i64().unwrap();
    let mut disabled = gateway
        .admin()
        .get(&format!("/api/v2.0/robots/{id}"))
        .await
        .expect(200)
        .json();
    assert!(
        disabled
            .get("secret")
            .is_none_or(|secret| secret == "" || secret.is_null()),
        "{disabled}"
    );
    disabled["disable"] = json!(true);
    gateway
        .admin()
        .put(&format!("/api/v2.0/robots/{id}"), &disabled)
        .await
        .expect(200);
    let robot = gateway.http().basic("robot$team+ci", secret);
    until("the robot is locked out", async || {
        (robot.get("/service/token").await.status == 401).then_some(())
    })
    .await;
}
