//! Projects: namespaces with members, and their settings.
//!
//! Who may change a project is the caller's to ask ([`Auth::permits`]). `metadata.rs` knows the
//! settings' rules.

mod metadata;
pub(crate) mod queries;
#[cfg(test)]
mod tests;

use super::{
    Auth, Error, Principal, ProjectId, Resource, Role, UserId, Verb, members, users::BUILT_IN_ADMIN,
};
use crate::{
    oci::RepositoryName,
    settings::{self, ProjectCreation},
    store::{self, Filter, Listing, Page, Test, Tx, Value},
};

pub use metadata::Metadata;

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
    /// May hold `public` (`true` or `false`); the default is `false`.
    pub metadata: Metadata,
    /// Bytes; -1 is unlimited; `None`: what the settings say.
    pub storage_limit: Option<i64>,
}

/// A project and what it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub project: ProjectId,
    pub bytes: u64,
}

/// Which projects a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What the caller may see: all for system administrators, for robots what they were
    /// granted, else public ones and those one is a member of, also by a group.
    Visible,
    /// Only projects the caller is a member of.
    Joined,
}

impl Auth {
    /// Whether the principal may create projects.
    pub fn may_create_projects(&self, principal: &Principal) -> bool {
        match (principal, self.settings().project_creation_restriction) {
            (Principal::User { .. }, ProjectCreation::Everyone) => true,
            _ => self.permits_system(principal, Resource::Project, Verb::Create),
        }
    }

    /// Creates a project; its creator becomes its administrator, the built-in administrator
    /// for what a robot creates. Refused to those who may not create projects.
    pub async fn create_project(
        &self,
        creator: &Principal,
        project: NewProject,
    ) -> Result<ProjectId, Error> {
        if !self.may_create_projects(creator) {
            return Err(Error::Forbidden(
                "only system administrators may create projects here".to_owned(),
            ));
        }
        let owner = match creator {
            Principal::User { id, .. } => *id,
            _ => self.user_named(BUILT_IN_ADMIN).await?.id,
        };
        self.insert_project(owner, project).await
    }

    pub(super) async fn insert_project(
        &self,
        owner: UserId,
        project: NewProject,
    ) -> Result<ProjectId, Error> {
        check_name(&project.name)?;
        let settings = metadata::checked(project.metadata)?;
        let limit = project.storage_limit;
        let limit = limit.unwrap_or_else(|| usual_limit(&self.settings()));
        let row = queries::Insert {
            name: &project.name,
            owner,
            public: settings.public.unwrap_or(false),
            storage_limit: check_limit(limit)?,
        };
        let mut tx = self.db().begin().await?;
        let id = queries::insert(&mut tx, &row, self.now())
            .await
            .map_err(|error| match error {
                store::Error::Duplicate => Error::Conflict(format!("project {}", project.name)),
                other => other.into(),
            })?;
        for (name, value) in &settings.others {
            queries::put_metadata(&mut tx, id, name, value).await?;
        }
        members::queries::insert(&mut tx, id, owner.into(), Role::ProjectAdmin).await?;
        tx.commit().await?;
        self.outdate();
        Ok(id)
    }

    pub async fn project(&self, id: ProjectId) -> Result<Project, Error> {
        let project = queries::project(self.db(), id).await?;
        project.ok_or_else(|| no_project(id))
    }

    pub async fn project_named(&self, name: &str) -> Result<Project, Error> {
        let project = queries::project_named(self.db(), name).await?;
        project.ok_or_else(|| Error::NotFound(format!("project {name}")))
    }

    /// Projects by fields `project_id`, `name`, `owner_id`, `owner`, `public`, `creation_time`,
    /// `update_time`.
    pub async fn projects(
        &self,
        viewer: &Principal,
        scope: Scope,
        listing: &Listing,
    ) -> Result<Page<Project>, Error> {
        let mut listing = listing.clone();
        let own = |id: &UserId| vec![Value::Integer(id.0)];
        let (selection, fixed) = match (viewer, scope) {
            (Principal::User { id, .. }, Scope::Joined) => (queries::JOINED_PROJECTS, own(id)),
            _ if viewer.is_system_admin() => (queries::ALL_PROJECTS, Vec::new()),
            (Principal::User { id, .. }, Scope::Visible) => (queries::VISIBLE_PROJECTS, own(id)),
            (Principal::Robot { grants, .. }, _) => {
                listing
                    .filters
                    .extend(grants.named_projects().map(|ids| only(&ids)));
                (queries::ALL_PROJECTS, Vec::new())
            }
            (Principal::Anonymous, Scope::Visible) => (queries::PUBLIC_PROJECTS, Vec::new()),
            (Principal::Anonymous, Scope::Joined) => {
                listing.filters.push(only(&[]));
                (queries::PUBLIC_PROJECTS, Vec::new())
            }
        };
        Ok(self.db().page(&selection, fixed, &listing).await?)
    }

