//! Tag `immutable`: which tags of a project stay as they are.

use std::collections::BTreeMap;

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Api, Shared,
    act::Act,
    answer::Created,
    caller::Caller,
    error::Error,
    json::Json,
    openapi::Routes,
    paging::{ListQuery, Listed},
    path::PathParameters,
};
use crate::{
    audit::Operation,
    auth::{
        Resource, Verb,
        immutable::{ImmutableRule, ImmutableRuleId, Rule},
        projects::Project,
    },
    oci::{Decoration, Selector},
};

pub(super) fn routes() -> Routes {
    let all = "/projects/{project_name_or_id}/immutabletagrules";
    let one = "/projects/{project_name_or_id}/immutabletagrules/{immutable_rule_id}";
    Routes::new("immutable")
        .get(all, "List immutable tag rules", list)
        .needs_in_project(Resource::ImmutableTag, Verb::List)
        .post(all, "Create an immutable tag rule", create)
        .needs_in_project(Resource::ImmutableTag, Verb::Create)
        .put(one, "Change an immutable tag rule", update)
        .needs_in_project(Resource::ImmutableTag, Verb::Update)
        .delete(one, "Delete an immutable tag rule", delete)
        .needs_in_project(Resource::ImmutableTag, Verb::Delete)
}

/// Which tags of which repositories stay as they are.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ImmutableRule")]
struct RuleShape {
    #[serde(default)]
    id: i64,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    priority: i64,
    #[serde(default = "action")]
    action: String,
    #[serde(default = "template")]
    template: String,
    #[serde(default)]
    params: Option<BTreeMap<String, Value>>,
    #[schemars(example = json!([{"decoration": "matches", "pattern": "**"}]))]
    tag_selectors: Vec<SelectorShape>,
    /// By what they select: `repository`.
    #[schemars(example = json!({REPOSITORY: [{"decoration": "repoMatches", "pattern": "**"}]}))]
    scope_selectors: BTreeMap<String, Vec<SelectorShape>>,
}

/// A pattern of names, and whether they are meant or excepted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ImmutableSelector")]
struct SelectorShape {
    #[serde(default = "doublestar")]
    #[schemars(extend("enum" = [Selector::KIND]))]
    kind: String,
    #[schemars(extend("enum" = ["matches", "excludes", "repoMatches", "repoExcludes"]))]
    decoration: String,
    #[schemars(example = "**")]
    pattern: String,
    #[serde(default)]
    extras: String,
}

fn action() -> String {
    "immutable".to_owned()
}

fn template() -> String {
    "immutable_template".to_owned()
}

fn doublestar() -> String {
    Selector::KIND.to_owned()
}

impl RuleShape {
    /// The rule, after refusing what selects nothing or is not understood.
    fn rule(&self) -> Result<Rule, Error> {
        let unknown = self.scope_selectors.keys().find(|key| *key != REPOSITORY);
        if let Some(unknown) = unknown {
            return Err(Error::BadRequest(format!(
                "`{unknown}` is not a scope of selectors: repository"
            )));
        }
        let repositories = self.scope_selectors.get(REPOSITORY);
        let repositories = repositories.map(Vec::as_slice).unwrap_or_default();
        if repositories.is_empty() || self.tag_selectors.is_empty() {
            return Err(Error::BadRequest(
                "an immutable tag rule needs a selector of repositories and one of tags".into(),
            ));
        }
        if repositories.len() + self.tag_selectors.len() > MAX_SELECTORS {
            return Err(Error::BadRequest(format!(
                "an immutable tag rule has at most {MAX_SELECTORS} selectors"
            )));
        }
        let read = |shapes: &[SelectorShape], words| {
            let selectors = shapes.iter().map(|shape| shape.selector(words));
            selectors.collect::<Result<Vec<_>, _>>()
        };
        Ok(Rule {
            repositories: read(repositories, Selector::REPOSITORY_WORDS)?,
            tags: read(&self.tag_selectors, Selector::TAG_WORDS)?,
        })
    }

