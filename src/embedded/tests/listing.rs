use serde_json::json;

use super::Fixture;

#[tokio::test]
async fn tags_are_listed_in_ascii_order() {
    let fixture = Fixture::new();
    for tag in ["b", "a", "A", "1.10", "1.9", "_x"] {
        fixture.push_image("a/b", tag, b"layer").await;
    }
    let reply = fixture.ask("GET /v2/a/b/tags/list").await;
    let expected = json!({"name": "a/b", "tags": ["1.10", "1.9", "A", "_x", "a", "b"]});
    assert_eq!(reply.is(200).json(), expected);
    assert!(!reply.headers.contains_key("link"));
    let head = fixture.ask("HEAD /v2/a/b/tags/list").await;
    assert_eq!(
        head.is(200).header("content-length"),
        reply.body.len().to_string()
    );
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn pages_of_tags_follow_one_another_to_the_end() {
    let fixture = Fixture::new();
    let tags = ["a", "b", "c.d", "d", "e"];
    for tag in tags {
        fixture.push_image("a/b", tag, b"layer").await;
    }
    let mut next = Some("/v2/a/b/tags/list?n=2".to_owned());
    let mut pages = Vec::new();
    while let Some(target) = next {
        let reply = fixture.ask(&format!("GET {target}")).await;
        pages.push(reply.is(200).json()["tags"].clone());
        next = reply.next_page();
    }
    assert_eq!(
        pages,
        [json!(["a", "b"]), json!(["c.d", "d"]), json!(["e"])]
    );
}

#[tokio::test]
async fn a_page_begins_after_last_whether_or_not_that_exists() {
    let fixture = Fixture::new();
    for tag in ["a", "c", "e"] {
        fixture.push_image("a/b", tag, b"layer").await;
    }
    for (query, expected) in [
        ("last=a", json!(["c", "e"])),
        ("last=b", json!(["c", "e"])),
        ("last=e", json!([])),
        ("n=0", json!([])),
        ("n=1&last=a", json!(["c"])),
        ("n=3", json!(["a", "c", "e"])),
        ("n=4000000000", json!(["a", "c", "e"])),
    ] {
        let reply = fixture.ask(&format!("GET /v2/a/b/tags/list?{query}")).await;
        assert_eq!(reply.is(200).json()["tags"], expected, "{query}");
        let has_more = query == "n=1&last=a";
        assert_eq!(reply.headers.contains_key("link"), has_more, "{query}");
    }
}

#[tokio::test]
async fn repositories_are_listed_in_the_order_of_their_names() {
    let fixture = Fixture::new();
    assert_eq!(
        fixture.ask("GET /v2/_catalog").await.is(200).json(),
        json!({"repositories": []})
    );
    // `-` and `.` come before `/`, folders do not know that.
    let names = ["a", "a-b", "a.b", "a/b", "a/b/c", "a0", "b/tags/list"];
    for name in names.iter().rev() {
        fixture.push_image(name, "v1", b"layer").await;
    }
    fixture.begin("only/an-upload").await;
    let all = fixture.ask("GET /v2/_catalog").await.json();
    assert_eq!(all, json!({"repositories": names}));
    let page = fixture.ask("GET /v2/_catalog?n=3&last=a-b").await;
    assert_eq!(
        page.json(),
        json!({"repositories": ["a.b", "a/b", "a/b/c"]})
    );
    assert_eq!(
        page.header("link"),
        "</v2/_catalog?last=a%2Fb%2Fc&n=3>; rel=\"next\""
    );
    let end = fixture.ask("GET /v2/_catalog?last=a%2Fb%2Fc&n=3").await;
    assert_eq!(end.json(), json!({"repositories": ["a0", "b/tags/list"]}));
    assert!(!end.headers.contains_key("link"));
}

#[tokio::test]
async fn a_repository_emptied_of_tags_is_still_known() {
    let fixture = Fixture::new();
    let digest = fixture.push_image("a/b", "v1", b"layer").await;
    fixture
        .ask(&format!("DELETE /v2/a/b/manifests/{digest}"))
        .await
        .is(202);
    let reply = fixture.ask("GET /v2/a/b/tags/list").await;
    assert_eq!(reply.is(200).json(), json!({"name": "a/b", "tags": []}));
    for name in ["a", "a/b/c", "nowhere"] {
        let reply = fixture.ask(&format!("GET /v2/{name}/tags/list")).await;
        reply.refuses(404, "NAME_UNKNOWN");
    }
}
