use std::{collections::HashMap, fmt::Write};

use serde_json::{Value, json};

use super::{ERROR, SUCCESS, deletions::Outcome};
use crate::{
    clock::Timestamp,
    retention::{
        Mode,
        evaluate::{Deletion, Item, Plan, Verdict, View},
        queries::Counts,
    },
};

/// What became of each item of a repository.
pub(super) struct Report<'a> {
    view: &'a View,
    plan: &'a Plan,
    /// Those that went otherwise than planned.
    otherwise: HashMap<Item, Outcome>,
}

impl<'a> Report<'a> {
    pub(super) fn new(view: &'a View, plan: &'a Plan) -> Self {
        Self {
            view,
            plan,
            otherwise: HashMap::new(),
        }
    }

    pub(super) fn note(&mut self, deletion: Deletion, outcome: Outcome) {
        if outcome == Outcome::Deleted {
            return;
        }
        match deletion {
            Deletion::Tag(item) => {
                self.otherwise.insert(item, outcome);
            }
            Deletion::Artifact(artifact) => {
                let tags = self.view.artifacts[artifact].tags.len();
                for tag in (0..tags).map(Some).chain((tags == 0).then_some(None)) {
                    self.otherwise
                        .insert(Item { artifact, tag }, outcome.clone());
                }
            }
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        let mut outcomes = self.otherwise.values();
        outcomes.any(|outcome| matches!(outcome, Outcome::Failed(_)))
    }

    pub(super) fn status(&self) -> &'static str {
        if self.has_failed() { ERROR } else { SUCCESS }
    }

    /// What is gone, for a webhook; only the first ones.
    pub(super) fn deleted(&self, most: usize) -> Vec<Value> {
        let gone = self.gone();
        gone.take(most)
            .map(|(item, _)| {
                let artifact = &self.view.artifacts[item.artifact];
                let repository = &self.view.repository;
                let name = match self.view.tag(*item) {
                    Some(tag) => format!("{repository}:{}", tag.name),
                    None => format!("{repository}@{}", artifact.digest),
                };
                json!({"type": "image", "name_tag": name, "status": SUCCESS})
            })
            .collect()
    }

    pub(super) fn counts(&self) -> Counts {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let (total, gone) = (self.plan.items.len(), self.gone().count());
        Counts {
            total: count(total),
            retained: count(total - gone),
        }
    }

    /// The columns of Harbor's log.
    pub(super) fn table(&self, mode: Mode) -> String {
        let mut text = String::from(HEAD);
        for (item, verdict) in &self.plan.items {
            let artifact = &self.view.artifacts[item.artifact];
            let tag = self.view.tag(*item);
            let pushed = tag.map_or(artifact.pushed_ms, |tag| tag.pushed_ms);
            let pulled = artifact.pulled_ms.map(Timestamp::from_millis);
            // Writing to a `String` cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                artifact.digest,
                tag.map_or("", |tag| &tag.name),
                artifact.kind,
                Timestamp::from_millis(pushed),
                pulled.map_or_else(String::new, |time| time.to_string()),
                self.word(*item, *verdict),
            );
        }
        let Counts { total, retained } = self.counts();
        let mode = if mode == Mode::Dry { ", dry run" } else { "" };
        let _ = writeln!(text, "retained {retained} of {total}{mode}");
        text
    }

    fn gone(&self) -> impl Iterator<Item = &(Item, Verdict)> {
        self.plan.items.iter().filter(|(item, verdict)| {
            *verdict == Verdict::Delete && !self.otherwise.contains_key(item)
        })
    }

    fn word(&self, item: Item, verdict: Verdict) -> String {
        match (verdict, self.otherwise.get(&item)) {
            (Verdict::Immutable, _) | (_, Some(Outcome::Immutable)) => "IMMUTABLE".to_owned(),
            (_, Some(Outcome::Changed)) => "RETAIN (in use since it was judged)".to_owned(),
            (_, Some(Outcome::Failed(why))) => format!("ERROR: {why}"),
            (Verdict::Retain, _) => "RETAIN".to_owned(),
            (Verdict::Part, _) => "RETAIN (part of an index)".to_owned(),
            (Verdict::Delete, _) => "DEL".to_owned(),
        }
    }
}

const HEAD: &str = "| Digest | Tag | Kind | PushedTime | PulledTime | Retention |\n\
    | --- | --- | --- | --- | --- | --- |\n";
