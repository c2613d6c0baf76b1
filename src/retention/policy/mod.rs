//! What a policy says: as people write it ([`PolicySpec`], Harbor's words), and as it is
//! evaluated ([`Rule`]), which exists only if the words make sense.

mod rule;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Error, PolicyId};
use crate::{auth::ProjectId, jobs::Cron, oci::Selector};

pub(super) use rule::Rule;
pub use rule::Template;

/// A policy as it is kept.
#[derive(Debug, Clone)]
pub struct Policy {
    pub id: PolicyId,
    pub spec: PolicySpec,
}

/// What people say of a policy.
#[derive(Debug, Clone)]
pub struct PolicySpec {
    pub project: ProjectId,
    pub rules: Vec<RuleSpec>,
    /// Six fields; empty: only by hand.
    pub cron: String,
}

/// A rule in Harbor's JSON (`RetentionRule`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RetentionRule")]
pub struct RuleSpec {
    #[serde(default)]
    pub id: i64,
    #[serde(default)]
    pub priority: i64,
    #[serde(default)]
    pub disabled: bool,
    #[serde(default = "retain")]
    #[schemars(extend("enum" = ["retain"]))]
    pub action: String,
    #[schemars(extend("enum" = Template::ALL.map(Template::name)))]
    pub template: String,
    /// Numbers by their names: the template's name again.
    #[serde(default, deserialize_with = "or_default")]
    #[schemars(with = "BTreeMap<String, u64>")]
    pub params: BTreeMap<String, Value>,
    #[serde(default, deserialize_with = "or_default")]
    pub tag_selectors: Vec<SelectorSpec>,
    #[serde(default, deserialize_with = "or_default")]
    pub scope_selectors: BTreeMap<String, Vec<SelectorSpec>>,
}

/// A selector in Harbor's JSON (`RetentionSelector`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RetentionSelector")]
pub struct SelectorSpec {
    #[serde(default = "doublestar")]
    #[schemars(extend("enum" = [Selector::KIND]))]
    pub kind: String,
    pub decoration: String,
    #[serde(default)]
    pub pattern: String,
    /// A JSON object as text; `untagged` is the only field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = "{\"untagged\":true}")]
    pub extras: Option<String>,
}

impl PolicySpec {
    /// Checks what can be checked without looking anything up.
    pub fn check(&self) -> Result<(), Error> {
        self.parsed()?;
        if let Some(problem) = self.repeated() {
            return Err(Error::Invalid(problem));
        }
        self.schedule().map(drop)
    }

    /// The rules that are evaluated.
    pub(super) fn parsed(&self) -> Result<Vec<Rule>, Error> {
        if self.rules.len() > MAX_RULES {
            return Err(Error::Invalid(format!(
                "a retention policy has at most {MAX_RULES} rules, this one has {}",
                self.rules.len()
            )));
        }
        let numbered = self.rules.iter().enumerate();
        numbered
            .map(|(index, spec)| {
                Rule::parse(spec)
                    .map_err(|problem| Error::Invalid(format!("rule {}: {problem}", index + 1)))
            })
            .collect()
    }

    fn repeated(&self) -> Option<String> {
        let same = |a: &RuleSpec, b: &RuleSpec| {
            a.template == b.template
                && a.params == b.params
                && a.tag_selectors == b.tag_selectors
                && a.scope_selectors == b.scope_selectors
        };
        let rules = &self.rules;
        (1..rules.len()).find_map(|index| {
            let first = rules[..index].iter().position(|r| same(r, &rules[index]))?;
            Some(format!(
                "rule {} is the same as rule {}",
                index + 1,
                first + 1
            ))
        })
    }

    /// When it runs by itself; Harbor's rule that no schedule fires every second or minute.
    pub(super) fn schedule(&self) -> Result<Option<Cron>, Error> {
        if self.cron.is_empty() {
            return Ok(None);
        }
        let refused = |problem: String| {
            Error::Invalid(format!("the cron expression `{}`: {problem}", self.cron))
        };
        let cron = Cron::parse(&self.cron).map_err(|error| refused(error.to_string()))?;
        let mut fields = self.cron.split_ascii_whitespace();
        if fields.next() != Some("0") {
            return Err(refused("must have 0 as its seconds".to_owned()));
        }
        if fields.next() == Some("*") {
            return Err(refused("must not run every minute".to_owned()));
        }
        Ok(Some(cron))
    }
}

/// Clients write `null` for what they leave out.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn retain() -> String {
    "retain".to_owned()
}

fn doublestar() -> String {
    Selector::KIND.to_owned()
}

/// Harbor's limit.
pub const MAX_RULES: usize = 15;
