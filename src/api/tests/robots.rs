use http::Method;
use serde_json::{Value, json};

use super::{ADMIN, ALICE, Answer, Api, assert_fields, on_each_database};

fn pulling(project: &str) -> Value {
    let access = json!([{"resource": "repository", "action": "pull"}]);
    json!([{"kind": "project", "namespace": project, "access": access}])
}

fn robot(name: &str, level: &str, permissions: &Value) -> Value {
    json!({"name": name, "level": level, "duration": 30, "permissions": permissions})
}

/// Asks as a robot, whose credentials are known at run time only.
async fn as_robot(api: &Api, path: &str, (name, secret): (&str, &str)) -> Answer {
    let leak = |text: &str| -> &'static str { String::leak(text.to_owned()) };
    api.get(path, Some((leak(name), leak(secret)))).await
}

#[tokio::test]
async fn robots_are_made_shown_changed_and_deleted() {
    on_each_database(async |api| {
        api.project("team", "false").await;
        let made = api
            .post("/robots", ADMIN, robot("ci", "project", &pulling("team")))
            .await;
        let id = made.created("/robots/");
        let made = made.json();
        assert_fields(
            &made,
            &["id", "name", "secret", "creation_time", "expires_at"],
        );
        assert_eq!(made["name"], "robot$team+ci");
        let secret = made["secret"].as_str().unwrap();
        let path = format!("/robots/{id}");
        let shown = api.get(&path, ADMIN).await.json();
        let fields = [
            "id",
            "name",
            "description",
            "level",
            "duration",
            "editable",
            "disable",
            "expires_at",
            "permissions",
            "creator_type",
            "creator_ref",
            "creation_time",
            "update_time",
        ];
        assert_fields(&shown, &fields);
        assert_eq!(shown["permissions"], pulling("team"));

        let signed_in = as_robot(api, "/users/current", ("robot$team+ci", secret)).await;
        signed_in.refused(412, "PRECONDITION");
        let mut change = shown.clone();
        change["disable"] = json!(true);
        change["description"] = json!("off");
        assert_eq!(api.put(&path, ADMIN, change).await.status, 200);
        let refused = as_robot(api, "/users/current", ("robot$team+ci", secret)).await;
        refused.refused(401, "UNAUTHORIZED");
        assert_eq!(api.get(&path, ADMIN).await.json()["description"], "off");
        let renaming = json!({"name": "other"});
        api.put(&path, ADMIN, renaming)
            .await
            .refused(400, "BAD_REQUEST");

        assert_eq!(api.delete(&path, ADMIN).await.status, 200);
        api.get(&path, ADMIN).await.refused(404, "NOT_FOUND");
    })
    .await;
}

#[tokio::test]
async fn a_secret_is_given_or_generated_anew() {
    on_each_database(async |api| {
        api.project("team", "false").await;
        let made = api
            .post("/robots", ADMIN, robot("ci", "project", &pulling("team")))
            .await;
        let path = format!("/robots/{}", made.id());
        let old = made.json()["secret"].as_str().unwrap().to_owned();
        let refresh = async |body: Value| api.send(Method::PATCH, &path, ADMIN, body).await;
        let generated = refresh(json!({"secret": ""})).await.json()["secret"].clone();
        let generated = generated.as_str().unwrap();
        let who = "robot$team+ci";
        let outcome =
            async |secret: &str| as_robot(api, "/users/current", (who, secret)).await.status;
        assert_eq!((outcome(&old).await, outcome(generated).await), (401, 412));
        let given = "Given12345";
        assert_eq!(refresh(json!({"secret": given})).await.json(), json!({}));
        assert_eq!((outcome(generated).await, outcome(given).await), (401, 412));
        refresh(json!({"secret": "weak"}))
            .await
            .refused(400, "BAD_REQUEST");
    })
    .await;
}

#[tokio::test]
async fn robots_are_listed_by_level_and_project() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        let id = api.project("team", "false").await;
        api.member("team", ALICE, 1).await;
        let everywhere = pulling("*");
        api.post("/robots", ADMIN, robot("all", "system", &everywhere))
            .await
            .created("/robots/");
        api.post("/robots", ALICE, robot("ci", "project", &pulling("team")))
            .await
            .created("/robots/");
        let system = api.get("/robots", ADMIN).await;
        assert_eq!(system.column("name"), ["robot$all"]);
        let of_team = format!("/robots?q=Level%3Dproject,ProjectID%3D{id}");
        for who in [ADMIN, ALICE] {
            assert_eq!(
                api.get(&of_team, who).await.column("name"),
                ["robot$team+ci"]
            );
        }
        api.get("/robots", ALICE).await.refused(403, "FORBIDDEN");
        for bad in [
            "Level%3Dproject",
            "Level%3Dmoon",
            "Level%3D~project",
            "Level%3Dproject,ProjectID%3Dx",
        ] {
            api.get(&format!("/robots?q={bad}"), ADMIN)
                .await
                .refused(400, "BAD_REQUEST");
        }
    })
    .await;
}

#[tokio::test]
async fn bad_robots_are_refused() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        api.project("team", "false").await;
        api.project("other", "false").await;
        api.member("team", ALICE, 1).await;
        api.post("/robots", ADMIN, robot("ci", "project", &pulling("team")))
            .await
            .created("/robots/");
        let unknown = json!([{"kind": "project", "namespace": "team",
            "access": [{"resource": "moon", "action": "pull"}]}]);
        let cases = [
            (
                ALICE,
                robot("ci", "project", &pulling("team")),
                409,
                "CONFLICT",
            ),
            (
                ALICE,
                robot("Bad Name", "project", &pulling("team")),
                400,
                "BAD_REQUEST",
            ),
            (ALICE, robot("a", "project", &unknown), 400, "BAD_REQUEST"),
            (ALICE, robot("a", "project", &json!([])), 400, "BAD_REQUEST"),
            (
                ALICE,
                robot("a", "moon", &pulling("team")),
                400,
                "BAD_REQUEST",
            ),
            (
                ALICE,
                robot("a", "project", &pulling("other")),
                403,
                "FORBIDDEN",
            ),
            (
                ALICE,
                robot("a", "project", &pulling("absent")),
                403,
                "FORBIDDEN",
            ),
            (
                ADMIN,
                robot("a", "project", &pulling("absent")),
                404,
                "NOT_FOUND",
            ),
            (
                ALICE,
                robot("a", "system", &pulling("team")),
                403,
                "FORBIDDEN",
            ),
        ];
        for (who, body, status, code) in cases {
            let answer = api.post("/robots", who, body.clone()).await;
            assert_eq!(answer.status, status, "{body} {answer:?}");
            answer.refused(status, code);
        }
    })
    .await;
}

#[tokio::test]
async fn what_robots_can_be_given_is_shown_to_administrators() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        let all = api.get("/permissions", ADMIN).await.json();
        let has = |level: &str, resource: &str, action: &str| {
            let wanted = json!({"resource": resource, "action": action});
            all[level].as_array().unwrap().contains(&wanted)
        };
        assert!(has("system", "registry", "create") && has("project", "repository", "push"));
        assert!(!has("system", "robot", "update"));
        api.project("team", "false").await;
        api.member("team", ALICE, 1).await;
        let seen = api.get("/permissions", ALICE).await.json();
        assert_eq!(seen["system"], json!([]));
        assert_eq!(seen["project"], all["project"]);
    })
    .await;
}
