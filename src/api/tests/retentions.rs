use std::time::Duration;

use serde_json::{Value, json};

use super::{ADMIN, ALICE, Api, BOB, NOBODY, assert_fields, on_each_database};

fn policy(project: i64, number: usize) -> Value {
    json!({
        "algorithm": "or",
        "rules": [{
            "id": 0, "priority": 0, "disabled": false, "action": "retain",
            "template": "latestPushedK", "params": {"latestPushedK": number},
            "tag_selectors": [{
                "kind": "doublestar", "decoration": "matches", "pattern": "**",
                "extras": "{\"untagged\":true}",
            }],
            "scope_selectors": {"repository": [
                {"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"},
            ]},
        }],
        "trigger": {"kind": "Schedule", "settings": {"cron": "0 0 0 * * *"}, "references": {}},
        "scope": {"level": "project", "ref": project},
    })
}

/// The run, once it has ended.
async fn run(api: &Api, id: i64, dry_run: bool) -> Value {
    let path = format!("/retentions/{id}/executions");
    let started = api.post(&path, ALICE, json!({"dry_run": dry_run})).await;
    let execution = started.created(&format!("{path}/"));
    loop {
        let listed = api.get(&path, ALICE).await.json();
        let rows = listed.as_array().unwrap().iter();
        let mut rows = rows.filter(|row| row["id"] == execution);
        let found = rows.next().unwrap().clone();
        if found["status"] != "Running" {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_policy_is_made_read_changed_and_deleted() {
    on_each_database(async |api| {
        let project = api.project("team", "false").await;
        api.user(ALICE).await;
        api.user(BOB).await;
        api.member("team", ALICE, 2).await;
        api.member("team", BOB, 3).await;
        let made = api.post("/retentions", ALICE, policy(project, 3)).await;
        let id = made.created("/retentions/");
        let path = format!("/retentions/{id}");
        let shown = api.get(&path, ALICE).await.json();
        let mut expected = policy(project, 3);
        expected["id"] = json!(id);
        assert_eq!(shown, expected);
        let setting = "/projects/team/metadatas/retention_id";
        let shown = api.get(setting, ADMIN).await.json();
        assert_eq!(shown["retention_id"], id.to_string());
        let again = api.post("/retentions", ADMIN, policy(project, 4)).await;
        again.refused(409, "CONFLICT");

        let mut changed = policy(project, 5);
        changed["trigger"]["settings"]["cron"] = json!("");
        changed["id"] = json!(id);
        assert_eq!(api.put(&path, ALICE, changed.clone()).await.status, 200);
        assert_eq!(api.get(&path, ALICE).await.json(), changed);
        let moved = api.put(&path, ADMIN, policy(project + 1, 5)).await;
        moved.refused(400, "BAD_REQUEST");

        api.get(&path, BOB).await.refused(403, "FORBIDDEN");
        api.get(&path, NOBODY).await.refused(401, "UNAUTHORIZED");
        let absent = format!("/retentions/{}", id + 1);
        api.get(&absent, ADMIN).await.refused(404, "NOT_FOUND");
        assert_eq!(api.delete(&path, ALICE).await.status, 200);
        api.get(&path, ADMIN).await.refused(404, "NOT_FOUND");
        api.get(setting, ADMIN).await.refused(404, "NOT_FOUND");
        let acts = api.acts(8).await;
        let own = acts.iter().filter(|act| act.contains("retention policy"));
        let own: Vec<_> = own.map(String::as_str).collect();
        assert_eq!(
            own,
            ["created", "changed", "deleted"]
                .map(|verb| format!("alice {verb} the retention policy of project team"))
        );
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_makes_no_sense_is_refused_with_the_reason() {
    on_each_database(async |api| {
        let project = api.project("team", "false").await;
        for (pointer, value, reason) in [
            ("/rules/0/template", json!("newest"), "rule 1: there is no"),
            ("/rules/0/action", json!("nothing"), "rule 1: the action"),
            ("/algorithm", json!("and"), "the algorithm"),
            ("/scope/level", json!("system"), "the scope's level"),
            ("/trigger/kind", json!("Event"), "the trigger's kind"),
            ("/trigger/settings/cron", json!("daily"), "the cron"),
            ("/trigger/settings/cron", json!(5), "the trigger's cron"),
            ("/rules/0/params", json!([]), "the request body"),
        ] {
            let mut policy = policy(project, 1);
            *policy.pointer_mut(pointer).unwrap() = value;
            let answer = api.post("/retentions", ADMIN, policy).await;
            let message = answer.refused(400, "BAD_REQUEST");
            assert!(message.starts_with(reason), "{message}");
        }
        let nowhere = api.post("/retentions", ADMIN, policy(project + 1, 1)).await;
        nowhere.refused(404, "NOT_FOUND");
    })
    .await;
}

#[tokio::test]
async fn a_run_shows_its_tasks_and_their_logs() {
    on_each_database(async |api| {
        let project = api.project("team", "false").await;
        api.user(ALICE).await;
        api.member("team", ALICE, 2).await;
        for tag in ["v1", "v2", "v3"] {
            api.behind.push("team/group/app", tag, tag).await;
        }
        api.behind.walk().await;
        let made = api.post("/retentions", ALICE, policy(project, 1)).await;
        let id = made.created("/retentions/");
        let tags = async || {
            let path = "/projects/team/repositories/group%252Fapp/artifacts";
            let listed = api.get(path, ADMIN).await.json();
            let rows = listed.as_array().unwrap().iter();
            let mut tags: Vec<String> = rows
                .map(|row| row["tags"][0]["name"].as_str().unwrap().to_owned())
                .collect();
            tags.sort();
            tags
        };
        let dry = run(api, id, true).await;
        assert_eq!(
            (&dry["status"], &dry["dry_run"]),
            (&json!("Success"), &json!(true))
        );
        assert_eq!(tags().await, ["v1", "v2", "v3"]);

        let real = run(api, id, false).await;
        assert_fields(
            &real,
            &[
                "id",
                "policy_id",
                "start_time",
                "end_time",
                "status",
                "trigger",
                "dry_run",
            ],
        );
        assert_eq!(
            (&real["status"], &real["trigger"]),
            (&json!("Success"), &json!("Manual"))
        );
        assert_eq!(tags().await, ["v3"]);
        let path = format!("/retentions/{id}/executions/{}", real["id"]);
        let listed = api.get(&format!("{path}/tasks"), ALICE).await;
        assert_eq!(listed.header("x-total-count"), "1");
        let task = listed.json()[0].clone();
        assert_eq!(task["repository"], "group/app");
        assert_eq!((&task["total"], &task["retained"]), (&json!(3), &json!(1)));
        let log = format!("{path}/tasks/{}", task["id"]);
        let log = api.get(&log, ALICE).await;
        assert_eq!(log.header("content-type"), "text/plain; charset=utf-8");
        let log = String::from_utf8(log.body.to_vec()).unwrap();
        assert_eq!(log.matches("| DEL |").count(), 2, "{log}");
        assert!(log.ends_with("retained 1 of 3\n"), "{log}");

        let stop = json!({"action": "stop"});
        let method = http::Method::PATCH;
        assert_eq!(
            api.send(method.clone(), &path, ALICE, stop.clone())
                .await
                .status,
            200
        );
        let answer = api
            .send(method.clone(), &path, ALICE, json!({"action": "go"}))
            .await;
        answer.refused(400, "BAD_REQUEST");
        let absent = format!("/retentions/{id}/executions/999999");
        let answer = api.send(method, &absent, ALICE, stop).await;
        answer.refused(404, "NOT_FOUND");
        for path in [format!("{absent}/tasks"), format!("{path}/tasks/999999")] {
            api.get(&path, ALICE).await.refused(404, "NOT_FOUND");
        }
    })
    .await;
}

#[tokio::test]
async fn the_vocabulary_names_every_template() {
    on_each_database(async |api| {
        let shown = api.get("/retentions/metadatas", ADMIN).await.json();
        let names: Vec<&str> = shown["templates"]
            .as_array()
            .unwrap()
            .iter()
            .map(|template| template["rule_template"].as_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "latestPushedK",
                "latestPulledN",
                "latestActiveK",
                "lastXDays",
                "nDaysSinceLastPull",
                "nDaysSinceLastPush",
                "always",
            ]
        );
        assert_eq!(shown["templates"][0]["params"][0]["unit"], "COUNT");
        assert_eq!(shown["templates"][6]["params"], json!([]));
        assert_eq!(
            shown["tag_selectors"][0]["decorations"],
            json!(["matches", "excludes"])
        );
        api.get("/retentions/metadatas", NOBODY)
            .await
            .refused(401, "UNAUTHORIZED");
    })
    .await;
}
