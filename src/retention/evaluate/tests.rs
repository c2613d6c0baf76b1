use std::time::{Duration, Instant};

use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::*;
use crate::{auth::immutable, oci::Selector, retention::policy::RuleSpec};

const NOW: i64 = 1000 * DAY_MS;

fn rule(template: &str, number: Option<u64>, tags: &Value) -> Rule {
    let params = number.map_or(json!({}), |number| json!({template: number}));
    parse(&json!({
        "template": template, "params": params, "tag_selectors": tags,
        "scope_selectors": {"repository": [
            {"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"},
        ]},
    }))
}

fn parse(spec: &Value) -> Rule {
    let spec: RuleSpec = serde_json::from_value(spec.clone()).unwrap();
    Rule::parse(&spec).unwrap()
}

fn immutable(tags: &str) -> immutable::Rule {
    immutable::Rule {
        repositories: Vec::new(),
        tags: vec![Selector::parse(Selector::KIND, "matches", tags, Selector::TAG_WORDS).unwrap()],
    }
}

/// With artifacts without tags, as Harbor has it unless told otherwise.
fn all() -> Value {
    json!([{"decoration": "matches", "pattern": "**"}])
}

fn matching(pattern: &str) -> Value {
    json!([{"decoration": "matches", "pattern": pattern, "extras": "{\"untagged\":false}"}])
}

/// Each artifact: its tags, the days since it was pushed and since it was pulled.
fn view(artifacts: &[(&[&str], i64, Option<i64>)]) -> View {
    let candidates = artifacts.iter().enumerate().map(|(index, artifact)| {
        let (tags, pushed, pulled) = artifact;
        let pushed_ms = NOW - pushed * DAY_MS;
        let seen = |name: &&str| TagSeen {
            name: (*name).to_owned(),
            pushed_ms,
        };
        Candidate {
            digest: format!("d{index}"),
            kind: "IMAGE".to_owned(),
            pushed_ms,
            pulled_ms: pulled.map(|days| NOW - days * DAY_MS),
            tags: tags.iter().map(seen).collect(),
        }
    });
    View {
        repository: "app".to_owned(),
        artifacts: candidates.collect(),
        parts: Vec::new(),
        immutable: Immutable::default(),
    }
}

/// What is kept: tags by name, artifacts without by digest.
fn kept(rules: &[Rule], view: &View) -> Vec<String> {
    let plan = evaluate(rules, view, NOW).unwrap();
    let kept = plan.items.iter().filter(|item| item.1 != Verdict::Delete);
    kept.map(|(item, _)| name(view, *item)).collect()
}

fn name(view: &View, item: Item) -> String {
    let digest = &view.artifacts[item.artifact].digest;
    view.tag(item).map_or(digest, |tag| &tag.name).clone()
}

/// In order; an artifact that goes as a whole by its digest.
fn deletions(rules: &[Rule], view: &View) -> Vec<String> {
    let plan = evaluate(rules, view, NOW).unwrap();
    let name = |deletion: &Deletion| match deletion {
        Deletion::Tag(item) => name(view, *item),
        Deletion::Artifact(index) => view.artifacts[*index].digest.clone(),
    };
    plan.deletions.iter().map(name).collect()
}

#[test]
fn each_template_keeps_what_it_says() {
    let view = view(&[
        (&["a"], 1, None),
        (&["b"], 2, Some(1)),
        (&["c"], 40, Some(5)),
        (&["d"], 50, None),
        (&[], 3, None),
    ]);
    let cases: &[(&str, Option<u64>, &[&str])] = &[
        ("latestPushedK", Some(2), &["a", "b"]),
        ("latestPushedK", Some(0), &[]),
        ("latestPushedK", None, &["a", "b", "c", "d", "d4"]),
        // What was pulled goes before what never was, however new that is.
        ("latestPulledN", Some(2), &["b", "c"]),
        ("latestPulledN", Some(3), &["a", "b", "c"]),
        ("latestActiveK", Some(3), &["a", "b", "d4"]),
        ("latestActiveK", Some(4), &["a", "b", "c", "d4"]),
        ("lastXDays", Some(2), &["a", "b"]),
        ("nDaysSinceLastPush", None, &["a", "b", "d4"]),
        // What was never pulled counts from its push.
        ("nDaysSinceLastPull", Some(5), &["a", "b", "c", "d4"]),
        ("nDaysSinceLastPull", Some(4), &["a", "b", "d4"]),
        ("always", None, &["a", "b", "c", "d", "d4"]),
    ];
    for (template, number, expected) in cases {
        let found = kept(&[rule(template, *number, &all())], &view);
        assert_eq!(found, *expected, "{template} {number:?}");
    }
}

