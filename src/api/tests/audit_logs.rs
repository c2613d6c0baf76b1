use serde_json::json;

use super::{ADMIN, ALICE, BOB, NOBODY, assert_fields, on_each_database};

#[tokio::test]
async fn everybody_reads_what_was_done_in_their_own_projects() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        api.user(BOB).await;
        let body = json!({"project_name": "team"});
        assert_eq!(api.post("/projects", ALICE, body).await.status, 201);
        api.project("other", "true").await;
        api.member("team", BOB, 3).await;
        api.acts(5).await;
        let all = api.get("/auditlog-exts?page_size=100", ADMIN).await;
        assert_eq!(all.header("x-total-count"), "5");
        assert_fields(
            &all.json()[0],
            &[
                "id",
                "username",
                "resource",
                "resource_type",
                "operation",
                "op_time",
                "operation_description",
                "operation_result",
            ],
        );
        // The administrator of a project sees what was done in it, a guest nothing.
        let own = api.get("/audit-logs?sort=id", ALICE).await;
        assert_eq!(own.column("resource_type"), ["project", "member"]);
        assert_eq!(own.header("x-total-count"), "2");
        let none = api.get("/audit-logs", BOB).await;
        assert_eq!(
            (none.column("id").len(), none.header("x-total-count")),
            (0, "0")
        );
        api.get("/audit-logs", NOBODY)
            .await
            .refused(401, "UNAUTHORIZED");
        let of_project = api.get("/projects/team/logs", ALICE).await;
        assert_eq!(of_project.column("id").len(), 2);
        let of_project = api.get("/projects/team/auditlog-exts", ADMIN).await;
        assert_eq!(of_project.column("id").len(), 2);
        api.get("/projects/team/logs", BOB)
            .await
            .refused(403, "FORBIDDEN");
    })
    .await;
}

#[tokio::test]
async fn what_was_done_in_an_earlier_project_of_the_name_is_not_shown() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        api.user(BOB).await;
        api.behind.walk().await;
        let body = json!({"project_name": "crew"});
        api.post("/projects", ADMIN, body.clone()).await;
        assert_eq!(api.delete("/projects/crew", ADMIN).await.status, 200);
        api.acts(4).await;
        assert_eq!(api.post("/projects", ALICE, body).await.status, 201);
        api.member("crew", BOB, 1).await;
        api.acts(6).await;
        for (path, who, expected) in [
            ("/audit-logs?sort=id", ALICE, 2),
            ("/audit-logs?q=operation=create", ALICE, 2),
            ("/audit-logs?q=operation=delete", ALICE, 0),
            ("/projects/crew/logs", ALICE, 2),
            ("/projects/crew/auditlog-exts", ADMIN, 2),
            ("/audit-logs?q=project=crew", ADMIN, 4),
        ] {
            let found = api.get(path, who).await;
            assert_eq!(found.column("id").len(), expected, "{path}");
            assert_eq!(
                found.header("x-total-count"),
                expected.to_string(),
                "{path}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn entries_are_found_by_what_they_say_and_paged_behind_the_last() {
    on_each_database(async |api| {
        for name in ["a", "b", "c"] {
            api.project(name, "false").await;
        }
        api.user(ALICE).await;
        api.acts(4).await;
        for (q, count) in [
            ("operation=create", 4),
            ("operation=create,resource_type=project", 3),
            ("resource=~B", 1),
            ("username=nobody", 0),
            ("op_time=[2020-01-01T00:00:00Z~2021-01-01T00:00:00Z]", 0),
        ] {
            let found = api.get(&format!("/audit-logs?q={q}"), ADMIN).await;
            assert_eq!(found.column("id").len(), count, "{q}");
            assert_eq!(found.header("x-total-count"), count.to_string(), "{q}");
        }
        api.get("/audit-logs?q=secret=1", ADMIN)
            .await
            .refused(400, "BAD_REQUEST");
        let first = api.get("/audit-logs?page_size=3", ADMIN).await;
        let second = api.get(&first.next().unwrap(), ADMIN).await;
        assert_eq!(
            (first.column("id").len(), second.column("id").len()),
            (3, 1)
        );
        assert_eq!(second.next(), None);
        let types = api.get("/auditlog-exts/events", ADMIN).await;
        assert!(
            types
                .column("event_type")
                .contains(&json!("create_project"))
        );
    })
    .await;
}
