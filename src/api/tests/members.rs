use serde_json::json;

use super::{ADMIN, ALICE, BOB, assert_fields, on_each_database};

#[tokio::test]
async fn members_are_added_shown_changed_and_removed() {
    on_each_database(async |api| {
        let alice = api.user(ALICE).await;
        let project = api.project("team", "false").await;
        let members = "/projects/team/members";
        let body = json!({"role_id": 2, "member_user": {"user_id": alice}, "member_group": {}});
        let location = format!("/projects/{project}/members/");
        let id = api.post(members, ADMIN, body).await.created(&location);
        let one = format!("{members}/{id}");
        let shown = api.get(&one, ADMIN).await.json();
        assert_fields(
            &shown,
            &[
                "id",
                "project_id",
                "entity_name",
                "entity_id",
                "entity_type",
                "role_name",
                "role_id",
            ],
        );
        assert_eq!(
            (&shown["role_name"], &shown["entity_type"]),
            (&json!("developer"), &json!("u"))
        );
        assert_eq!(
            api.get("/projects/team", ALICE).await.json()["current_user_role_id"],
            2
        );

        assert_eq!(
            api.put(&one, ADMIN, json!({"role_id": 1})).await.status,
            200
        );
        assert_eq!(api.get(&one, ALICE).await.json()["role_id"], 1);
        let listed = api.get(&format!("{members}?entityname=LIC"), ALICE).await;
        assert_eq!(listed.column("entity_name"), ["alice"]);
        assert_eq!(api.get(members, ALICE).await.header("x-total-count"), "2");

        assert_eq!(api.delete(&one, ADMIN).await.status, 200);
        api.get("/projects/team", ALICE)
            .await
            .refused(403, "FORBIDDEN");
        api.get(&one, ADMIN).await.refused(404, "NOT_FOUND");
        api.put(&one, ADMIN, json!({"role_id": 1}))
            .await
            .refused(404, "NOT_FOUND");
        api.delete(&one, ADMIN).await.refused(404, "NOT_FOUND");
    })
    .await;
}

#[tokio::test]
async fn bad_members_are_refused() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        api.project("team", "false").await;
        api.member("team", ALICE, 2).await;
        let cases = [
            (
                json!({"role_id": 2, "member_user": {"username": "alice"}}),
                409,
                "CONFLICT",
            ),
            (
                json!({"role_id": 9, "member_user": {"username": "alice"}}),
                400,
                "BAD_REQUEST",
            ),
            (
                json!({"role_id": 2, "member_user": {"username": "nobody"}}),
                400,
                "BAD_REQUEST",
            ),
            (json!({"role_id": 2, "member_user": {}}), 400, "BAD_REQUEST"),
            (json!({"role_id": 2}), 400, "BAD_REQUEST"),
            (
                json!({"role_id": 2, "member_group": {"group_name": "g"}}),
                400,
                "BAD_REQUEST",
            ),
        ];
        for (body, status, code) in cases {
            let answer = api.post("/projects/team/members", ADMIN, body).await;
            answer.refused(status, code);
        }
    })
    .await;
}

#[tokio::test]
async fn only_project_administrators_change_members() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        api.user(BOB).await;
        api.project("team", "false").await;
        let own = api.member("team", ALICE, 4).await;
        let body = json!({"role_id": 2, "member_user": {"username": "bob"}});
        let members = "/projects/team/members";
        let one = format!("{members}/{own}");
        assert_eq!(api.get(members, ALICE).await.status, 200);
        api.post(members, ALICE, body.clone())
            .await
            .refused(403, "FORBIDDEN");
        api.put(&one, ALICE, json!({"role_id": 1}))
            .await
            .refused(403, "FORBIDDEN");
        api.delete(&one, ALICE).await.refused(403, "FORBIDDEN");
        assert_eq!(
            api.put(&one, ADMIN, json!({"role_id": 1})).await.status,
            200
        );
        assert_eq!(api.post(members, ALICE, body).await.status, 201);
    })
    .await;
}
