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

/// Who (`-`: without a token), what the token says, method, path, the status, and of a 401 what
/// follows the service in the challenge. `DIGEST` stands for a digest.
const ANSWERS: &str = r#"
- ; ; GET /v2/ ; 401
- ; ; HEAD /v2 ; 401
- ; ; GET /v2/team/app/manifests/v1 ; 401 ,scope="repository:team/app:pull"
- ; ; HEAD /v2/team/app/blobs/DIGEST ; 401 ,scope="repository:team/app:pull"
- ; ; PUT /v2/team/app/manifests/v1 ; 401 ,scope="repository:team/app:pull,push"
- ; ; DELETE /v2/team/app/manifests/v1 ; 401 ,scope="repository:team/app:delete"
- ; ; POST /v2/team/app/blobs/uploads/?mount=DIGEST&from=open/x ; 401 ,scope="repository:team/app:pull,push repository:open/x:pull"
- ; ; GET /v2/_catalog ; 401 ,scope="registry:catalog:*"
- ; ; GET /v2/open/base/manifests/v1 ; 200
- ; ; PUT /v2/open/base/manifests/v1 ; 401 ,scope="repository:open/base:pull,push"
anonymous ; ; GET /v2/ ; 200
anonymous ; open/base:pull ; GET /v2/open/base/tags/list ; 200
anonymous ; ; GET /v2/team/app/manifests/v1 ; 401 ,scope="repository:team/app:pull",error="insufficient_scope"
alice ; ; GET /v2/ ; 200
alice ; team/app:pull ; GET /v2/team/app/manifests/v1 ; 200
alice ; team/app:pull ; PATCH /v2/team/app/blobs/uploads/1 ; 401 ,scope="repository:team/app:pull,push",error="insufficient_scope"
alice ; team/app2:pull team:pull ; GET /v2/team/app/manifests/v1 ; 401 ,scope="repository:team/app:pull",error="insufficient_scope"
alice ; team/app:* ; DELETE /v2/team/app/blobs/DIGEST ; 200
alice ; hidden/x:pull ; GET /v2/hidden/x/manifests/v1 ; 403
gina ; team/app:pull,push ; GET /v2/team/app/manifests/v1 ; 200
gina ; team/app:pull,push ; POST /v2/team/app/blobs/uploads/ ; 403
bob ; team/app:pull ; GET /v2/team/app/manifests/v1 ; 403
bob ; ; GET /v2/nowhere/x/manifests/v1 ; 403
admin ; lonely:pull ; GET /v2/lonely/manifests/v1 ; 200
gone ; team/app:pull ; GET /v2/team/app/manifests/v1 ; 401 ,scope="repository:team/app:pull",error="invalid_token"
"#;
const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[tokio::test]
async fn each_caller_gets_the_answer_that_clients_understand() {
    let (world, stub) = world().await;
    for case in ANSWERS.lines().filter(|line| !line.is_empty()) {
        let columns: Vec<_> = case.split(';').map(str::trim).collect();
        let [who, access, asked, expected] = columns[..] else {
            panic!("{case}");
        };
        let access: Vec<_> = access.split_whitespace().collect();
        let authorization = match who {
            "-" => String::new(),
            "anonymous" => world.bearer("", &access),
            name => world.bearer(name, &access),
        };
        let (method, path) = asked.split_once(' ').unwrap();
        let (status, rest) = expected.split_once(' ').unwrap_or((expected, ""));
        let before = stub.lines().len();
        let path = path.replace("DIGEST", DIGEST);
        let answer = world.ask(method, &path, &authorization).await;
        assert_eq!(answer.status.as_str(), status, "{case}: {}", answer.text());
        let (challenge, code) = match status {
            "401" => (challenge(rest), "UNAUTHORIZED"),
            "403" => (String::new(), "DENIED"),
            _ => continue,
        };
        assert_eq!(answer.header("www-authenticate"), challenge, "{case}");
        assert_eq!(answer.code(), code, "{case}");
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
