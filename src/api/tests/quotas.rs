use serde_json::{Value, json};

use super::{ADMIN, ALICE, Api, NOBODY, assert_fields, on_each_database};

fn hard(bytes: i64) -> Value {
    json!({"hard": {"storage": bytes}})
}

async fn names(api: &Api, query: &str) -> Vec<String> {
    let listed = api.get(&format!("/quotas?{query}"), ADMIN).await.json();
    let rows = listed.as_array().unwrap().iter();
    let names = rows.map(|row| row["ref"]["name"].as_str().unwrap().to_owned());
    names.filter(|name| name != "library").collect()
}

#[tokio::test]
async fn a_quota_is_read_and_changed_by_administrators() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        let id = api.project("team", "false").await;
        api.member("team", ALICE, 1).await;
        api.behind.hold(&["team/a", "team/b"]).await;
        let path = format!("/quotas/{id}");
        let quota = api.get(&path, ADMIN).await.json();
        let used = quota["used"]["storage"].as_i64().unwrap();
        assert!(used > 0);
        assert_fields(
            &quota,
            &["id", "ref", "hard", "used", "creation_time", "update_time"],
        );
        assert_eq!(
            quota["ref"],
            json!({"id": id, "name": "team", "owner_name": "admin"})
        );
        assert_eq!(quota["hard"], json!({"storage": -1}));

        assert_eq!(api.put(&path, ADMIN, hard(1)).await.status, 200);
        let summary = api.get("/projects/team/summary", ALICE).await.json();
        assert_eq!(
            summary["quota"],
            json!({"hard": {"storage": 1}, "used": {"storage": used}})
        );
        let statistics = api.get("/statistics", ADMIN).await.json();
        assert_eq!(statistics["total_storage_consumption"], used);
        let acts = api.acts(4).await;
        assert_eq!(
            acts.last().unwrap(),
            "admin changed the storage limit of project team to 1"
        );

        for (body, reason) in [
            (hard(0), "greater than 0"),
            (hard(-2), "greater than 0"),
            (json!({"hard": {}}), "hard.storage is required"),
            (json!({}), "hard.storage is required"),
            (json!({"hard": {"count": 5}}), "resource count"),
            (json!({"hard": {"storage": "1"}}), ""),
        ] {
            let message = api
                .put(&path, ADMIN, body)
                .await
                .refused(400, "BAD_REQUEST");
            assert!(message.contains(reason), "{message}");
        }
        assert_eq!(api.get(&path, ADMIN).await.json()["hard"]["storage"], 1);
        for path in ["/quotas", path.as_str()] {
            api.get(path, ALICE).await.refused(403, "FORBIDDEN");
            api.get(path, NOBODY).await.refused(401, "UNAUTHORIZED");
        }
        api.put(&path, ALICE, hard(-1))
            .await
            .refused(403, "FORBIDDEN");
        let absent = format!("/quotas/{}", id + 1000);
        api.get(&absent, ADMIN).await.refused(404, "NOT_FOUND");
        api.put(&absent, ADMIN, hard(1))
            .await
            .refused(404, "NOT_FOUND");
    })
    .await;
}

#[tokio::test]
async fn quotas_are_found_and_sorted() {
    on_each_database(async |api| {
        let team = api.project("team", "false").await;
        let other = api.project("other", "false").await;
        api.behind.hold(&["team/a"]).await;
        let path = format!("/quotas/{other}");
        assert_eq!(api.put(&path, ADMIN, hard(10)).await.status, 200);
        assert_eq!(names(api, "sort=-hard.storage").await, ["team", "other"]);
        assert_eq!(names(api, "sort=hard.storage").await, ["other", "team"]);
        assert_eq!(names(api, "sort=used.storage").await, ["other", "team"]);
        assert_eq!(names(api, "sort=-used.storage").await, ["team", "other"]);
        let one = format!("reference=project&reference_id={team}");
        assert_eq!(names(api, &one).await, ["team"]);
        assert!(names(api, "reference=user").await.is_empty());
        let page = api.get("/quotas?page_size=1", ADMIN).await;
        assert_eq!(page.header("x-total-count"), "3");
        let unknown = api.get("/quotas?sort=hard.count", ADMIN).await;
        unknown.refused(400, "BAD_REQUEST");
    })
    .await;
}
