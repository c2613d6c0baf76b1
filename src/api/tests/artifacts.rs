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
                "labels",
                "accessories",
            ],
        );
        assert_eq!(shown["digest"], digest.as_str());
        assert_eq!(shown["extra_attrs"]["architecture"], "arm64");
        assert_eq!(shown["annotations"], json!({ "text": "me" }));
        assert_eq!(shown["tags"][0]["name"], "v1");
        assert_eq!(shown["pull_time"], "0001-01-01T00:00:00Z");
        let link = shown["addition_links"]["build_history"]["href"].as_str();
        let addition = api.get(link.unwrap(), NOBODY).await;
        assert_eq!(addition.json(), json!([]));
        assert_eq!(addition.header("x-content-type-options"), "nosniff");
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

#[tokio::test]
async fn labels_are_made_put_on_artifacts_and_found_by() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        api.user(BOB).await;
        let team = api.project("team", "false").await;
        let other = api.project("other", "false").await;
        api.member("team", ALICE, 4).await;
        let digest = api.behind.push("team/group/app", "v1", "me").await;
        api.behind.push("team/group/app", "v2", "you").await;
        let of_team = json!({"name": "tested", "scope": "p", "project_id": team,
            "color": "#00FF00", "description": "by us"});
        let label = api.post("/labels", ALICE, of_team.clone()).await;
        let label = label.created("/labels/");
        api.post("/labels", ALICE, of_team)
            .await
            .refused(409, "CONFLICT");
        let global = json!({"name": "tested", "scope": "g"});
        api.post("/labels", ALICE, global.clone())
            .await
            .refused(403, "FORBIDDEN");
        let global = api.post("/labels", ADMIN, global).await.created("/labels/");
        let foreign = json!({"name": "theirs", "scope": "p", "project_id": other});
        let foreign = api.post("/labels", ADMIN, foreign).await;
        let foreign = foreign.created("/labels/");
        let shown = api.get(&format!("/labels/{label}"), ALICE).await.json();
        assert_fields(
            &shown,
            &[
                "id",
                "name",
                "description",
                "color",
                "scope",
                "project_id",
                "creation_time",
                "update_time",
            ],
        );
        let labels = format!("{REPOSITORY}/artifacts/v1/labels");
        for id in [label, global] {
            let put = api.post(&labels, ALICE, json!({ "id": id })).await;
            assert_eq!(put.status, 200, "{put:?}");
        }
        let again = api.post(&labels, ALICE, json!({ "id": label })).await;
        again.refused(409, "CONFLICT");
        let wrong = api.post(&labels, ALICE, json!({ "id": foreign })).await;
        wrong.refused(404, "NOT_FOUND");
        let found = format!("{REPOSITORY}/artifacts?q=labels=({label}%20{global})&with_label=true");
        let found = api.get(&found, ALICE).await;
        assert_eq!(found.column("digest"), [digest.as_str()]);
        assert_eq!(found.json()[0]["labels"].as_array().unwrap().len(), 2);
        let taken = api.delete(&format!("{labels}/{global}"), ALICE).await;
        assert_eq!(taken.status, 200);
        let change = json!({"name": "checked", "color": ""});
        let path = format!("/labels/{label}");
        api.put(&path, BOB, change.clone())
            .await
            .refused(403, "FORBIDDEN");
        assert_eq!(api.put(&path, ALICE, change).await.status, 200);
        let query = format!("/labels?scope=p&project_id={team}");
        assert_eq!(api.get(&query, ALICE).await.column("name"), ["checked"]);
        assert_eq!(api.delete(&path, ALICE).await.status, 200);
        let bare = format!("{REPOSITORY}/artifacts/v1?with_label=true");
        assert_eq!(api.get(&bare, ALICE).await.json()["labels"], Value::Null);
    })
    .await;
}

#[tokio::test]
async fn bad_labels_are_refused() {
    on_each_database(async |api| {
        for (path, status, code) in [
            ("/labels", 400, "BAD_REQUEST"),
            ("/labels?scope=p", 400, "BAD_REQUEST"),
            ("/labels?scope=p&project_id=x", 422, "UNPROCESSABLE_ENTITY"),
            ("/labels/999999", 404, "NOT_FOUND"),
        ] {
            api.get(path, ADMIN).await.refused(status, code);
        }
        for body in [
            json!({"name": "", "scope": "g"}),
            json!({"name": "a".repeat(129), "scope": "g"}),
            json!({"name": "a", "scope": "x"}),
        ] {
            api.post("/labels", ADMIN, body)
                .await
                .refused(400, "BAD_REQUEST");
        }
    })
    .await;
}

#[tokio::test]
async fn immutable_tag_rules_are_kept_and_shown_on_tags() {
    on_each_database(async |api| {
        api.user(ALICE).await;
        api.project("team", "false").await;
        api.member("team", ALICE, 4).await;
        for tag in ["v1", "latest"] {
            api.behind.push("team/group/app", tag, "me").await;
        }
        let rule = |pattern: &str| {
            json!({"disabled": false, "priority": 0, "action": "immutable",
                "template": "immutable_template", "params": {},
                "tag_selectors": [
                    {"kind": "doublestar", "decoration": "matches", "pattern": pattern}],
                "scope_selectors": {"repository": [
                    {"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]}})
        };
        let rules = "/projects/team/immutabletagrules";
        let made = api.post(rules, ALICE, rule("v*")).await;
        assert_eq!(made.status, 201, "{made:?}");
        let one = format!("{rules}/{}", made.id());
        let shown = api.get(rules, ALICE).await.json();
        let selector = json!({"kind": "doublestar", "decoration": "matches", "pattern": "v*",
            "extras": ""});
        assert_eq!(shown[0]["tag_selectors"], json!([selector]));
        let tags = api
            .get(&format!("{REPOSITORY}/artifacts/v1/tags?sort=name"), ALICE)
            .await;
        assert_eq!(tags.column("immutable"), [json!(false), json!(true)]);
        let artifact = api.get(&format!("{REPOSITORY}/artifacts/v1"), ALICE).await;
        let immutable = artifact.json()["tags"].as_array().unwrap().clone();
        let is_v1 = |tag: &&Value| tag["name"] == "v1";
        assert_eq!(immutable.iter().find(is_v1).unwrap()["immutable"], true);
        api.post(rules, ALICE, rule("v*"))
            .await
            .refused(409, "CONFLICT");
        for (field, value) in [
            ("tag_selectors", json!([])),
            ("scope_selectors", json!({})),
            ("scope_selectors", json!({"project": []})),
            (
                "tag_selectors",
                json!([{"kind": "regex", "decoration": "matches", "pattern": "a"}]),
            ),
            (
                "tag_selectors",
                json!([{"kind": "doublestar", "decoration": "maybe", "pattern": "a"}]),
            ),
            (
                "tag_selectors",
                json!([{"kind": "doublestar", "decoration": "matches", "pattern": "["}]),
            ),
        ] {
            let mut bad = rule("x");
            bad[field] = value;
            api.post(rules, ALICE, bad)
                .await
                .refused(400, "BAD_REQUEST");
        }
        let mut off = rule("v*");
        off["disabled"] = json!(true);
        assert_eq!(api.put(&one, ALICE, off).await.status, 200);
        assert_eq!(
            api.get(rules, ALICE).await.column("disabled"),
            [json!(true)]
        );
        api.get(rules, NOBODY).await.refused(401, "UNAUTHORIZED");
        assert_eq!(api.delete(&one, ALICE).await.status, 200);
        api.delete(&one, ALICE).await.refused(404, "NOT_FOUND");
    })
    .await;
}
