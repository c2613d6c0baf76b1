use http::{Method, Request};
use serde_json::{Value, json};

use super::{ADMIN, ALICE, BOB, NOBODY, assert_fields, on_each_database};
use crate::wire::Body;

#[tokio::test]
async fn projects_are_made_shown_changed_and_deleted() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        let body =
            json!({"project_name": "team", "metadata": {"public": "false", "auto_scan": "true"}});
        let id = api
            .post("/projects", ALICE, body)
            .await
            .created("/projects/");
        api.behind.hold(&["team/a", "team/b"]).await;
        let shown = api.get("/projects/team", ALICE).await.json();
        let fields = [
            "project_id",
            "name",
            "owner_id",
            "owner_name",
            "creation_time",
            "update_time",
            "deleted",
            "metadata",
            "current_user_role_id",
            "current_user_role_ids",
            "repo_count",
        ];
        assert_fields(&shown, &fields);
        assert_eq!(
            shown["metadata"],
            json!({"public": "false", "auto_scan": "true"})
        );
        assert_eq!(shown["current_user_role_ids"], json!([1]));
        assert_eq!(shown["repo_count"], 2);
        assert_eq!(
            api.get(&format!("/projects/{id}"), ALICE).await.json()["name"],
            "team"
        );

        let change = json!({"metadata": {"public": "true"}, "project_name": "team"});
        assert_eq!(api.put("/projects/team", ALICE, change).await.status, 200);
        assert_eq!(
            api.get("/projects/team", NOBODY).await.json()["metadata"]["public"],
            "true"
        );
        let renaming = json!({"project_name": "crew"});
        api.put("/projects/team", ALICE, renaming)
            .await
            .refused(400, "BAD_REQUEST");

        let deletable = api.get("/projects/team/_deletable", ALICE).await.json();
        assert_eq!(deletable["deletable"], false);
        let message = api
            .delete("/projects/team", ALICE)
            .await
            .refused(412, "PRECONDITION");
        assert!(message.contains("2 repositories"), "{message}");
        for repository in ["a", "b"] {
            let path = format!("/projects/team/repositories/{repository}");
            assert_eq!(api.delete(&path, ALICE).await.status, 200);
        }
        let deletable = api.get("/projects/team/_deletable", ALICE).await.json();
        assert_eq!(deletable, json!({"deletable": true}));
        assert_eq!(api.delete("/projects/team", ALICE).await.status, 200);
        api.get("/projects/team", ADMIN)
            .await
            .refused(404, "NOT_FOUND");
    })
    .await;
}

#[tokio::test]
async fn a_project_is_not_deleted_before_the_registry_was_looked_through() {
    on_each_database(async |api| {
        api.project("team", "false").await;
        api.delete("/projects/team", ADMIN)
            .await
            .refused(412, "PRECONDITION");
        api.behind.walk().await;
        assert_eq!(api.delete("/projects/team", ADMIN).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn only_administrators_take_a_name_that_the_registry_has_content_under() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        api.behind.push("legacy/app", "v1", "one").await;
        let named = |name: &str| json!({"project_name": name});
        api.post("/projects", ALICE, named("legacy"))
            .await
            .refused(403, "FORBIDDEN");
        for free in ["legac", "legacy2"] {
            let answer = api.post("/projects", ALICE, named(free)).await;
            assert_eq!(answer.status, 201, "{free}");
        }
        let answer = api.post("/projects", ADMIN, named("legacy")).await;
        assert_eq!(answer.status, 201);
    })
    .await;
}

#[tokio::test]
async fn bad_projects_are_refused() {
    on_each_database(async |api| {
        api.project("team", "false").await;
        let cases = [
            (json!({"project_name": "team"}), 409, "CONFLICT"),
            (json!({"project_name": "Team"}), 400, "BAD_REQUEST"),
            (json!({}), 400, "BAD_REQUEST"),
            (
                json!({"project_name": "a", "metadata": {"public": "maybe"}}),
                400,
                "BAD_REQUEST",
            ),
            (
                json!({"project_name": "a", "registry_id": 1}),
                400,
                "BAD_REQUEST",
            ),
            (
                json!({"project_name": "a", "cve_allowlist": {"items": [{"cve_id": "CVE-1"}]}}),
                400,
                "BAD_REQUEST",
            ),
        ];
        for (body, status, code) in cases {
            api.post("/projects", ADMIN, body)
                .await
                .refused(status, code);
        }
        let empty = json!({"project_name": "a", "cve_allowlist": {"items": []}, "registry_id": null,
            "storage_limit": null, "public": true});
        assert_eq!(api.post("/projects", ADMIN, empty).await.status, 201);
        assert_eq!(api.get("/projects/a", NOBODY).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn everybody_lists_the_projects_they_may_see() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        api.project("open", "true").await;
        api.project("closed", "false").await;
        api.project("joined", "false").await;
        api.member("joined", ALICE, 5).await;
        let names = async |query: &str, who| {
            let listed = api.get(&format!("/projects?sort=name{query}"), who).await;
            let names = listed.column("name").into_iter();
            names
                .map(|name| name.as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names("", NOBODY).await, ["library", "open"]);
        assert_eq!(names("", ALICE).await, ["joined", "library", "open"]);
        assert_eq!(
            names("", ADMIN).await,
            ["closed", "joined", "library", "open"]
        );
        assert_eq!(names("&public=false", ALICE).await, ["joined"]);
        assert_eq!(names("&name=PE", ADMIN).await, ["open"]);
        assert_eq!(names("&owner=alice", ADMIN).await, [""; 0]);
        let plain = api
            .get("/projects?name=open&with_detail=false", ADMIN)
            .await
            .json();
        assert_eq!(plain[0]["repo_count"], Value::Null);
        api.get("/projects?public=maybe", ADMIN)
            .await
            .refused(422, "UNPROCESSABLE_ENTITY");
    })
    .await;
}

#[tokio::test]
async fn names_are_asked_for_with_head() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        let head = async |query: &str, who| {
            let path = format!("/projects{query}");
            api.send(Method::HEAD, &path, who, Value::Null).await.status
        };
        assert_eq!(head("?project_name=library", ALICE).await, 200);
        assert_eq!(head("?project_name=absent", ALICE).await, 404);
        assert_eq!(head("", ALICE).await, 400);
        assert_eq!(head("?project_name=library", NOBODY).await, 401);
    })
    .await;
}

