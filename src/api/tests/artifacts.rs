use serde_json::{Value, json};

use super::{ADMIN, ALICE, Api, BOB, NOBODY, assert_fields, on_each_database};

const REPOSITORY: &str = "/projects/team/repositories/group%252Fapp";

async fn artifacts(api: &Api) -> Vec<Value> {
    let answer = api.get(&format!("{REPOSITORY}/artifacts"), ADMIN).await;
    answer.column("digest")
}

#[tokio::test]
async fn repositories_are_listed_described_and_deleted() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        api.user(BOB).await;
        api.project("team", "false").await;
        api.project("open", "true").await;
        api.member("team", ALICE, 4).await;
        api.behind
            .hold(&["team/group/app", "team/b", "open/c"])
            .await;
        let listed = api
            .get("/projects/team/repositories?sort=-name", ALICE)
            .await;
        assert_eq!(listed.column("name"), ["team/group/app", "team/b"]);
        assert_eq!(listed.header("x-total-count"), "2");
        let found = api
            .get("/projects/team/repositories?q=name=~APP", ALICE)
            .await;
        assert_eq!(found.column("name"), ["team/group/app"]);
        for (who, count) in [(ADMIN, 3), (ALICE, 3), (BOB, 1), (NOBODY, 1)] {
            let all = api.get("/repositories", who).await;
            assert_eq!(all.column("name").len(), count, "{who:?}");
        }
        let change = json!({ "description": "of the group" });
        assert_eq!(api.put(REPOSITORY, ALICE, change).await.status, 200);
        let shown = api.get(REPOSITORY, ALICE).await.json();
        assert_eq!(shown["description"], "of the group");
        assert_eq!(
            (&shown["artifact_count"], &shown["pull_count"]),
            (&json!(1), &json!(0))
        );
        // Encoded once is as good.
        let once = "/projects/team/repositories/group%2Fapp";
        assert_eq!(api.get(once, ALICE).await.json()["id"], shown["id"]);
        api.get("/projects/team/repositories/none", ALICE)
            .await
            .refused(404, "NOT_FOUND");
        api.delete(REPOSITORY, BOB).await.refused(403, "FORBIDDEN");
        assert_eq!(api.delete(REPOSITORY, ALICE).await.status, 200);
        api.get(REPOSITORY, ALICE).await.refused(404, "NOT_FOUND");
        // The registry has nothing of it either.
        api.behind.walk().await;
        let listed = api.get("/projects/team/repositories", ALICE).await;
        assert_eq!(listed.column("name"), ["team/b"]);
    })
    .await;
}

#[tokio::test]
async fn an_artifact_shows_what_harbors_does() {
    on_each_database(async |api| {
        api.project("team", "true").await;
        let digest = api.behind.push("team/group/app", "v1", "me").await;
        let by_tag = api.get(&format!("{REPOSITORY}/artifacts/v1"), NOBODY).await;
        let shown = by_tag.json();
        assert_fields(
            &shown,
            &[
                "id",
                "type",
                "media_type",
                "manifest_media_type",
                "artifact_type",
                "project_id",
                "repository_id",
                "repository_name",
                "digest",
                "size",
                "push_time",
                "pull_time",
                "extra_attrs",
                "annotations",
                "references",
                "tags",
                "addition_links",
                "accessories",
            ],
        );
        assert_eq!(shown["digest"], digest.as_str());
        assert_eq!(shown["extra_attrs"]["architecture"], "arm64");
        assert_eq!(shown["annotations"], json!({ "text": "me" }));
        assert_eq!(shown["tags"][0]["name"], "v1");
        assert_eq!(shown["pull_time"], "0001-01-01T00:00:00Z");
        let link = shown["addition_links"]["build_history"]["href"].as_str();
        assert_eq!(api.get(link.unwrap(), NOBODY).await.json(), json!([]));
        let bare = format!("{REPOSITORY}/artifacts/{digest}?with_tag=false");
        assert_eq!(api.get(&bare, NOBODY).await.json()["tags"], Value::Null);
        for (path, status, code) in [
            ("artifacts/v2", 404, "NOT_FOUND"),
            ("artifacts/no!tag", 400, "BAD_REQUEST"),
            ("artifacts/v1/additions/readme.md", 400, "BAD_REQUEST"),
            ("artifacts?q=nothing=1", 400, "BAD_REQUEST"),
            ("artifacts?with_tag=perhaps", 422, "UNPROCESSABLE_ENTITY"),
        ] {
            let answer = api.get(&format!("{REPOSITORY}/{path}"), NOBODY).await;
            answer.refused(status, code);
        }
    })
    .await;
}

