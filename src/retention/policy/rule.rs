use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{RuleSpec, SelectorSpec};
use crate::oci::Selector;

/// How a rule chooses among what its selectors let pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    LatestPushed,
    LatestPulled,
    LatestActive,
    /// Harbor keeps two templates that say the same: this one and [`Self::PushedWithin`].
    LastDays,
    PulledWithin,
    PushedWithin,
    Always,
}

/// A rule that makes sense.
#[derive(Debug, Clone)]
pub(in crate::retention) struct Rule {
    pub is_disabled: bool,
    pub template: Template,
    /// Of artifacts or of days; nothing for [`Template::Always`].
    pub number: usize,
    /// All must accept the name of the repository within its project.
    pub repositories: Vec<Selector>,
    /// All must accept the tag.
    pub tags: Vec<TagSelector>,
}

#[derive(Debug, Clone)]
pub(in crate::retention) struct TagSelector {
    pub selector: Selector,
    /// Whether it accepts artifacts without tags.
    pub untagged: bool,
}

impl Template {
    pub const ALL: [Self; 7] = [
        Self::LatestPushed,
        Self::LatestPulled,
        Self::LatestActive,
        Self::LastDays,
        Self::PulledWithin,
        Self::PushedWithin,
        Self::Always,
    ];

    /// Harbor's name, which is also that of its parameter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LatestPushed => "latestPushedK",
            Self::LatestPulled => "latestPulledN",
            Self::LatestActive => "latestActiveK",
            Self::LastDays => "lastXDays",
            Self::PulledWithin => "nDaysSinceLastPull",
            Self::PushedWithin => "nDaysSinceLastPush",
            Self::Always => "always",
        }
    }

    /// What its parameter counts; `None`: it has none.
    pub const fn unit(self) -> Option<&'static str> {
        match self {
            Self::LatestPushed | Self::LatestPulled | Self::LatestActive => Some("COUNT"),
            Self::LastDays | Self::PulledWithin | Self::PushedWithin => Some("DAYS"),
            Self::Always => None,
        }
    }

    /// What it keeps, for people; `#` stands for the parameter.
    pub const fn text(self) -> &'static str {
        match self {
            Self::LatestPushed => "the # artifacts pushed last",
            Self::LatestPulled => "the # artifacts pulled last",
            Self::LatestActive => "the # artifacts pushed or pulled last",
            Self::LastDays | Self::PushedWithin => "what was pushed in the last # days",
            Self::PulledWithin => "what was pulled in the last # days",
            Self::Always => "everything",
        }
    }

    /// Harbor's number for a parameter that is left out.
    const fn default_number(self) -> usize {
        match self {
            Self::PulledWithin | Self::PushedWithin => 30,
            _ => 10,
        }
    }
}

impl Rule {
    /// The error says in words what is wrong.
    pub(in crate::retention) fn parse(spec: &RuleSpec) -> Result<Self, String> {
        if spec.action != "retain" {
            return Err(format!(
                "the action must be `retain`, not `{}`",
                spec.action
            ));
        }
        let template = Template::ALL
            .into_iter()
            .find(|template| template.name() == spec.template)
            .ok_or_else(|| format!("there is no template `{}`", spec.template))?;
        if let Some(other) = spec.scope_selectors.keys().find(|key| *key != "repository") {
            return Err(format!(
                "scope_selectors has `repository`, but no `{other}`"
            ));
        }
        let scopes = spec.scope_selectors.values().flatten();
        Ok(Self {
            is_disabled: spec.disabled,
            template,
            number: number(template, &spec.params)?,
            repositories: scopes.map(scope).collect::<Result<_, _>>()?,
            tags: spec
                .tag_selectors
                .iter()
                .map(TagSelector::parse)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether it is for this repository, named without its project.
    pub(in crate::retention) fn is_for(&self, repository: &str) -> bool {
        let mut scopes = self.repositories.iter();
        !self.is_disabled && scopes.all(|scope| scope.accepts(repository))
    }

    pub(in crate::retention) fn accepts(&self, tag: Option<&str>) -> bool {
        self.tags.iter().all(|selector| selector.accepts(tag))
    }
}

impl TagSelector {
    fn parse(spec: &SelectorSpec) -> Result<Self, String> {
        Ok(Self {
            selector: selector(spec, Selector::TAG_WORDS)?,
            untagged: untagged(spec)?,
        })
    }

    fn accepts(&self, tag: Option<&str>) -> bool {
        tag.map_or(self.untagged, |tag| self.selector.accepts(tag))
    }
}

fn scope(spec: &SelectorSpec) -> Result<Selector, String> {
    selector(spec, Selector::REPOSITORY_WORDS)
}

fn selector(spec: &SelectorSpec, words: [&str; 2]) -> Result<Selector, String> {
    Selector::parse(&spec.kind, &spec.decoration, &spec.pattern, words)
}

/// Harbor's default is true.
fn untagged(spec: &SelectorSpec) -> Result<bool, String> {
    #[derive(Deserialize)]
    struct Extras {
        #[serde(default = "yes")]
        untagged: bool,
    }
    let text = spec.extras.as_deref().unwrap_or_default();
    if text.is_empty() {
        return Ok(true);
    }
    let extras: Extras = serde_json::from_str(text)
        .map_err(|error| format!("extras must be like `{{\"untagged\":true}}`: {error}"))?;
    Ok(extras.untagged)
}

fn yes() -> bool {
    true
}

fn number(template: Template, params: &BTreeMap<String, Value>) -> Result<usize, String> {
    if template.unit().is_none() {
        return Ok(0);
    }
    let Some(value) = params.get(template.name()) else {
        return Ok(template.default_number());
    };
    let parsed = match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64().or_else(|| {
            // Some clients write all numbers with a point.
            let number = value.as_f64()?;
            format!("{number:.0}")
                .parse()
                .ok()
                .filter(|_| number.fract() == 0.0)
        }),
    };
    parsed
        .filter(|number| *number <= MAX_NUMBER)
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| {
            format!(
                "the parameter {} must be a whole number from 0 to {MAX_NUMBER}, not {value}",
                template.name()
            )
        })
}

/// Harbor's.
const MAX_NUMBER: u64 = 32_767;