    fn of(row: &ImmutableRule) -> Result<Self, Error> {
        let rule: Rule = serde_json::from_str(&row.rule).map_err(|error| {
            Error::internal(format!("immutable_rules, row {}: {error}", row.id))
        })?;
        let shapes = |selectors: Vec<Selector>, words: [&str; 2]| {
            let selectors = selectors.into_iter();
            selectors
                .map(|selector| SelectorShape::of(&selector, words))
                .collect::<Vec<_>>()
        };
        let repositories = shapes(rule.repositories, Selector::REPOSITORY_WORDS);
        Ok(Self {
            id: row.id.0,
            disabled: row.disabled,
            priority: 0,
            action: action(),
            template: template(),
            params: Some(BTreeMap::new()),
            tag_selectors: shapes(rule.tags, Selector::TAG_WORDS),
            scope_selectors: BTreeMap::from([(REPOSITORY.to_owned(), repositories)]),
        })
    }
}

impl SelectorShape {
    fn selector(&self, words: [&str; 2]) -> Result<Selector, Error> {
        Selector::parse(&self.kind, &self.decoration, &self.pattern, words)
            .map_err(Error::BadRequest)
    }

    fn of(selector: &Selector, [matches, excludes]: [&str; 2]) -> Self {
        let decoration = match selector.decoration {
            Decoration::Matches => matches,
            Decoration::Excludes => excludes,
        };
        Self {
            kind: doublestar(),
            decoration: decoration.to_owned(),
            pattern: selector.pattern.to_string(),
            extras: String::new(),
        }
    }
}

async fn list(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    query: ListQuery,
) -> Result<Listed<RuleShape>, Error> {
    let may = (Resource::ImmutableTag, Verb::List);
    let project = api.project(&caller, &path, may).await?;
    let page = api
        .auth
        .immutable_rules(project.id, query.listing())
        .await?;
    let total = page.total;
    let items = page.items.iter().map(RuleShape::of);
    let items = items.collect::<Result<Vec<_>, _>>()?;
    Ok(query.answer(crate::store::Page { items, total }, |shape| shape))
}

async fn create(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(shape): Json<RuleShape>,
) -> Result<Created, Error> {
    let may = (Resource::ImmutableTag, Verb::Create);
    let project = api.project(&caller, &path, may).await?;
    let rule = shape.rule()?;
    let id = api
        .auth
        .create_immutable_rule(project.id, &rule, shape.disabled)
        .await?;
    record(&api, &caller, Operation::Create, (&project, id));
    let path = format!("/projects/{}/immutabletagrules", project.id);
    Ok(Created::at(&path, id))
}

async fn update(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
    Json(shape): Json<RuleShape>,
) -> Result<(), Error> {
    let may = (Resource::ImmutableTag, Verb::Update);
    let project = api.project(&caller, &path, may).await?;
    let id = ImmutableRuleId(path.id("immutable_rule_id")?);
    let rule = shape.rule()?;
    api.auth
        .update_immutable_rule(project.id, id, (&rule, shape.disabled))
        .await?;
    record(&api, &caller, Operation::Update, (&project, id));
    Ok(())
}

async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    path: PathParameters,
) -> Result<(), Error> {
    let may = (Resource::ImmutableTag, Verb::Delete);
    let project = api.project(&caller, &path, may).await?;
    let id = ImmutableRuleId(path.id("immutable_rule_id")?);
    api.auth.delete_immutable_rule(project.id, id).await?;
    record(&api, &caller, Operation::Delete, (&project, id));
    Ok(())
}

fn record(
    api: &Api,
    caller: &Caller,
    operation: Operation,
    (project, id): (&Project, ImmutableRuleId),
) {
    let act = Act {
        operation,
        resource_type: "immutable_tag_rule",
        resource: &id.to_string(),
        project: Some(&project.name),
        description: format!("did {} the immutable tag rule {id}", operation.as_str()),
    };
    api.record(caller, &act);
}

const REPOSITORY: &str = "repository";

const MAX_SELECTORS: usize = 20;
