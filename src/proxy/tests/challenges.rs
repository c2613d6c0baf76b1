//! Who is answered with what, before anything is forwarded.

use std::time::Duration;

use super::world::{HOST, PASSWORD, Stub, World, basic, request, respond};
use crate::{auth::users::Profile, wire::Body};

async fn world() -> (World, Stub) {
    let stub = Stub::default();
    let exchange = stub.exchange(|_| respond(200, &[]));
    (World::new(exchange).await, stub)
}

fn challenge(rest: &str) -> String {
    format!("Bearer realm=\"https://{HOST}/service/token\",service=\"tidegate\"{rest}")
}

/// The columns: who, what the token says, method, path; then status and the challenge's rest.
#[tokio::test]
async fn each_caller_gets_the_answer_that_clients_understand() {
    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let (world, stub) = world().await;
    let mount = format!("/v2/team/app/blobs/uploads/?mount={DIGEST}&from=open/base");
    let blob = format!("/v2/team/app/blobs/{DIGEST}");
    let pull = "/v2/team/app/manifests/v1";
    let none: &[&str] = &[];
    let insufficient = |scope: &str| format!(",scope=\"{scope}\",error=\"insufficient_scope\"");
    let cases: Vec<(&str, &[&str], &str, &str, u16, String)> = vec![
        ("nobody", none, "GET", "/v2/", 401, String::new()),
        ("nobody", none, "HEAD", "/v2", 401, String::new()),
        (
            "nobody",
            none,
            "GET",
            pull,
            401,
            ",scope=\"repository:team/app:pull\"".into(),
        ),
        (
            "nobody",
            none,
            "HEAD",
            &blob,
            401,
            ",scope=\"repository:team/app:pull\"".into(),
        ),
        (
            "nobody",
            none,
            "PUT",
            pull,
            401,
            ",scope=\"repository:team/app:pull,push\"".into(),
        ),
        (
            "nobody",
            none,
            "DELETE",
            pull,
            401,
            ",scope=\"repository:team/app:delete\"".into(),
        ),
        (
            "nobody",
            none,
            "POST",
            &mount,
            401,
            ",scope=\"repository:team/app:pull,push repository:open/base:pull\"".into(),
        ),
        (
            "nobody",
            none,
            "GET",
            "/v2/_catalog",
            401,
            ",scope=\"registry:catalog:*\"".into(),
        ),
        (
            "nobody",
            none,
            "GET",
            "/v2/open/base/manifests/v1",
            200,
            String::new(),
        ),
        (
            "nobody",
            none,
            "PUT",
            "/v2/open/base/manifests/v1",
            401,
            ",scope=\"repository:open/base:pull,push\"".into(),
        ),
        ("", none, "GET", "/v2/", 200, String::new()),
        (
            "",
            &["open/base:pull"],
            "GET",
            "/v2/open/base/tags/list",
            200,
            String::new(),
        ),
        (
            "",
            none,
            "GET",
            pull,
            401,
            insufficient("repository:team/app:pull"),
        ),
        ("alice", none, "GET", "/v2/", 200, String::new()),
        ("alice", &["team/app:pull"], "GET", pull, 200, String::new()),
        (
            "alice",
            &["team/app:pull"],
            "PATCH",
            "/v2/team/app/blobs/uploads/1",
            401,
            insufficient("repository:team/app:pull,push"),
        ),
        (
            "alice",
            &["team/app2:pull", "team:pull"],
            "GET",
            pull,
            401,
            insufficient("repository:team/app:pull"),
        ),
        (
            "alice",
            &["team/app:*"],
            "DELETE",
            &blob,
            200,
            String::new(),
        ),
        (
            "alice",
            &["hidden/x:pull"],
            "GET",
            "/v2/hidden/x/manifests/v1",
            403,
            String::new(),
        ),
        (
            "gina",
            &["team/app:pull,push"],
            "GET",
            pull,
            200,
            String::new(),
        ),
        (
            "gina",
            &["team/app:pull,push"],
            "POST",
            "/v2/team/app/blobs/uploads/",
            403,
            String::new(),
        ),
        ("bob", &["team/app:pull"], "GET", pull, 403, String::new()),
        (
            "bob",
            none,
            "GET",
            "/v2/nowhere/x/manifests/v1",
            403,
            String::new(),
        ),
        (
            "admin",
            &["lonely:pull"],
            "GET",
            "/v2/lonely/manifests/v1",
            200,
            String::new(),
        ),
        (
            "gone",
            &["team/app:pull"],
            "GET",
            pull,
            401,
            ",scope=\"repository:team/app:pull\",error=\"invalid_token\"".into(),
        ),
    ];
    for (who, access, method, path, status, rest) in cases {
        let authorization = if who == "nobody" {
            String::new()
        } else {
            world.bearer(who, access)
        };
        let before = stub.lines().len();
        let answer = world.ask(method, path, &authorization).await;
        let case = format!("{who} {access:?} {method} {path}");
        assert_eq!(answer.status.as_u16(), status, "{case}: {}", answer.text());
        match status {
            401 => {
                assert_eq!(
                    answer.header("www-authenticate"),
                    challenge(&rest),
                    "{case}"
                );
                assert_eq!(answer.code(), "UNAUTHORIZED", "{case}");
            }
            403 => {
                assert_eq!(answer.header("www-authenticate"), "", "{case}");
                assert_eq!(answer.code(), "DENIED", "{case}");
            }
            _ => continue,
        }
        assert_eq!(
            stub.lines().len(),
            before,
            "{case}: a refused request was forwarded"
        );
    }
}

