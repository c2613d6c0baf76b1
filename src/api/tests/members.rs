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
            (
                json!({"role_id": 9, "member_group": {"group_name": "g", "group_type": 3}}),
                400,
                "BAD_REQUEST",
            ),
            (
                json!({"role_id": 2, "member_group": {"id": 999}}),
                400,
                "BAD_REQUEST",
            ),
        ];
        for (body, status, code) in cases {
            let answer = api.post("/projects/team/members", ADMIN, body).await;
            answer.refused(status, code);
        }
        let groups = api.get("/usergroups", ADMIN).await;
        assert_eq!(groups.header("x-total-count"), "0", "none was made");
    })
    .await;
}

#[tokio::test]
async fn groups_are_members_and_administrators_make_them_by_name() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        let project = api.project("team", "false").await;
        api.member("team", ALICE, 1).await;
        let members = "/projects/team/members";
        let location = format!("/projects/{project}/members/");
        let add = async |who, group: serde_json::Value| {
            let body = json!({"role_id": 3, "member_user": null, "member_group": group});
            api.post(members, who, body).await
        };
        let oidc = json!({"group_name": "devs", "group_type": 3});
        let ldap = json!({"ldap_group_dn": "CN=ops"});
        for group in [&oidc, &ldap] {
            let refused = add(ALICE, group.clone()).await;
            refused.refused(400, "BAD_REQUEST");
        }
        let groups = api.get("/usergroups", ADMIN).await;
        assert_eq!(groups.header("x-total-count"), "0", "none was made");
        let devs = add(ADMIN, oidc.clone()).await.created(&location);
        add(ALICE, oidc).await.refused(409, "CONFLICT");
        add(ADMIN, ldap).await.created(&location);
        let made = json!({"group_name": "qa", "group_type": 2});
        let qa = api.post("/usergroups", ADMIN, made).await.id();
        add(ALICE, json!({"id": qa, "group_name": "devs"}))
            .await
            .created(&location);

        let listed = api.get(&format!("{members}?sort=entity_name"), ALICE).await;
        let names = listed.column("entity_name");
        assert_eq!(names, ["admin", "alice", "cn=ops", "devs", "qa"]);
        assert_eq!(listed.column("entity_type"), ["u", "u", "g", "g", "g"]);
        let found = api.get(&format!("{members}?entityname=EV"), ALICE).await;
        assert_eq!(found.column("entity_name"), ["devs"]);

        let one = format!("{members}/{devs}");
        let change = json!({"role_id": 4});
        assert_eq!(api.put(&one, ALICE, change).await.status, 200);
        let shown = api.get(&one, ALICE).await.json();
        assert_eq!(shown["role_name"], "maintainer");
        assert_eq!(api.delete(&one, ALICE).await.status, 200);
        api.get(&one, ALICE).await.refused(404, "NOT_FOUND");
        // The membership has ended, the group has not.
        let groups = api.get("/usergroups?group_name=DEV", ADMIN).await;
        assert_eq!(groups.column("group_name"), ["devs"]);
        let by_name = json!({"group_name": "devs"});
        add(ALICE, by_name).await.created(&location);
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
