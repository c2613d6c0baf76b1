//! The decision: what of a repository is kept.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use super::policy::{Rule, Template};
use crate::auth::immutable::Immutable;

/// A repository as it was read. Times are milliseconds since the epoch.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// Its name within the project.
    pub repository: String,
    /// What lists show: neither attached to another nor an untagged part of an index.
    pub artifacts: Vec<Candidate>,
    /// A digest and that of an index that lists it.
    pub parts: Vec<(String, String)>,
    /// Which tags nobody may delete.
    pub immutable: Immutable,
}

#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub digest: String,
    /// Harbor's word, for people.
    pub kind: String,
    pub pushed_ms: i64,
    /// The last pull by whatever reference.
    pub pulled_ms: Option<i64>,
    pub tags: Vec<TagSeen>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TagSeen {
    pub name: String,
    pub pushed_ms: i64,
}

/// What is judged: a tag, or an artifact that has none. Indexes into a [`View`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Item {
    pub artifact: usize,
    pub tag: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Retain,
    /// A rule for immutable tags keeps it.
    Immutable,
    /// An index that stays needs it.
    Part,
    Delete,
}

/// A deletion; each concerns one request to the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deletion {
    /// The tag alone: the artifact stays.
    Tag(Item),
    /// The artifact with its tags and what is attached to it.
    Artifact(usize),
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Every item of the view, in its order.
    pub items: Vec<(Item, Verdict)>,
    /// In the order in which they are to be made: an index before its parts.
    pub deletions: Vec<Deletion>,
}

/// What is to become of a repository; `None` when no rule is for it, so that it is not touched.
pub(super) fn evaluate(rules: &[Rule], view: &View, now_ms: i64) -> Option<Plan> {
    let mut rules = rules
        .iter()
        .filter(|rule| rule.is_for(&view.repository))
        .peekable();
    rules.peek()?;
    let items = items(view);
    let mut kept = HashSet::new();
    for rule in rules {
        kept.extend(kept_by(rule, view, &items, now_ms));
    }
    let held = items.iter().copied().filter(|item| view.holds(*item));
    let held: HashSet<Item> = held.collect();
    kept.extend(&held);
    Some(plan(view, items, (&kept, &held)))
}

fn items(view: &View) -> Vec<Item> {
    let artifacts = view.artifacts.iter().enumerate();
    artifacts
        .flat_map(|(artifact, candidate)| {
            let tags = (0..candidate.tags.len()).map(Some);
            let none = candidate.tags.is_empty().then_some(None);
            tags.chain(none).map(move |tag| Item { artifact, tag })
        })
        .collect()
}

fn kept_by(rule: &Rule, view: &View, items: &[Item], now_ms: i64) -> Vec<Item> {
    let accepted = items
        .iter()
        .copied()
        .filter(|item| rule.accepts(view.tag(*item).map(|tag| tag.name.as_str())));
    let days_ms = i64::try_from(rule.number).unwrap_or(i64::MAX / DAY_MS) * DAY_MS;
    let since = now_ms.saturating_sub(days_ms);
    match rule.template {
        Template::Always => accepted.collect(),
        Template::LastDays | Template::PushedWithin => accepted
            .filter(|item| view.pushed(*item) >= since)
            .collect(),
        Template::PulledWithin => accepted
            // What was never pulled had its time since it was pushed.
            .filter(|item| view.pulled(*item).unwrap_or(view.pushed(*item)) >= since)
            .collect(),
        Template::LatestPushed => newest(accepted, rule.number, |item| (0, view.pushed(item))),
        Template::LatestPulled => newest(accepted, rule.number, |item| match view.pulled(item) {
            Some(pulled) => (1, pulled),
            None => (0, view.pushed(item)),
        }),
        Template::LatestActive => newest(accepted, rule.number, |item| {
            (0, view.pushed(item).max(view.pulled(item).unwrap_or(0)))
        }),
    }
}

/// The items of the `number` artifacts whose items have the greatest times; of equal ones those
/// that come first in the view.
fn newest(
    items: impl Iterator<Item = Item>,
    number: usize,
    time: impl Fn(Item) -> (u8, i64),
) -> Vec<Item> {
    let mut times: HashMap<usize, (u8, i64)> = HashMap::new();
    let items: Vec<Item> = items.collect();
    for item in &items {
        let newest = times.entry(item.artifact).or_insert((0, i64::MIN));
        *newest = (*newest).max(time(*item));
    }
    let mut ranked: Vec<(Reverse<(u8, i64)>, usize)> = times
        .into_iter()
        .map(|(artifact, time)| (Reverse(time), artifact))
        .collect();
    ranked.sort_unstable();
    let kept: HashSet<usize> = ranked
        .into_iter()
        .take(number)
        .map(|(_, artifact)| artifact)
        .collect();
    let mut items = items;
    items.retain(|item| kept.contains(&item.artifact));
    items
}