#[tokio::test]
async fn a_ping_is_answered_by_the_gateway() {
    let (world, stub) = world().await;
    let answer = world.ask("GET", "/v2/", &world.bearer("alice", &[])).await;
    assert_eq!(answer.text(), "{}");
    assert_eq!(
        answer.header("docker-distribution-api-version"),
        "registry/2.0"
    );
    assert!(stub.seen().is_empty());
}

#[tokio::test]
async fn a_token_that_is_not_valid_is_called_invalid() {
    let (world, _stub) = world().await;
    let good = world.token("alice", &["team/app:pull"]);
    let mut forged = good.clone();
    forged.replace_range(good.len() - 4.., "AAAA");
    let old = good.clone();
    for bad in ["", "x", "a.b.c", &forged] {
        let answer = world.ask("GET", "/v2/", &format!("Bearer {bad}")).await;
        assert_eq!(
            answer.header("www-authenticate"),
            challenge(",error=\"invalid_token\""),
            "{bad}"
        );
    }
    world.clock.advance(Duration::from_secs(1800 + 61));
    let answer = world
        .ask("GET", "/v2/team/app/tags/list", &format!("Bearer {old}"))
        .await;
    let expected = challenge(",scope=\"repository:team/app:pull\",error=\"invalid_token\"");
    assert_eq!(answer.header("www-authenticate"), expected);
}

#[tokio::test]
async fn basic_credentials_are_checked_and_never_asked_for() {
    let (world, stub) = world().await;
    let path = "/v2/team/app/manifests/v1";
    let good = world.ask("GET", path, &basic("alice", PASSWORD)).await;
    assert_eq!(good.status, 200);
    assert_eq!(
        world
            .ask("PUT", path, &basic("gina", PASSWORD))
            .await
            .status,
        403
    );
    for wrong in [
        basic("alice", "wrong"),
        basic("", ""),
        "Basic !".into(),
        "Basic".into(),
        "Negotiate x".into(),
    ] {
        let answer = world.ask("GET", path, &wrong).await;
        assert_eq!(answer.status, 401, "{wrong}");
        let expected = challenge(",scope=\"repository:team/app:pull\"");
        assert_eq!(answer.header("www-authenticate"), expected, "{wrong}");
    }
    assert!(
        stub.seen()
            .iter()
            .all(|seen| !seen.headers.contains_key("authorization"))
    );
}

#[tokio::test]
async fn access_ends_with_the_role_and_not_with_the_token() {
    let (world, _stub) = world().await;
    let authorization = world.bearer("alice", &["team/app:pull"]);
    let path = "/v2/team/app/manifests/v1";
    assert_eq!(world.ask("GET", path, &authorization).await.status, 200);
    let team = world.auth.project_named("team").await.unwrap().id;
    let listing = crate::store::Listing::default();
    let members = world.auth.members(team, &listing).await.unwrap();
    let alice = members
        .items
        .iter()
        .find(|member| member.entity_name == "alice")
        .unwrap();
    world.auth.remove_member(team, alice.id).await.unwrap();
    assert_eq!(world.ask("GET", path, &authorization).await.status, 403);
    let id = world.auth.user_named("alice").await.unwrap().id;
    world
        .auth
        .update_profile(id, Profile::default())
        .await
        .unwrap();
    world.auth.delete_user(id).await.unwrap();
    assert_eq!(world.ask("GET", path, &authorization).await.status, 401);
}

#[tokio::test]
async fn a_request_without_a_usable_host_is_refused() {
    let (world, _stub) = world().await;
    for host in ["", "a\"b", "a b", "a/b"] {
        let mut request = request("GET", "/v2/", "", Body::Empty);
        let peer = request
            .extensions_mut()
            .get_mut::<crate::wire::Peer>()
            .unwrap();
        peer.host = host.into();
        assert_eq!(world.send(request).await.status, 400, "{host}");
    }
}