#[tokio::test]
async fn digits_are_an_id_unless_the_client_says_they_are_a_name() {
    on_each_database(async |api| {
        let id = api.project("4711", "true").await;
        let named = Request::get("/api/v2.0/projects/4711").header("x-is-resource-name", "true");
        let named = api.ask(named.body(Body::Empty).unwrap()).await.json();
        assert_eq!(named["project_id"], id);
        api.get("/projects/4711", ADMIN)
            .await
            .refused(404, "NOT_FOUND");
        let body = json!({"project_name": "by-name"}).to_string();
        let create = Request::post("/api/v2.0/projects")
            .header("authorization", "Basic YWRtaW46SGFyYm9yMTIzNDU=")
            .header("content-type", "application/json")
            .header("x-resource-name-in-location", "true");
        let created = api.ask(create.body(Body::from(body)).unwrap()).await;
        assert_eq!(created.header("location"), "/api/v2.0/projects/by-name");
    })
    .await;
}

#[tokio::test]
async fn a_summary_tells_what_the_caller_may_know() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        api.user(BOB).await;
        api.project("team", "true").await;
        api.member("team", ALICE, 3).await;
        api.behind.hold(&["team/a"]).await;
        let quotas = api.get("/quotas", ADMIN).await.json();
        let team = quotas.as_array().unwrap().iter();
        let mut team = team.filter(|quota| quota["ref"]["name"] == "team");
        let used = &team.next().unwrap()["used"];
        let counts = |guests: usize| {
            json!({"repo_count": 1, "project_admin_count": 1, "maintainer_count": 0,
                "developer_count": 0, "guest_count": guests, "limited_guest_count": 0,
                "quota": {"hard": {"storage": -1}, "used": used}})
        };
        assert_eq!(
            api.get("/projects/team/summary", ALICE).await.json(),
            counts(1)
        );
        assert_eq!(
            api.get("/projects/team/summary", BOB).await.json(),
            json!({"repo_count": 1})
        );
    })
    .await;
}

#[tokio::test]
async fn settings_are_kept_one_by_one() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        api.project("team", "false").await;
        api.member("team", ALICE, 4).await;
        let all = "/projects/team/metadatas/";
        let one = "/projects/team/metadatas/auto_scan";
        let set = |value: &str| json!({"auto_scan": value});
        assert_eq!(api.post(all, ADMIN, set("true")).await.status, 200);
        api.post(all, ADMIN, set("true"))
            .await
            .refused(409, "CONFLICT");
        assert_eq!(
            api.get(all, ALICE).await.json(),
            json!({"public": "false", "auto_scan": "true"})
        );
        api.put(one, ALICE, set("false"))
            .await
            .refused(403, "FORBIDDEN");
        api.put(one, ADMIN, set("often"))
            .await
            .refused(400, "BAD_REQUEST");
        api.put(one, ADMIN, json!({"public": "true"}))
            .await
            .refused(400, "BAD_REQUEST");
        api.put(one, ADMIN, json!({}))
            .await
            .refused(400, "BAD_REQUEST");
        assert_eq!(api.put(one, ADMIN, set("false")).await.status, 200);
        assert_eq!(api.get(one, ALICE).await.json(), set("false"));
        assert_eq!(api.delete(one, ADMIN).await.status, 200);
        api.get(one, ADMIN).await.refused(404, "NOT_FOUND");
        api.put(one, ADMIN, set("true"))
            .await
            .refused(404, "NOT_FOUND");
        api.delete(one, ADMIN).await.refused(404, "NOT_FOUND");
        api.delete("/projects/team/metadatas/public", ADMIN)
            .await
            .refused(400, "BAD_REQUEST");
    })
    .await;
}

#[tokio::test]
async fn a_nul_in_what_a_client_names_is_its_own_fault() {
    on_each_database(async |api| {
        for path in [
            "/projects/%00",
            "/search?q=%00",
            "/users/search?username=%00",
            "/projects?name=a%00",
            "/users?q=username=%00",
        ] {
            api.get(path, ADMIN).await.refused(400, "BAD_REQUEST");
        }
    })
    .await;
}
