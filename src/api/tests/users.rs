use serde_json::json;

use super::{ADMIN, ALICE, BOB, NOBODY, assert_fields, on_each_database};

#[tokio::test]
async fn users_are_made_shown_changed_and_deleted() {
    on_each_database(async |api| {
        let alice = api.user(ALICE).await;
        let path = format!("/users/{alice}");
        let shown = api.get(&path, ALICE).await.json();
        let fields = [
            "user_id",
            "username",
            "email",
            "realname",
            "comment",
            "sysadmin_flag",
            "admin_role_in_auth",
            "creation_time",
            "update_time",
        ];
        assert_fields(&shown, &fields);
        assert_eq!(
            (&shown["username"], &shown["user_id"]),
            (&json!("alice"), &json!(alice))
        );

        let change = json!({"email": "alice@example.com"});
        assert_eq!(api.put(&path, ALICE, change).await.status, 200);
        let shown = api.get("/users/current", ALICE).await.json();
        assert_eq!(shown["email"], "alice@example.com");
        assert_eq!(shown["realname"], "alice");

        assert_eq!(api.delete(&path, ADMIN).await.status, 200);
        api.get(&path, ADMIN).await.refused(404, "NOT_FOUND");
        api.get("/users/current", ALICE)
            .await
            .refused(401, "UNAUTHORIZED");
    })
    .await;
}

#[tokio::test]
async fn users_are_listed_for_administrators_and_found_by_everybody() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        api.user(BOB).await;
        let listed = api.get("/users?sort=username", ADMIN).await;
        assert_eq!(listed.column("username"), ["admin", "alice", "bob"]);
        assert_eq!(listed.header("x-total-count"), "3");
        let one = api.get("/users?q=username%3Dbob", ADMIN).await;
        assert_eq!(one.column("username"), ["bob"]);

        let found = api.get("/users/search?username=LI", BOB).await;
        assert_fields(&found.json()[0], &["user_id", "username"]);
        assert_eq!(found.column("username"), ["alice"]);
        api.get("/users/search?username=a", NOBODY)
            .await
            .refused(401, "UNAUTHORIZED");
        api.get("/users/search", BOB)
            .await
            .refused(422, "UNPROCESSABLE_ENTITY");
    })
    .await;
}

#[tokio::test]
async fn bad_users_are_refused() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        for (name, password, status, code) in [
            ("alice", "Alice12345", 409, "CONFLICT"),
            ("carol", "short", 400, "BAD_REQUEST"),
            ("", "Alice12345", 400, "BAD_REQUEST"),
            ("a:b", "Alice12345", 400, "BAD_REQUEST"),
        ] {
            let body = json!({"username": name, "password": password});
            api.post("/users", ADMIN, body).await.refused(status, code);
        }
    })
    .await;
}

#[tokio::test]
async fn passwords_are_changed_by_their_owner_with_the_old_one_or_by_an_administrator() {
    on_each_database(async |api| {
        let alice = api.user(ALICE).await;
        api.user(BOB).await;
        let path = format!("/users/{alice}/password");
        let change = |old: &str, new: &str| json!({"old_password": old, "new_password": new});
        let cases = [
            (ALICE, change("Wrong12345", "Fresh12345"), 403),
            (ALICE, change("Alice12345", "Alice12345"), 400),
            (ALICE, change("Alice12345", "weak"), 400),
            (BOB, change("Alice12345", "Fresh12345"), 403),
            (NOBODY, change("Alice12345", "Fresh12345"), 401),
            (ALICE, change("Alice12345", "Fresh12345"), 200),
        ];
        for (who, body, status) in cases {
            let answer = api.put(&path, who, body.clone()).await;
            assert_eq!(answer.status, status, "{who:?} {body} {answer:?}");
        }
        api.get("/users/current", ALICE)
            .await
            .refused(401, "UNAUTHORIZED");
        assert_eq!(
            api.get("/users/current", Some(("alice", "Fresh12345")))
                .await
                .status,
            200
        );
        let reset = json!({"new_password": "Alice12345"});
        assert_eq!(api.put(&path, ADMIN, reset).await.status, 200);
        assert_eq!(api.get("/users/current", ALICE).await.status, 200);
        let absent = api.put(
            "/users/999/password",
            ADMIN,
            json!({"new_password": "Alice12345"}),
        );
        absent.await.refused(404, "NOT_FOUND");
    })
    .await;
}

