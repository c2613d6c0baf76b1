//! What holds for every operation.

use http::{Method, Request, header};
use serde_json::{Value, json};

use super::{
    ADMIN, ALICE, NOBODY, on_each_database,
    target::{Target, policy},
};
use crate::wire::Body;

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_in_json() {
    on_each_database(async |api| {
        api.get("/nothing", ADMIN).await.refused(404, "NOT_FOUND");
        let wrong = api.delete("/users", ADMIN).await;
        wrong.refused(405, "METHOD_NOT_ALLOWED");
        assert_eq!(wrong.header("allow"), "GET,HEAD,POST");
        let outside = Request::get("/api/v1/users").body(Body::Empty).unwrap();
        api.ask(outside).await.refused(404, "NOT_FOUND");
    })
    .await;
}

#[tokio::test]
async fn wrong_credentials_are_refused_without_a_challenge() {
    on_each_database(async |api| {
        let wrong = Some(("admin", "Wrong12345"));
        for path in ["/users/current", "/systeminfo", "/projects"] {
            let answer = api.get(path, wrong).await;
            answer.refused(401, "UNAUTHORIZED");
            assert_eq!(answer.header("www-authenticate"), "");
        }
        let bearer = Request::get("/api/v2.0/users/current")
            .header(header::AUTHORIZATION, "Bearer abc")
            .body(Body::Empty)
            .unwrap();
        let message = api.ask(bearer).await.refused(401, "UNAUTHORIZED");
        assert!(message.contains("Basic"), "{message}");
    })
    .await;
}

#[tokio::test]
async fn many_wrong_passwords_are_told_to_wait() {
    on_each_database(async |api| {
        let wrong = Some(("admin", "Wrong12345"));
        let mut last = api.get("/users/current", wrong).await;
        for _ in 0..20 {
            last = api.get("/users/current", wrong).await;
        }
        last.refused(429, "TOO_MANY_REQUEST");
        let wait: u64 = last.header("retry-after").parse().unwrap();
        assert!(wait >= 1);
    })
    .await;
}

#[tokio::test]
async fn bodies_that_do_not_fit_are_refused_with_the_reason() {
    on_each_database(async |api| {
        let cases = [
            ("", 400, "BAD_REQUEST", "needs a JSON body"),
            ("{", 400, "BAD_REQUEST", "EOF"),
            (
                r#"{"username": 3}"#,
                400,
                "BAD_REQUEST",
                "expected a string",
            ),
            (r#"{"username": "x"}"#, 400, "BAD_REQUEST", "password"),
        ];
        for (body, status, code, reason) in cases {
            let request = Request::post("/api/v2.0/users")
                .header(header::AUTHORIZATION, "Basic YWRtaW46SGFyYm9yMTIzNDU=")
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body))
                .unwrap();
            let message = api.ask(request).await.refused(status, code);
            assert!(message.contains(reason), "{body}: {message}");
        }
        let large = json!({"username": "a".repeat(2 << 20), "password": ""});
        let answer = api.post("/users", ADMIN, large).await;
        answer.refused(413, "REQUEST_ENTITY_TOO_LARGE");
    })
    .await;
}

