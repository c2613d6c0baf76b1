use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::auth::{
    Error, ProjectId,
    access::{AccessSet, GRANTABLE_IN_PROJECT, GRANTABLE_IN_SYSTEM, Resource, Rule, Verb},
};

/// One entry of a robot's `permissions`, as the API writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RobotPermission")]
pub struct Permission {
    pub kind: PermissionKind,
    /// `/` for the system, else a project's name, or `*` for every project.
    #[schemars(example = &"library", example = "/", example = "*")]
    pub namespace: String,
    pub access: Vec<PermissionAccess>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum PermissionKind {
    System,
    Project,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Access")]
pub struct PermissionAccess {
    pub resource: Resource,
    pub action: Verb,
    /// Empty or `allow`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub effect: String,
}

/// Where a permission holds. A project is meant by its id: a later project of the same name is
/// another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    System,
    EveryProject,
    Project(ProjectId),
}

/// A permission as the database keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Grant {
    pub place: Place,
    #[serde(flatten)]
    pub permission: Permission,
}

impl Permission {
    /// Whether all of it may be granted to a robot, in that kind of place.
    pub(super) fn check(&self) -> Result<(), Error> {
        let rules = match self.kind {
            PermissionKind::System => GRANTABLE_IN_SYSTEM,
            PermissionKind::Project => GRANTABLE_IN_PROJECT,
        };
        if self.access.is_empty() {
            return Err(Error::Invalid(format!(
                "the permission for `{}` grants nothing; name at least one access",
                self.namespace
            )));
        }
        self.access
            .iter()
            .try_for_each(|access| access.check(rules))
    }

    pub(super) fn access_set(&self) -> AccessSet {
        self.access
            .iter()
            .map(|access| (access.resource, access.action))
            .collect()
    }
}

impl PermissionAccess {
    fn check(&self, rules: &[Rule]) -> Result<(), Error> {
        let Self {
            resource,
            action,
            effect,
        } = self;
        if !matches!(effect.as_str(), "" | "allow") {
            return Err(Error::Invalid(format!(
                "effect `{effect}` is not supported; leave it out or say `allow`"
            )));
        }
        let grantable = rules
            .iter()
            .any(|(known, verbs)| known == resource && verbs.contains(action));
        if grantable {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "robots cannot be granted {action} on {resource} there; \
             GET /api/v2.0/permissions lists what can be granted"
        )))
    }
}

/// A robot's permissions in the form they are asked in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    system: AccessSet,
    every_project: AccessSet,
    projects: Vec<(ProjectId, AccessSet)>,
}

impl Grants {
    pub(super) fn of(grants: &[Grant]) -> Self {
        let mut all = Self {
            system: AccessSet::NONE,
            every_project: AccessSet::NONE,
            projects: Vec::new(),
        };
        for grant in grants {
            let set = grant.permission.access_set();
            match grant.place {
                Place::System => all.system = all.system.union(&set),
                Place::EveryProject => all.every_project = all.every_project.union(&set),
                Place::Project(id) => all.projects.push((id, set)),
            }
        }
        all
    }

    pub const fn in_system(&self) -> &AccessSet {
        &self.system
    }

    /// What is granted in one project, by name or by `*`.
    pub fn in_project(&self, project: ProjectId) -> AccessSet {
        self.projects
            .iter()
            .filter(|(id, _)| *id == project)
            .fold(self.every_project, |set, (_, more)| set.union(more))
    }

    /// The projects something is granted in; `None` when in every one.
    pub(in crate::auth) fn named_projects(&self) -> Option<Vec<ProjectId>> {
        (self.every_project == AccessSet::NONE)
            .then(|| self.projects.iter().map(|(id, _)| *id).collect())
    }

    /// Whether everything of `other` is also granted here.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.system.covers(&other.system)
            && self.every_project.covers(&other.every_project)
            && other
                .projects
                .iter()
                .all(|(id, set)| self.in_project(*id).covers(set))
    }
}