fn plan(view: &View, items: Vec<Item>, (kept, held): (&HashSet<Item>, &HashSet<Item>)) -> Plan {
    let alive: HashSet<usize> = kept.iter().map(|item| item.artifact).collect();
    let doomed = doomed(view, &alive);
    let verdict = |item: Item| {
        if held.contains(&item) {
            Verdict::Immutable
        } else if kept.contains(&item) {
            Verdict::Retain
        } else if item.tag.is_none() && !doomed.contains(&item.artifact) {
            Verdict::Part
        } else {
            Verdict::Delete
        }
    };
    let items: Vec<(Item, Verdict)> = items
        .into_iter()
        .map(|item| (item, verdict(item)))
        .collect();
    let tags = items
        .iter()
        .filter(|(item, verdict)| *verdict == Verdict::Delete && !doomed.contains(&item.artifact));
    let tags: Vec<Deletion> = tags.map(|(item, _)| Deletion::Tag(*item)).collect();
    let artifacts = in_order(view, doomed).into_iter().map(Deletion::Artifact);
    Plan {
        deletions: tags.into_iter().chain(artifacts).collect(),
        items,
    }
}

/// The artifacts that go altogether: nothing of them is kept, and no index that stays lists them.
fn doomed(view: &View, alive: &HashSet<usize>) -> HashSet<usize> {
    let index = view.index();
    let mut doomed: HashSet<usize> = (0..view.artifacts.len())
        .filter(|artifact| !alive.contains(artifact))
        .collect();
    loop {
        let saved: Vec<usize> = view
            .parts
            .iter()
            .filter_map(|(part, parent)| {
                let part = *index.get(part.as_str())?;
                let parent = index.get(parent.as_str());
                let parent_goes = parent.is_some_and(|parent| doomed.contains(parent));
                (!parent_goes && doomed.contains(&part)).then_some(part)
            })
            .collect();
        if saved.is_empty() {
            return doomed;
        }
        for part in saved {
            doomed.remove(&part);
        }
    }
}

/// Indexes before their parts, else in the view's order.
fn in_order(view: &View, doomed: HashSet<usize>) -> Vec<usize> {
    let index = view.index();
    let parents: Vec<(usize, usize)> = view
        .parts
        .iter()
        .filter_map(|(part, parent)| {
            let (part, parent) = (*index.get(part.as_str())?, *index.get(parent.as_str())?);
            (part != parent && doomed.contains(&part) && doomed.contains(&parent))
                .then_some((part, parent))
        })
        .collect();
    let mut left: Vec<usize> = doomed.into_iter().collect();
    left.sort_unstable();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waiting: HashSet<usize> = left.iter().copied().collect();
        let blocked: HashSet<usize> = parents
            .iter()
            .filter(|(_, parent)| waiting.contains(parent))
            .map(|(part, _)| *part)
            .collect();
        let (later, now): (Vec<usize>, Vec<usize>) =
            left.iter().partition(|artifact| blocked.contains(artifact));
        if now.is_empty() {
            // Digests cannot list each other; should the rows say so, nobody waits.
            ordered.extend(later);
            break;
        }
        ordered.extend(now);
        left = later;
    }
    ordered
}

impl View {
    pub(super) fn tag(&self, item: Item) -> Option<&TagSeen> {
        self.artifacts[item.artifact].tags.get(item.tag?)
    }

    fn holds(&self, item: Item) -> bool {
        let tag = self.tag(item);
        tag.is_some_and(|tag| self.immutable.holds(&tag.name))
    }

    fn pushed(&self, item: Item) -> i64 {
        let artifact = &self.artifacts[item.artifact];
        self.tag(item)
            .map_or(artifact.pushed_ms, |tag| tag.pushed_ms)
    }

    fn pulled(&self, item: Item) -> Option<i64> {
        self.artifacts[item.artifact].pulled_ms
    }

    fn index(&self) -> HashMap<&str, usize> {
        let numbered = self.artifacts.iter().enumerate();
        numbered
            .map(|(index, artifact)| (artifact.digest.as_str(), index))
            .collect()
    }
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests;