#[tokio::test]
async fn system_administration_is_given_and_taken() {
    on_each_database(async |api| {
        let alice = api.user(ALICE).await;
        let path = format!("/users/{alice}/sysadmin");
        let flag = |flag: bool| json!({"sysadmin_flag": flag});
        assert_eq!(api.put(&path, ADMIN, flag(true)).await.status, 200);
        assert_eq!(api.get("/users", ALICE).await.status, 200);
        assert_eq!(api.put(&path, ADMIN, flag(false)).await.status, 200);
        api.get("/users", ALICE).await.refused(403, "FORBIDDEN");
        let admin = api.get("/users/current", ADMIN).await.json()["user_id"].clone();
        let own = format!("/users/{admin}");
        api.delete(&own, ADMIN).await.refused(403, "FORBIDDEN");
        let demotion = api
            .put(&format!("{own}/sysadmin"), ADMIN, flag(false))
            .await;
        demotion.refused(403, "FORBIDDEN");
        api.put("/users/1/cli_secret", ALICE, json!({}))
            .await
            .refused(412, "PRECONDITION");
    })
    .await;
}

#[tokio::test]
async fn everybody_sees_their_own_permissions() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        let id = api.project("team", "false").await;
        api.member("team", ALICE, 3).await;
        let has = async |query: &str, resource: &str, action: &str| {
            let path = format!("/users/current/permissions{query}");
            let permitted = api.get(&path, ALICE).await.json();
            let wanted = json!({"resource": resource, "action": action});
            permitted.as_array().unwrap().contains(&wanted)
        };
        let scope = format!("?scope=/project/{id}");
        let resource = format!("/project/{id}/repository");
        assert!(has(&scope, &resource, "pull").await);
        assert!(!has(&scope, &resource, "push").await);
        assert!(has(&format!("{scope}&relative=true"), "repository", "pull").await);
        assert!(has(&format!("{scope}&relative=true"), ".", "read").await);
        assert!(!has("?scope=/system", "/system/user", "list").await);
        assert!(!has("", "repository", "pull").await);
        let system = api
            .get("/users/current/permissions?scope=/system", ADMIN)
            .await
            .json();
        let wanted = json!({"resource": "/system/user", "action": "list"});
        assert!(system.as_array().unwrap().contains(&wanted));
    })
    .await;
}

#[tokio::test]
async fn anybody_registers_while_the_setting_allows_it() {
    on_each_database(async |api| {
        let carol = json!({"username": "carol", "password": "Carol12345"});
        let register = async || api.post("/users", NOBODY, carol.clone()).await;
        register().await.refused(401, "UNAUTHORIZED");
        let setting = json!({"self_registration": true});
        assert_eq!(api.put("/configurations", ADMIN, setting).await.status, 200);
        let info = api.get("/systeminfo", NOBODY).await.json();
        assert_eq!(info["self_registration"], true);
        register().await.created("/users/");
        let shown = api
            .get("/users/current", Some(("carol", "Carol12345")))
            .await;
        assert_eq!(shown.json()["sysadmin_flag"], false);
        let dave = json!({"username": "dave", "password": "Dave123456"});
        let signed_in = api
            .post("/users", Some(("carol", "Carol12345")), dave)
            .await;
        signed_in.refused(403, "FORBIDDEN");
        let acts = api.acts(2).await;
        assert_eq!(acts[1], "carol created the user carol");
        for _ in 0..20 {
            register().await;
        }
        register().await.refused(429, "TOO_MANY_REQUEST");
    })
    .await;
}

#[tokio::test]
async fn users_are_listed_by_a_part_of_their_name_or_e_mail() {
    on_each_database(async |api| {
        let alice = api.user(ALICE).await;
        api.user(BOB).await;
        let change = json!({"email": "a@example.com"});
        let path = format!("/users/{alice}");
        assert_eq!(api.put(&path, ADMIN, change).await.status, 200);
        for query in ["username=LIC", "email=example"] {
            let found = api.get(&format!("/users?{query}"), ADMIN).await;
            assert_eq!(found.column("username"), ["alice"], "{query}");
        }
    })
    .await;
}
