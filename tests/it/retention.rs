//! Retention through Harbor's API, over a real distribution and the embedded registry.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Distribution, Gateway, Http, Image, Options, Skopeo, rule_for_tags, until};

/// Makes the policy that keeps `v*` of the project `library`; its path.
async fn policy(admin: &Http) -> String {
    let project = admin.get("/api/v2.0/projects/library").await.expect(200);
    let mut rule = rule_for_tags("v*");
    rule["template"] = json!("always");
    rule["action"] = json!("retain");
    rule["params"] = json!({});
    let policy = json!({
        "algorithm": "or", "trigger": { "kind": "Schedule", "settings": { "cron": "" } },
        "scope": { "level": "project", "ref": project.json()["project_id"] },
        "rules": [rule],
    });
    let made = admin.post("/api/v2.0/retentions", &policy).await;
    format!("/api/v2.0/retentions/{}", made.expect(201).id())
}

/// Begins a run; its path.
async fn run(admin: &Http, policy: &str, dry_run: bool) -> String {
    let runs = format!("{policy}/executions");
    let begun = admin.post(&runs, &json!({ "dry_run": dry_run })).await;
    format!("{runs}/{}", begun.expect(201).id())
}

/// The tasks of a run that has ended, and the log of its only one.
async fn ended(admin: &Http, run: &str) -> (Value, String) {
    let (runs, id) = run.rsplit_once('/').unwrap();
    let id: i64 = id.parse().unwrap();
    until("the run ends", async || {
        let runs = admin.get(runs).await.expect(200).json();
        let runs = runs.as_array()?.clone();
        let run = runs.iter().find(|run| run["id"] == id)?;
        assert_ne!(run["status"], "Error", "{run}");
        (run["status"] == "Success").then_some(())
    })
    .await;
    let tasks = admin.get(&format!("{run}/tasks")).await.expect(200).json();
    let log = format!("{run}/tasks/{}", tasks[0]["id"]);
    let log = admin.get(&log).await.expect(200).text();
    (tasks, log)
}

fn push(gateway: &Gateway, image: &Image, tag: &str) {
    let name = format!("{}/library/app:{tag}", gateway.host());
    let pushed = Skopeo::at(gateway, "admin").push(image, &name);
    assert!(pushed.status.success(), "{pushed:?}");
}

#[tokio::test]
async fn a_dry_run_says_what_a_run_then_does() {
    let distribution = Distribution::start().await;
    let before_distribution = Options {
        upstream: Some(distribution.url()),
        ..Options::default()
    };
    for gateway in [
        Gateway::start().await,
        Gateway::with(before_distribution).await,
    ] {
        let admin = gateway.admin();
        let (one, two) = (Image::new(&[b"one"]), Image::new(&[b"two"]));
        for (image, tag) in [(&one, "v1"), (&one, "tmp-1"), (&two, "tmp-2")] {
            push(&gateway, image, tag);
        }
        push(&gateway, &Image::new(&[b"three"]), "gold");
        let rules = "/api/v2.0/projects/library/immutabletagrules";
        admin.post(rules, &rule_for_tags("gold")).await.expect(201);
        let policy = policy(&admin).await;

        let dry = run(&admin, &policy, true).await;
        let (tasks, said) = ended(&admin, &dry).await;
        assert_eq!(
            (&tasks[0]["total"], &tasks[0]["retained"]),
            (&json!(4), &json!(2))
        );
        assert_eq!(gateway.registry_tags("library/app").await.len(), 4);

        let real = run(&admin, &policy, false).await;
        let (tasks, done) = ended(&admin, &real).await;
        assert_eq!(
            (&tasks[0]["total"], &tasks[0]["retained"]),
            (&json!(4), &json!(2))
        );
        assert_eq!(gateway.registry_tags("library/app").await, ["gold", "v1"]);
        assert!(said.contains("IMMUTABLE"), "{said}");
        assert_eq!(said.replace(", dry run", ""), done);
    }
}

#[tokio::test]
async fn a_run_that_is_killed_goes_on_after_the_restart() {
    let options = Options {
        extra: "[retention]\ndeletes_per_second = 2\n".to_owned(),
        ..Options::default()
    };
    let mut gateway = Gateway::with(options).await;
    let admin = gateway.admin();
    for number in 0..6_u8 {
        push(
            &gateway,
            &Image::new(&[&[number]]),
            &format!("tmp-{number}"),
        );
    }
    push(&gateway, &Image::new(&[b"kept"]), "v1");
    let policy = policy(&admin).await;
    let run = run(&admin, &policy, false).await;
    while gateway.registry_tags("library/app").await.len() > 5 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gateway.kill_and_restart().await;
    let admin = gateway.admin();
    let (tasks, _log) = ended(&admin, &run).await;
    assert_eq!(tasks[0]["status"], "Success");
    assert_eq!(gateway.registry_tags("library/app").await, ["v1"]);
}
