//! Projects: namespaces with members, and their metadata.

use std::collections::BTreeMap;

use super::{Auth, Error, Principal, ProjectId, UserId};
use crate::store::{self, Listing, Page};

store::row! {
    /// A project. Times are milliseconds since the epoch.
    pub Project {
        id: ProjectId,
        name: String,
        owner_id: UserId,
        owner_name: String,
        public: bool,
        storage_limit: i64,
        created_ms: i64,
        updated_ms: i64,
    }
}

/// What a new project is made of.
#[derive(Debug, Clone, Default)]
pub struct NewProject {
    /// Lower-case letters and digits joined by single `.`, `_` or `-`; 1 to 255 characters.
    pub name: String,
    /// May hold `public` (`true` or `false`), the default is `false`.
    pub metadata: Metadata,
    /// Bytes; -1 is unlimited.
    pub storage_limit: Option<i64>,
}

/// A project's settings by Harbor's names (`ProjectMetadata`).
pub type Metadata = BTreeMap<String, String>;

/// Whose eyes a list of projects is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What the caller may see: all for system administrators, else public ones and own ones.
    Visible,
    /// Only projects the caller is a member of.
    Joined,
}

impl Auth {
    /// Creates a project; its creator becomes its administrator.
    pub async fn create_project(
        &self,
        _creator: &Principal,
        _project: NewProject,
    ) -> Result<ProjectId, Error> {
        Err(Error::Busy)
    }

    pub async fn project(&self, _id: ProjectId) -> Result<Project, Error> {
        Err(Error::Busy)
    }

    pub async fn project_named(&self, _name: &str) -> Result<Project, Error> {
        Err(Error::Busy)
    }

    /// Projects by fields `project_id`, `name`, `owner_id`, `owner`, `public`, `creation_time`, `update_time`.
    pub async fn projects(
        &self,
        _viewer: &Principal,
        _scope: Scope,
        _listing: &Listing,
    ) -> Result<Page<Project>, Error> {
        Err(Error::Busy)
    }

    pub async fn project_metadata(&self, _id: ProjectId) -> Result<Metadata, Error> {
        Err(Error::Busy)
    }

    /// Sets these settings and leaves the others.
    pub async fn set_project_metadata(
        &self,
        _id: ProjectId,
        _metadata: Metadata,
    ) -> Result<(), Error> {
        Err(Error::Busy)
    }

    pub async fn delete_project_metadata(&self, _id: ProjectId, _key: &str) -> Result<(), Error> {
        Err(Error::Busy)
    }

    /// Bytes; -1 is unlimited.
    pub async fn set_storage_limit(&self, _id: ProjectId, _bytes: i64) -> Result<(), Error> {
        Err(Error::Busy)
    }

    /// Marks a project as deleted with its members and robots; its name is free again. The
    /// caller has made sure that it holds no repository.
    pub async fn delete_project(&self, _id: ProjectId) -> Result<(), Error> {
        Err(Error::Busy)
    }
}
