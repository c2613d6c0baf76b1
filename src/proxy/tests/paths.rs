//! Targets that would mean one thing here and another in the registry behind.

use super::world::{Stub, World, respond};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[tokio::test]
async fn hostile_targets_reach_nobody() {
    let stub = Stub::default();
    let world = World::new(stub.exchange(|_| respond(200, &[]))).await;
    let admin = world.bearer("admin", &["team/app:*", "hidden/app:*"]);
    for (target, status) in [
        ("/v2/team%2Fapp/manifests/v1", 404),
        ("/v2/team/app%2Fmanifests%2Fv1", 404),
        ("/v2/team/%2e%2e/hidden/app/manifests/v1", 404),
        ("/v2/team/../hidden/app/manifests/v1", 404),
        ("/v2/team/./app/manifests/v1", 404),
        ("/v2/team//app/manifests/v1", 404),
        ("//v2/team/app/manifests/v1", 404),
        ("/v2/team/app/manifests/v1/", 404),
        ("/v2/team/app/manifests/v1%00", 404),
        ("/v2/team/app/manifests/v1%0d%0aX:y", 404),
        ("/v2/team/app;x/manifests/v1", 404),
        ("/v2/team\\app/manifests/v1", 404),
        ("/v2/Team/app/manifests/v1", 400),
        ("/v2/reg.example:5000/app/manifests/v1", 400),
        ("/v2/team/app/manifests/md5:00", 400),
        ("/v2/team/app/blobs/sha256:00", 400),
        ("/v2/team/app/blobs/uploads/..", 404),
        ("/v2/team/app/blobs/uploads/a%2fb", 404),
        ("/v1/repositories", 404),
        ("/v2/_oci/ext/discover", 404),
        ("/v2/team/app/tags/list?n=1&n=2", 400),
        ("/v2/team/app/tags/list?%6e=1", 400),
        ("/v2/team/app/tags/list?n=1;last=x", 400),
        ("/v2/team/app/tags/list?n=-1", 400),
    ] {
        let answer = world.ask("GET", target, &admin).await;
        assert_eq!(answer.status.as_u16(), status, "{target}");
        assert!(!answer.code().is_empty(), "{target}");
    }
    assert!(stub.lines().is_empty(), "{:?}", stub.lines());
}

#[tokio::test]
async fn what_is_forwarded_is_built_from_what_was_parsed() {
    let stub = Stub::default();
    let world = World::new(stub.exchange(|_| respond(200, &[]))).await;
    let token = world.bearer("alice", &["team/app:pull,push,delete"]);
    let escaped = DIGEST.replace(':', "%3A");
    for (method, asked, forwarded) in [
        (
            "GET",
            format!("/v2/team/app/blobs/{escaped}"),
            format!("/v2/team/app/blobs/{DIGEST}"),
        ),
        (
            "GET",
            "http://evil.example/v2/team/app/manifests/v1".into(),
            "/v2/team/app/manifests/v1".into(),
        ),
        (
            "GET",
            "/v2/team/app/manifests/v1?ns=docker.io&x=y".into(),
            "/v2/team/app/manifests/v1".into(),
        ),
        (
            "GET",
            "/v2/team/app/tags/list?last=a%26b&n=2".into(),
            "/v2/team/app/tags/list?n=2&last=a%26b".into(),
        ),
        (
            "PATCH",
            "/v2/team/app/blobs/uploads/1?_state=x%3D%3D&y=a+b".into(),
            "/v2/team/app/blobs/uploads/1?_state=x%3D%3D&y=a+b".into(),
        ),
        (
            "PUT",
            format!("/v2/team/app/blobs/uploads/1?digest={escaped}&_state=x%3D"),
            format!("/v2/team/app/blobs/uploads/1?_state=x%3D&digest={escaped}"),
        ),
        (
            "GET",
            format!("/v2/team/app/referrers/{DIGEST}?artifactType=a/b"),
            format!("/v2/team/app/referrers/{DIGEST}?artifactType=a%2Fb"),
        ),
    ] {
        let answer = world.ask(method, &asked, &token).await;
        assert_eq!(answer.status, 200, "{asked}: {}", answer.text());
        assert_eq!(
            stub.lines().last().unwrap(),
            &format!("{method} {forwarded}")
        );
    }
}

#[tokio::test]
async fn a_method_that_does_not_fit_is_refused_with_those_that_do() {
    let stub = Stub::default();
    let world = World::new(stub.exchange(|_| respond(200, &[]))).await;
    let token = world.bearer("alice", &["team/app:*"]);
    let answer = world.ask("POST", "/v2/team/app/manifests/v1", &token).await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow"), "GET, HEAD, PUT, DELETE");
    for method in ["PUT", "POST", "DELETE", "CONNECT", "TRACE"] {
        assert_eq!(
            world.ask(method, "/v2/", &token).await.status,
            405,
            "{method}"
        );
    }
    assert!(stub.lines().is_empty());
}
