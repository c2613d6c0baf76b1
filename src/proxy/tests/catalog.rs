//! Listing repositories: only what the caller may pull, in pages of its own.

use super::world::{Listener, Seen, Stub, World, respond};
use crate::{auth::projects::Metadata, proxy::Config, wire::Body};

/// Eight names, served in pages as distribution does.
fn registry(seen: &Seen) -> http::Response<Body> {
    let names = [
        "Bad/Name", "hidden/a", "hidden/b", "lonely", "open/a", "open/b", "team/a", "team/b",
    ];
    let (_, query) = seen.target.split_once('?').unwrap_or_default();
    let last = query.split('&').find_map(|pair| pair.strip_prefix("last="));
    let last = last.unwrap_or_default().replace("%2F", "/");
    let page: Vec<_> = names
        .iter()
        .filter(|name| **name > last.as_str())
        .take(3)
        .collect();
    let body = serde_json::to_vec(&serde_json::json!({ "repositories": page })).unwrap();
    respond(200, &[]).map(|_| Body::from(body))
}

fn names(answer: &super::world::Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let names = body["repositories"].as_array().unwrap();
    names
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn everybody_sees_what_they_may_pull() {
    let world = World::new(Stub::default().exchange(registry)).await;
    for (who, expected) in [
        (
            "admin",
            "hidden/a hidden/b lonely open/a open/b team/a team/b",
        ),
        ("alice", "open/a open/b team/a team/b"),
        ("bob", "open/a open/b"),
        ("", "open/a open/b"),
    ] {
        let token = world.bearer(who, &["registry!catalog:"]);
        let answer = world.ask("GET", "/v2/_catalog", &token).await;
        assert_eq!(names(&answer).join(" "), expected, "{who}");
        assert_eq!(answer.header("link"), "", "{who}");
    }
}

#[tokio::test]
async fn pages_link_to_the_next_and_name_nothing_hidden() {
    let world = World::new(Stub::default().exchange(registry)).await;
    let token = world.bearer("alice", &["registry!catalog:*"]);
    let first = world.ask("GET", "/v2/_catalog?n=2", &token).await;
    assert_eq!(names(&first), ["open/a", "open/b"]);
    let link = "</v2/_catalog?n=2&last=open%2Fb>; rel=\"next\"";
    assert_eq!(first.header("link"), link);
    let next = link[1..].split('>').next().unwrap();
    let second = world.ask("GET", next, &token).await;
    assert_eq!(names(&second), ["team/a", "team/b"]);
    assert_eq!(second.header("link"), "");
    for n in ["0", "1001", "x"] {
        let answer = world
            .ask("GET", &format!("/v2/_catalog?n={n}"), &token)
            .await;
        assert_eq!(answer.code(), "PAGINATION_NUMBER_INVALID", "{n}");
    }
}

/// bob may see two of eight names, and one request may cost one page of three.
#[tokio::test]
async fn a_long_search_is_cut_and_goes_on_where_nothing_hidden_is_named() {
    let stub = Stub::default();
    let config = Config {
        catalog_pages_examined: 1,
        ..Config::default()
    };
    let world = World::with(stub.exchange(registry), Listener::default(), config).await;
    let token = world.bearer("bob", &["registry!catalog:*"]);
    let mut path = "/v2/_catalog?n=5".to_owned();
    let mut found = Vec::new();
    let mut asked = 0;
    while !path.is_empty() {
        let answer = world.ask("GET", &path, &token).await;
        found.extend(names(&answer));
        asked += 1;
        assert_eq!(stub.lines().len(), asked, "one page for one request");
        let link = answer.header("link");
        assert!(
            link.is_empty() || link.starts_with("</v2/_catalog?n=5&last=~"),
            "{link}"
        );
        path = link
            .strip_prefix('<')
            .and_then(|rest| rest.split('>').next())
            .unwrap_or_default()
            .to_owned();
    }
    assert_eq!(found, ["open/a", "open/b"]);
    assert_eq!(asked, 4);
    let forged = world.ask("GET", "/v2/_catalog?last=~AAAA", &token).await;
    assert_eq!(forged.status, 400);
}

#[tokio::test]
async fn where_nothing_is_public_nobody_can_cause_a_search() {
    let stub = Stub::default();
    let world = World::new(stub.exchange(registry)).await;
    for name in ["library", "open"] {
        let id = world.auth.project_named(name).await.unwrap().id;
        let private = Metadata::from([("public".into(), "false".into())]);
        let set = world.auth.set_project_metadata(id, private).await;
        set.unwrap();
    }
    let token = world.bearer("", &["registry!catalog:"]);
    let answer = world.ask("GET", "/v2/_catalog", &token).await;
    assert!(names(&answer).is_empty());
    assert!(stub.lines().is_empty());
}

#[tokio::test]
async fn a_token_for_a_repository_lists_nothing() {
    let world = World::new(Stub::default().exchange(registry)).await;
    let token = world.bearer("alice", &["team/a:pull"]);
    let answer = world.ask("GET", "/v2/_catalog", &token).await;
    assert_eq!(answer.status, 401);
    assert!(
        answer
            .header("www-authenticate")
            .contains("insufficient_scope")
    );
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_a_fault_of_the_registry() {
    for (status, body) in [(200, "not json"), (405, ""), (400, "{}")] {
        let exchange = Stub::default().exchange(move |_| respond(status, &[]).map(|_| body.into()));
        let world = World::new(exchange).await;
        let token = world.bearer("alice", &["registry!catalog:*"]);
        assert_eq!(
            world.ask("GET", "/v2/_catalog", &token).await.status,
            502,
            "{status}"
        );
    }
}
