//! Immutable tags: what a project's rules select can be neither overwritten nor deleted.

pub(crate) mod queries;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Auth, Error, ProjectId, projects};
use crate::{
    oci::{RepositoryName, Selector},
    store::{self, Listing, Page},
};

store::ids! {
    /// A rule.
    ImmutableRuleId;
}

store::row! {
    /// A rule with its row. `rule` is a [`Rule`] as JSON.
    pub ImmutableRule {
        id: ImmutableRuleId,
        disabled: bool,
        rule: String,
    }
}

/// Selects tags: every selector must accept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Of repository names without the project.
    pub repositories: Vec<Selector>,
    pub tags: Vec<Selector>,
}

impl Rule {
    fn selects_in(&self, repository: &RepositoryName) -> bool {
        let within = repository.within_project();
        self.repositories.iter().all(|one| one.accepts(within))
    }
}

/// The rules that hold in one repository.
#[derive(Debug, Clone, Default)]
pub struct Immutable(Vec<Rule>);

impl FromIterator<Rule> for Immutable {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> Self {
        Self(rules.into_iter().collect())
    }
}

impl Immutable {
    /// Whether a tag can be neither overwritten nor deleted.
    pub fn holds(&self, tag: &str) -> bool {
        let selects = |rule: &Rule| rule.tags.iter().all(|selector| selector.accepts(tag));
        self.0.iter().any(selects)
    }

    /// Whether no tag is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Auth {
    /// What is immutable in a repository now; like every decision at most a second old.
    pub async fn immutable(&self, repository: &RepositoryName) -> Result<Immutable, Error> {
        let Some(name) = repository.project() else {
            return Ok(Immutable::default());
        };
        let rules = self.project_facts(name).await?;
        let rules = rules.map(|facts| facts.immutable).unwrap_or_default();
        let rules = rules.iter().filter(|rule| rule.selects_in(repository));
        Ok(rules.cloned().collect())
    }

    /// The rules of a project by fields `id`, `disabled`.
    pub async fn immutable_rules(
        &self,
        project: ProjectId,
        listing: &Listing,
    ) -> Result<Page<ImmutableRule>, Error> {
        let fixed = vec![store::Value::Integer(project.0)];
        Ok(self.db().page(&queries::RULES, fixed, listing).await?)
    }

    pub async fn create_immutable_rule(
        &self,
        project: ProjectId,
        rule: &Rule,
        disabled: bool,
    ) -> Result<ImmutableRuleId, Error> {
        let mut tx = self.db().begin().await?;
        if !projects::queries::lock(&mut tx, project).await? {
            return Err(Error::NotFound(format!("project {project}")));
        }
        let held = queries::count(&mut tx, project).await?;
        if held >= MAX_RULES {
            return Err(Error::Precondition(format!(
                "a project has at most {MAX_RULES} immutable tag rules"
            )));
        }
        let id = queries::insert(&mut tx, project, &text(rule), disabled)
            .await
            .map_err(told_twice)?;
        tx.commit().await?;
        self.outdate();
        Ok(id)
    }

    pub async fn update_immutable_rule(
        &self,
        project: ProjectId,
        id: ImmutableRuleId,
        (rule, disabled): (&Rule, bool),
    ) -> Result<(), Error> {
        let updated = queries::update(self.db(), (project, id), &text(rule), disabled)
            .await
            .map_err(told_twice)?;
        self.outdate();
        found(updated, id)
    }

    pub async fn delete_immutable_rule(
        &self,
        project: ProjectId,
        id: ImmutableRuleId,
    ) -> Result<(), Error> {
        let deleted = queries::delete(self.db(), project, id).await?;
        self.outdate();
        found(deleted, id)
    }
}

fn found(rows: u64, id: ImmutableRuleId) -> Result<(), Error> {
    if rows == 0 {
        return Err(Error::NotFound(format!("immutable tag rule {id}")));
    }
    Ok(())
}

fn told_twice(error: store::Error) -> Error {
    match error {
        store::Error::Duplicate => {
            Error::Conflict("an immutable tag rule with these selectors".to_owned())
        }
        other => other.into(),
    }
}

fn text(rule: &Rule) -> String {
    serde_json::to_string(rule).unwrap_or_default()
}

/// Of a column that holds a JSON list of rules; what cannot be read holds nothing.
pub(super) fn parse_all(rules: &str) -> Arc<[Rule]> {
    serde_json::from_str::<Vec<Rule>>(rules)
        .inspect_err(|error| tracing::error!("immutable_rules: {error}"))
        .unwrap_or_default()
        .into()
}

/// As many as Harbor allows for retention; each is tried on every push.
const MAX_RULES: i64 = 15;