    /// All settings, `public` among them.
    pub async fn project_metadata(&self, id: ProjectId) -> Result<Metadata, Error> {
        let project = self.project(id).await?;
        let mut settings = queries::metadata(self.db(), id).await?;
        settings.insert(metadata::PUBLIC.to_owned(), project.public.to_string());
        Ok(settings)
    }

    /// Sets these settings and leaves the others.
    pub async fn set_project_metadata(
        &self,
        id: ProjectId,
        settings: Metadata,
    ) -> Result<(), Error> {
        let settings = metadata::checked(settings)?;
        let mut tx = self.db().begin().await?;
        if !queries::lock(&mut tx, id).await? {
            return Err(no_project(id));
        }
        if let Some(public) = settings.public {
            queries::set_public(&mut tx, id, public, self.now()).await?;
        }
        for (name, value) in &settings.others {
            queries::put_metadata(&mut tx, id, name, value).await?;
        }
        tx.commit().await?;
        self.outdate();
        Ok(())
    }

    /// Takes a setting back; `public` cannot be absent.
    pub async fn delete_project_metadata(&self, id: ProjectId, name: &str) -> Result<(), Error> {
        if name == metadata::PUBLIC {
            return Err(Error::Invalid(
                "`public` cannot be deleted; set it to `true` or `false`".to_owned(),
            ));
        }
        self.project(id).await?;
        match queries::delete_metadata(self.db(), id, name).await? {
            0 => Err(Error::NotFound(format!("setting `{name}` of project {id}"))),
            _ => Ok(()),
        }
    }

    /// Sets a setting that another room keeps, in the transaction of what it stands for.
    pub async fn put_setting(
        &self,
        tx: &mut Tx,
        id: ProjectId,
        (name, value): (&str, &str),
    ) -> Result<(), Error> {
        if !queries::lock(tx, id).await? {
            return Err(no_project(id));
        }
        Ok(queries::put_metadata(tx, id, name, value).await?)
    }

    /// Takes such a setting back, unless it has got another value.
    pub async fn remove_setting(
        &self,
        tx: &mut Tx,
        id: ProjectId,
        (name, value): (&str, &str),
    ) -> Result<(), Error> {
        Ok(queries::remove_metadata(tx, id, (name, value)).await?)
    }

    /// Bytes; -1 is unlimited.
    pub async fn set_storage_limit(&self, id: ProjectId, bytes: i64) -> Result<(), Error> {
        let bytes = check_limit(bytes)?;
        let changed = queries::set_storage_limit(self.db(), id, bytes, self.now()).await?;
        self.outdate();
        match changed {
            0 => Err(no_project(id)),
            _ => Ok(()),
        }
    }

    /// How much a repository's project may hold; like every decision at most a second old.
    /// `None`: as much as it likes.
    pub async fn storage_limit(&self, repository: &RepositoryName) -> Result<Option<Limit>, Error> {
        let Some(name) = repository.project() else {
            return Ok(None);
        };
        let facts = self.project_facts(name).await?;
        Ok(facts.and_then(|facts| {
            Some(Limit {
                project: facts.id,
                bytes: u64::try_from(facts.storage_limit).ok()?,
            })
        }))
    }

    /// Marks a project as deleted and ends its members and robots; its name is free again. The
    /// caller has made sure that it holds no repository.
    pub async fn delete_project(&self, id: ProjectId) -> Result<(), Error> {
        let mut tx = self.db().begin().await?;
        if !queries::lock(&mut tx, id).await? {
            return Err(no_project(id));
        }
        queries::delete(&mut tx, id, self.now()).await?;
        tx.commit().await?;
        self.outdate();
        Ok(())
    }
}

pub(super) fn no_project(id: ProjectId) -> Error {
    Error::NotFound(format!("project {id}"))
}

fn only(ids: &[ProjectId]) -> Filter {
    Filter {
        field: "project_id".to_owned(),
        test: Test::AnyOf(ids.iter().map(ToString::to_string).collect()),
    }
}

/// `[a-z0-9]+(?:[._-][a-z0-9]+)*`, as Harbor has it for projects and robots.
pub(super) fn is_plain_name(name: &str) -> bool {
    name.len() <= 255
        && name.split(['.', '_', '-']).all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
}

fn check_name(name: &str) -> Result<(), Error> {
    if is_plain_name(name) {
        return Ok(());
    }
    Err(Error::Invalid(
        "a project name has 1 to 255 lower-case letters and digits, with single . _ or - between \
         them"
            .to_owned(),
    ))
}

fn check_limit(bytes: i64) -> Result<i64, Error> {
    if bytes == UNLIMITED || bytes > 0 {
        return Ok(bytes);
    }
    Err(Error::Invalid(
        "a storage limit is a number of bytes greater than 0, or -1 for none".to_owned(),
    ))
}

/// The limit of a project whose creator names none.
const fn usual_limit(settings: &settings::Values) -> i64 {
    if settings.quota_per_project_enable {
        settings.storage_per_project
    } else {
        UNLIMITED
    }
}

const UNLIMITED: i64 = -1;