#[tokio::test]
async fn a_tag_is_made_and_deleted_and_its_siblings_stay() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        api.project("team", "true").await;
        api.member("team", ALICE, 4).await;
        let digest = api.behind.push("team/group/app", "v1", "me").await;
        api.behind.push("team/group/app", "other", "you").await;
        let tags = format!("{REPOSITORY}/artifacts/v1/tags");
        let made = api.post(&tags, ALICE, json!({ "name": "stable" })).await;
        assert_eq!(made.status, 201);
        assert_eq!(
            made.header("location"),
            format!("/api/v2.0{REPOSITORY}/artifacts/{digest}/tags/stable")
        );
        assert_eq!(api.get(&tags, ALICE).await.column("name"), ["stable", "v1"]);
        for (name, status, code) in [
            ("stable", 409, "CONFLICT"),
            ("other", 409, "CONFLICT"),
            ("no tag", 400, "BAD_REQUEST"),
        ] {
            let answer = api.post(&tags, ALICE, json!({ "name": name })).await;
            answer.refused(status, code);
        }
        let delete = |name: &'static str, who| {
            let path = format!("{tags}/{name}");
            async move { api.delete(&path, who).await }
        };
        delete("stable", NOBODY).await.refused(401, "UNAUTHORIZED");
        delete("other", ALICE).await.refused(404, "NOT_FOUND");
        assert_eq!(delete("stable", ALICE).await.status, 200);
        delete("stable", ALICE).await.refused(404, "NOT_FOUND");
        assert_eq!(api.get(&tags, ALICE).await.column("name"), ["v1"]);
    })
    .await;
}

#[tokio::test]
async fn an_artifact_is_deleted_with_its_tags() {
    on_each_database(async |api| {
        api.project("team", "true").await;
        let first = api.behind.push("team/group/app", "v1", "me").await;
        api.behind.push("team/group/app", "v2", "me").await;
        let second = api.behind.push("team/group/app", "v3", "you").await;
        assert_eq!(artifacts(api).await, [second.as_str(), first.as_str()]);
        let path = format!("{REPOSITORY}/artifacts/v2");
        assert_eq!(api.delete(&path, ADMIN).await.status, 200);
        assert_eq!(artifacts(api).await, [second.as_str()]);
        api.delete(&path, ADMIN).await.refused(404, "NOT_FOUND");
        let project = api.get("/projects/team/artifacts", NOBODY).await;
        assert_eq!(project.column("digest"), [second.as_str()]);
        let latest = "/projects/team/artifacts?latest_in_repository=true";
        assert_eq!(api.get(latest, NOBODY).await.column("digest").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_artifact_is_copied_where_the_caller_may_read_and_write() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        api.project("team", "false").await;
        api.project("other", "false").await;
        api.member("team", ALICE, 2).await;
        let digest = api.behind.push("other/app", "v1", "me").await;
        let copy = |from: &str| format!("{REPOSITORY}/artifacts?from={from}");
        let refused = api.post(&copy("other/app:v1"), ALICE, Value::Null).await;
        refused.refused(403, "FORBIDDEN");
        api.member("other", ALICE, 3).await;
        let copied = api.post(&copy("other/app:v1"), ALICE, Value::Null).await;
        assert_eq!(copied.status, 201, "{copied:?}");
        assert_eq!(
            copied.header("location"),
            format!("/api/v2.0{REPOSITORY}/artifacts/{digest}")
        );
        let shown = api.get(&format!("{REPOSITORY}/artifacts/v1"), ALICE).await;
        assert_eq!(shown.json()["digest"], digest.as_str());
        for (from, status, code) in [
            ("other/app:v9", 404, "NOT_FOUND"),
            ("nonsense", 400, "BAD_REQUEST"),
            ("", 422, "UNPROCESSABLE_ENTITY"),
        ] {
            let answer = api.post(&copy(from), ALICE, Value::Null).await;
            answer.refused(status, code);
        }
    })
    .await;
}