#[test]
fn selectors_choose_tags_and_whether_untagged_artifacts_count() {
    let view = view(&[
        (&["v1", "latest"], 1, None),
        (&["v2", "dev-2"], 2, None),
        (&[], 3, None),
    ]);
    let untagged = |decoration: &str, pattern: &str, untagged: bool| json!([{"decoration": decoration, "pattern": pattern, "extras": json!({"untagged": untagged}).to_string()}]);
    let both = json!([
        {"decoration": "matches", "pattern": "{v*,dev-*}", "extras": "{\"untagged\":true}"},
        {"decoration": "excludes", "pattern": "dev-*", "extras": "{\"untagged\":false}"},
    ]);
    for (selectors, expected) in [
        (untagged("matches", "v*", true), vec!["v1", "v2", "d2"]),
        (untagged("matches", "v*", false), vec!["v1", "v2"]),
        (
            untagged("excludes", "dev-*", true),
            vec!["v1", "latest", "v2", "d2"],
        ),
        (untagged("excludes", "**", true), vec!["d2"]),
        (both, vec!["v1", "v2"]),
        (json!([]), vec!["v1", "latest", "v2", "dev-2", "d2"]),
    ] {
        let found = kept(&[rule("always", None, &selectors)], &view);
        assert_eq!(found, expected, "{selectors}");
    }
}

#[test]
fn what_one_rule_keeps_is_kept() {
    let view = view(&[(&["v1"], 9, None), (&["dev"], 8, None), (&["x"], 7, None)]);
    let rules = [
        rule("always", None, &matching("v*")),
        rule("latestPushedK", Some(1), &matching("dev")),
    ];
    assert_eq!(kept(&rules, &view), ["v1", "dev"]);
}

#[test]
fn a_repository_that_no_rule_is_for_is_not_touched() {
    let view = view(&[(&["v1"], 9, None)]);
    let scoped = |decoration: &str, pattern: &str, disabled: bool| {
        parse(&json!({
            "template": "latestPushedK", "params": {"latestPushedK": 0}, "disabled": disabled,
            "tag_selectors": all(),
            "scope_selectors": {"repository": [{"decoration": decoration, "pattern": pattern}]},
        }))
    };
    for (rule, is_touched) in [
        (scoped("repoMatches", "app", false), true),
        (scoped("repoMatches", "app", true), false),
        (scoped("repoMatches", "other/**", false), false),
        (scoped("repoExcludes", "app", false), false),
        (scoped("repoExcludes", "other", false), true),
    ] {
        let plan = evaluate(std::slice::from_ref(&rule), &view, NOW);
        assert_eq!(plan.is_some(), is_touched, "{rule:?}");
    }
    assert_eq!(evaluate(&[], &view, NOW), None);
}

#[test]
fn an_artifact_with_one_kept_tag_stays_and_loses_the_others() {
    let view = view(&[(&["v1", "tmp"], 1, None), (&["tmp2", "tmp3"], 2, None)]);
    let rules = [rule("always", None, &matching("v*"))];
    assert_eq!(kept(&rules, &view), ["v1"]);
    assert_eq!(deletions(&rules, &view), ["tmp", "d1"]);
}

#[test]
fn an_immutable_tag_is_kept_and_takes_no_place() {
    let mut view = view(&[
        (&["v3", "tmp"], 1, None),
        (&["v2"], 2, None),
        (&["v1"], 3, None),
    ]);
    view.immutable = [immutable("v[13]")].into_iter().collect();
    let rules = [rule("latestPushedK", Some(1), &matching("v2"))];
    assert_eq!(kept(&rules, &view), ["v3", "v2", "v1"]);
    assert_eq!(deletions(&rules, &view), ["tmp"]);
}

#[test]
fn two_tags_of_one_artifact_count_once() {
    let view = view(&[
        (&["v3", "latest"], 1, None),
        (&["v2"], 2, None),
        (&["v1"], 3, None),
    ]);
    let rules = [rule("latestPushedK", Some(2), &all())];
    assert_eq!(kept(&rules, &view), ["v3", "latest", "v2"]);
}

#[test]
fn an_index_that_stays_keeps_its_parts() {
    let mut view = view(&[
        (&["v1"], 1, None),
        (&["v1-arm"], 1, None),
        (&["v0"], 9, None),
        (&["v0-arm"], 9, None),
        (&[], 9, None),
    ]);
    let parts = [("d1", "d0"), ("d3", "d2"), ("d4", "unlisted")];
    view.parts = parts
        .map(|(part, index)| (part.to_owned(), index.to_owned()))
        .to_vec();
    let rules = [rule("latestPushedK", Some(1), &matching("v?"))];
    // The arm image of v1 loses its tag only; those of v0 go with it, after it.
    assert_eq!(deletions(&rules, &view), ["v1-arm", "d2", "d3"]);
    assert_eq!(kept(&rules, &view), ["v1", "d4"]);
}

#[test]
fn parts_go_after_their_index_at_any_depth() {
    let mut view = view(&[(&["a"], 1, None), (&["b"], 1, None), (&["c"], 1, None)]);
    let parts = [("d0", "d1"), ("d1", "d2")];
    view.parts = parts
        .map(|(part, index)| (part.to_owned(), index.to_owned()))
        .to_vec();
    let none = [rule("latestPushedK", Some(0), &all())];
    assert_eq!(deletions(&none, &view), ["d2", "d1", "d0"]);
    // The outermost stays: so do all below it.
    let outermost = [rule("always", None, &matching("c"))];
    assert_eq!(deletions(&outermost, &view), ["a", "b"]);
}