#[tokio::test]
async fn lists_come_in_pages_with_their_total_and_links() {
    on_each_database(async |api| {
        for number in 0..5 {
            api.project(&format!("p{number}"), "false").await;
        }
        let path = "/projects?q=name%3D~p&sort=-name&page=2&page_size=2";
        let page = api.get(path, ADMIN).await;
        assert_eq!(page.column("name"), ["p2", "p1"]);
        assert_eq!(page.header("x-total-count"), "5");
        let link = page.header("link");
        let (prev, next) = link.split_once(", ").unwrap();
        assert!(
            prev.ends_with("page=1&page_size=2>; rel=\"prev\""),
            "{prev}"
        );
        let next = next.strip_prefix("</api/v2.0").unwrap();
        let (next, _relation) = next.split_once('>').unwrap();
        let last = api.get(next, ADMIN).await;
        assert_eq!(last.column("name"), ["p0"]);
        assert!(!last.header("link").contains("next"));
    })
    .await;
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused() {
    on_each_database(async |api| {
        for (query, status, code) in [
            ("page=0", 422, "UNPROCESSABLE_ENTITY"),
            ("page_size=101", 422, "UNPROCESSABLE_ENTITY"),
            ("page_size=x", 422, "UNPROCESSABLE_ENTITY"),
            ("q=colour%3Dred", 400, "BAD_REQUEST"),
            ("q=nonsense", 400, "BAD_REQUEST"),
            ("q=user_id%3Dabc", 400, "BAD_REQUEST"),
            ("sort=colour", 400, "BAD_REQUEST"),
        ] {
            let answer = api.get(&format!("/users?{query}"), ADMIN).await;
            answer.refused(status, code);
        }
        api.get("/users/abc", ADMIN)
            .await
            .refused(422, "UNPROCESSABLE_ENTITY");
    })
    .await;
}

/// Every operation that needs rights, asked by nobody and by somebody without them.
#[tokio::test]
async fn who_may_not_is_refused_everywhere() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        api.project("secret", "false").await;
        let user = json!({"username": "x", "password": "x"});
        let password = json!({"new_password": "x"});
        let robot = json!({"name": "x", "level": "system", "permissions": []});
        let operations = [
            ("GET", "/users", Value::Null),
            ("POST", "/users", user),
            ("GET", "/users/1", Value::Null),
            ("PUT", "/users/1", json!({})),
            ("DELETE", "/users/1", Value::Null),
            ("PUT", "/users/1/sysadmin", json!({"sysadmin_flag": true})),
            ("PUT", "/users/1/password", password),
            ("GET", "/projects/secret", Value::Null),
            ("PUT", "/projects/secret", json!({})),
            ("DELETE", "/projects/secret", Value::Null),
            ("GET", "/projects/absent", Value::Null),
            ("GET", "/projects/secret/_deletable", Value::Null),
            ("GET", "/projects/secret/summary", Value::Null),
            ("GET", "/projects/secret/metadatas/", Value::Null),
            (
                "PUT",
                "/projects/secret/metadatas/public",
                json!({"public": "true"}),
            ),
            ("GET", "/projects/secret/members", Value::Null),
            ("POST", "/projects/secret/members", json!({"role_id": 1})),
            ("GET", "/projects/secret/members/1", Value::Null),
            ("PUT", "/projects/secret/members/1", json!({"role_id": 1})),
            ("DELETE", "/projects/secret/members/1", Value::Null),
            ("GET", "/robots", Value::Null),
            ("POST", "/robots", robot),
            ("GET", "/permissions", Value::Null),
            ("GET", "/systeminfo/volumes", Value::Null),
        ];
        for (method, path, body) in operations {
            let method: Method = method.parse().unwrap();
            let ask = async |who| api.send(method.clone(), path, who, body.clone()).await;
            let (stranger, alice) = (ask(NOBODY).await, ask(ALICE).await);
            let statuses = (stranger.status, alice.status);
            assert_eq!(statuses, (401, 403), "{method} {path} {alice:?}");
            stranger.refused(401, "UNAUTHORIZED");
            alice.refused(403, "FORBIDDEN");
        }
    })
    .await;
}

#[tokio::test]
async fn administrative_acts_are_recorded() {
    on_each_database(async |api| {
        let target = Target::start().await;
        api.user(ALICE).await;
        api.project("team", "false").await;
        api.member("team", ALICE, 2).await;
        let registry = api
            .post("/registries", ADMIN, target.described("mirror"))
            .await
            .id();
        api.post("/replication/policies", ADMIN, policy("p", registry))
            .await
            .id();
        let acts = api.acts(5).await;
        let wanted = [
            "admin created the user alice",
            "admin created project team",
            "admin made alice developer of project team",
            "admin created the registry mirror",
            "admin created the replication policy p",
        ];
        assert_eq!(acts, wanted);
    })
    .await;
}
