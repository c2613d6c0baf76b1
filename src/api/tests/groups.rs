use serde_json::json;

use super::{ADMIN, ALICE, NOBODY, assert_fields, on_each_database};

#[tokio::test]
async fn groups_are_made_shown_renamed_and_deleted() {
    on_each_database(async |api| {
        api.project("team", "false").await;
        let ldap = json!({
            "group_name": "ops", "group_type": 1, "ldap_group_dn": "CN=ops,DC=example",
        });
        let id = api.post("/usergroups", ADMIN, ldap).await;
        let id = id.created("/usergroups/");
        let one = format!("/usergroups/{id}");
        let shown = api.get(&one, ADMIN).await.json();
        assert_fields(&shown, &["id", "group_name", "group_type", "ldap_group_dn"]);
        assert_eq!(shown["ldap_group_dn"], "cn=ops,dc=example");

        let name = json!({"group_name": "operators", "group_type": 3});
        assert_eq!(api.put(&one, ADMIN, name).await.status, 200);
        let shown = api.get(&one, ADMIN).await.json();
        assert_eq!(
            (&shown["group_name"], &shown["group_type"]),
            (&json!("operators"), &json!(1))
        );

        let member = json!({"role_id": 1, "member_group": {"id": id}});
        let made = api.post("/projects/team/members", ADMIN, member).await;
        assert_eq!(made.status, 201);
        assert_eq!(api.delete(&one, ADMIN).await.status, 200);
        let members = api.get("/projects/team/members", ADMIN).await;
        assert_eq!(members.column("entity_name"), ["admin"]);
        api.get(&one, ADMIN).await.refused(404, "NOT_FOUND");
        api.delete(&one, ADMIN).await.refused(404, "NOT_FOUND");
        api.acts(5).await;
        let acts = api
            .get("/auditlog-exts?q=resource_type%3Duser_group&sort=id", ADMIN)
            .await;
        assert_eq!(acts.column("operation"), ["create", "update", "delete"]);
    })
    .await;
}

#[tokio::test]
async fn groups_are_listed_for_administrators_and_found_by_everybody() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        for body in [
            json!({"group_name": "devs", "group_type": 3}),
            json!({"group_name": "ops", "group_type": 1, "ldap_group_dn": "cn=ops"}),
            json!({"group_name": "more devs", "group_type": 2, "ldap_group_dn": ""}),
        ] {
            assert_eq!(api.post("/usergroups", ADMIN, body).await.status, 201);
        }
        let listed = api
            .get("/usergroups?group_name=DEV&sort=-group_name", ADMIN)
            .await;
        assert_eq!(listed.column("group_name"), ["more devs", "devs"]);
        let listed = api.get("/usergroups?ldap_group_dn=CN%3DOps", ADMIN).await;
        assert_eq!(listed.column("group_name"), ["ops"]);
        let page = api.get("/usergroups?page=2&page_size=2", ADMIN).await;
        assert_eq!(page.column("group_name"), ["more devs"]);
        assert_eq!(page.header("x-total-count"), "3");

        let found = api.get("/usergroups/search?groupname=OP", ALICE).await;
        assert_eq!(found.column("group_name"), ["ops"]);
        assert_fields(&found.json()[0], &["id", "group_name", "group_type"]);
        let search = "/usergroups/search";
        api.get(search, ALICE)
            .await
            .refused(422, "UNPROCESSABLE_ENTITY");
        api.get("/usergroups/search?groupname=o", NOBODY)
            .await
            .refused(401, "UNAUTHORIZED");
    })
    .await;
}

#[tokio::test]
async fn bad_groups_are_refused() {
    on_each_database(async |api| {
        let oidc = json!({"group_name": "devs", "group_type": 3});
        let id = api.post("/usergroups", ADMIN, oidc.clone()).await.id();
        for (body, status, code) in [
            (oidc, 409, "CONFLICT"),
            (json!({}), 400, "BAD_REQUEST"),
            (json!({"group_name": "a"}), 400, "BAD_REQUEST"),
            (
                json!({"group_name": "a", "group_type": 1}),
                400,
                "BAD_REQUEST",
            ),
            (
                json!({"group_name": "a\u{0}b", "group_type": 3}),
                400,
                "BAD_REQUEST",
            ),
        ] {
            let answer = api.post("/usergroups", ADMIN, body).await;
            answer.refused(status, code);
        }
        let renamed = api
            .put(&format!("/usergroups/{id}"), ADMIN, json!({}))
            .await;
        renamed.refused(400, "BAD_REQUEST");
        api.get("/usergroups/x", ADMIN)
            .await
            .refused(422, "UNPROCESSABLE_ENTITY");
    })
    .await;
}