#[test]
fn ten_thousand_tags_are_planned_in_seconds() {
    let names: Vec<String> = (0..10_000).map(|number| format!("v{number}")).collect();
    let rows: Vec<[&str; 1]> = names.iter().map(|name| [name.as_str()]).collect();
    let rows: Vec<(&[&str], i64, Option<i64>)> = rows
        .iter()
        .zip(0..)
        .map(|(tags, days)| (tags.as_slice(), days % 500, Some(days % 70)))
        .collect();
    let mut view = view(&rows);
    let part = |number: usize| (format!("d{number}"), format!("d{}", number - 1));
    view.parts = (1..10_000).step_by(2).map(part).collect();
    let rules: Vec<Rule> = [
        "latestPushedK",
        "latestPulledN",
        "latestActiveK",
        "lastXDays",
    ]
    .iter()
    .cycle()
    .take(15)
    .map(|template| rule(template, Some(20), &all()))
    .collect();
    let began = Instant::now();
    let plan = evaluate(&rules, &view, NOW).unwrap();
    let elapsed = began.elapsed();
    assert_eq!(plan.items.len(), 10_000);
    assert!(plan.deletions.len() > 5000, "{}", plan.deletions.len());
    // Unoptimised, on a busy machine; a quadratic plan takes minutes.
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
}

/// Whether the rule keeps the item, said as slowly as it can be.
fn naively_kept(rule: &Rule, view: &View, item: Item) -> bool {
    let accepted = |item: Item| rule.accepts(view.tag(item).map(|tag| tag.name.as_str()));
    let time = |item: Item| match rule.template {
        Template::LatestPulled => match view.pulled(item) {
            Some(pulled) => (1, pulled),
            None => (0, view.pushed(item)),
        },
        Template::LatestActive => (0, view.pulled(item).max(Some(view.pushed(item))).unwrap()),
        _ => (0, view.pushed(item)),
    };
    let best = |artifact: usize| {
        let of_artifact = items(view).into_iter();
        of_artifact
            .filter(|other| other.artifact == artifact && accepted(*other))
            .map(time)
            .max()
    };
    let days = NOW - i64::try_from(rule.number).unwrap() * DAY_MS;
    accepted(item)
        && match rule.template {
            Template::Always => true,
            Template::LastDays | Template::PushedWithin => view.pushed(item) >= days,
            Template::PulledWithin => view.pulled(item).unwrap_or(view.pushed(item)) >= days,
            _ => {
                let own = best(item.artifact);
                let better = (0..view.artifacts.len()).filter(|other| {
                    let theirs = best(*other);
                    theirs > own || theirs == own && *other < item.artifact
                });
                better.count() < rule.number
            }
        }
}

fn artifact() -> impl Strategy<Value = (Vec<usize>, i64, Option<i64>)> {
    let tags = prop::collection::vec(0..TAGS.len(), 0..3);
    (tags, 0..20_i64, any::<Option<bool>>()).prop_map(|(mut tags, pushed, pulled)| {
        tags.sort_unstable();
        tags.dedup();
        (
            tags,
            pushed,
            pulled.map(|late| if late { pushed / 2 } else { pushed }),
        )
    })
}

const TAGS: [&str; 5] = ["v1", "v2", "dev-1", "dev-2", "latest"];

proptest! {
    #[test]
    fn the_plan_is_what_the_rules_say(
        artifacts in prop::collection::vec(artifact(), 0..8),
        rules in prop::collection::vec((0..7_usize, 0..6_u64, 0..4_usize), 1..4),
        is_latest_immutable: bool,
    ) {
        let patterns = [all(), matching("v*"), matching("dev-*"), matching("latest")];
        let rules: Vec<Rule> = rules
            .into_iter()
            .map(|(template, number, pattern)| {
                rule(Template::ALL[template].name(), Some(number), &patterns[pattern])
            })
            .collect();
        let tags: Vec<Vec<&str>> = artifacts
            .iter()
            .map(|(tags, ..)| tags.iter().map(|tag| TAGS[*tag]).collect())
            .collect();
        let rows: Vec<(&[&str], i64, Option<i64>)> = artifacts
            .iter()
            .zip(&tags)
            .map(|((_, pushed, pulled), tags)| (tags.as_slice(), *pushed, *pulled))
            .collect();
        let mut view = view(&rows);
        if is_latest_immutable {
            view.immutable = [immutable("latest")].into_iter().collect();
        }
        let plan = evaluate(&rules, &view, NOW).unwrap();
        for (item, verdict) in plan.items {
            let is_latest = view.tag(item).is_some_and(|tag| tag.name == "latest");
            let expected = if is_latest && is_latest_immutable {
                Verdict::Immutable
            } else if rules.iter().any(|rule| naively_kept(rule, &view, item)) {
                Verdict::Retain
            } else {
                Verdict::Delete
            };
            prop_assert_eq!(verdict, expected);
        }
    }
}
