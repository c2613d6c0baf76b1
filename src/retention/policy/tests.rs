use serde_json::{Value, json};

use super::*;

fn spec(rules: &Value, cron: &str) -> PolicySpec {
    PolicySpec {
        project: ProjectId(1),
        rules: serde_json::from_value(rules.clone()).unwrap(),
        cron: cron.to_owned(),
    }
}

fn problem(spec: &PolicySpec) -> String {
    match spec.check() {
        Err(Error::Invalid(problem)) => problem,
        other => panic!("{spec:?} {other:?}"),
    }
}

#[test]
fn a_rule_as_clients_write_it_is_understood() {
    let rules = json!([
        {
            "id": 0, "priority": 0, "disabled": false, "action": "retain",
            "template": "nDaysSinceLastPull", "params": {"nDaysSinceLastPull": 7.0},
            "tag_selectors": [{
                "kind": "doublestar", "decoration": "excludes", "pattern": "v*",
                "extras": "{\"untagged\":false}",
            }],
            "scope_selectors": {"repository": [
                {"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"},
            ]},
        },
        {"template": "always", "params": null, "tag_selectors": null},
        {"template": "latestPushedK", "params": {"latestPushedK": "3"}},
    ]);
    let spec = spec(&rules, "0 30 2 * * *");
    spec.check().unwrap();
    let parsed = spec.parsed().unwrap();
    let numbers: Vec<usize> = parsed.iter().map(|rule| rule.number).collect();
    assert_eq!(numbers, [7, 0, 3]);
    // What is kept is what was written.
    assert_eq!(json!(spec.rules)[0], rules[0]);
}

#[test]
fn rules_that_make_no_sense_are_refused_with_the_reason() {
    let selector = |field: &str, value: &str| {
        let mut selector = json!({"decoration": "matches", "pattern": "**"});
        selector[field] = json!(value);
        json!({"template": "always", "tag_selectors": [selector]})
    };
    let params = |value: Value| json!({"template": "lastXDays", "params": {"lastXDays": value}});
    for (rule, expected) in [
        (json!({"template": "newest"}), "no template `newest`"),
        (
            json!({"template": "always", "action": "delete"}),
            "action must be `retain`",
        ),
        (params(json!(-1)), "whole number from 0"),
        (params(json!(1.5)), "whole number from 0"),
        (params(json!(40_000)), "whole number from 0"),
        (params(json!("many")), "whole number from 0"),
        (selector("kind", "label"), "must be `doublestar`"),
        (
            selector("decoration", "repoMatches"),
            "`matches` or `excludes`",
        ),
        (selector("pattern", "{a"), "does not close"),
        (selector("extras", "untagged"), "extras must be like"),
        (
            json!({"template": "always", "scope_selectors": {"project": []}}),
            "no `project`",
        ),
    ] {
        let problem = problem(&spec(&json!([rule]), ""));
        assert!(problem.starts_with("rule 1: "), "{problem}");
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn too_many_equal_and_too_frequent_are_refused() {
    let rule = |number: usize| json!({"template": "lastXDays", "params": {"lastXDays": number}});
    let many = |count: usize| json!((0..count).map(rule).collect::<Vec<_>>());
    spec(&many(15), "").check().unwrap();
    assert!(problem(&spec(&many(16), "")).contains("at most 15 rules"));
    let twice = json!([rule(1), rule(2), rule(1)]);
    assert_eq!(problem(&spec(&twice, "")), "rule 3 is the same as rule 1");
    for (cron, expected) in [
        ("0 0 2 * *", "six fields"),
        ("* 0 2 * * *", "0 as its seconds"),
        ("0 * 2 * * *", "every minute"),
    ] {
        assert!(
            problem(&spec(&json!([]), cron)).contains(expected),
            "{cron}"
        );
    }
}
