use serde::{Deserialize, Serialize};

use crate::auth::{
    ProjectId,
    access::{AccessSet, Resource, Verb},
};

/// One entry of a robot's `permissions`, as the API and the database write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    pub kind: PermissionKind,
    /// `/` for the system, else a project's name, or `*` for every project.
    pub namespace: String,
    pub access: Vec<PermissionAccess>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PermissionKind {
    System,
    Project,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermissionAccess {
    pub resource: Resource,
    pub action: Verb,
    /// Empty or `allow`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub effect: String,
}

/// A robot's permissions in the form they are asked in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    system: AccessSet,
    every_project: AccessSet,
    projects: Vec<(ProjectId, AccessSet)>,
}

impl Grants {
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
}
