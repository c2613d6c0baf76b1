//! Who has which role in which project.
//!
//! Who may change that is the caller's to ask ([`Auth::permits`]).

pub(crate) mod queries;
#[cfg(test)]
mod tests;

use std::fmt;

use super::{Auth, Error, GroupId, MemberId, ProjectId, Role, UserId, projects};
use crate::store::{self, Listing, Page, Value};

store::row! {
    /// A membership. `entity_type` is `u` for a user, `g` for a group.
    pub Member {
        id: MemberId,
        project_id: ProjectId,
        entity_id: i64,
        entity_name: String,
        entity_type: String,
        role_id: i64,
    }
}

/// Who can be a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entity {
    User(UserId),
    Group(GroupId),
}

impl Member {
    pub fn role(&self) -> Option<Role> {
        Role::from_id(self.role_id)
    }
}

impl Auth {
    pub async fn add_member(
        &self,
        project: ProjectId,
        entity: impl Into<Entity>,
        role: Role,
    ) -> Result<MemberId, Error> {
        let entity = entity.into();
        let mut tx = self.db().begin().await?;
        if !projects::queries::lock(&mut tx, project).await? {
            return Err(projects::no_project(project));
        }
        if !queries::exists(&mut tx, entity).await? {
            return Err(Error::NotFound(entity.to_string()));
        }
        let id = queries::insert(&mut tx, project, entity, role)
            .await
            .map_err(|error| match error {
                store::Error::Duplicate => {
                    Error::Conflict(format!("a membership of {entity} in project {project}"))
                }
                other => other.into(),
            })?;
        tx.commit().await?;
        self.outdate();
        Ok(id)
    }

    pub async fn member(&self, project: ProjectId, id: MemberId) -> Result<Member, Error> {
        let member = queries::member(self.db(), project, id).await?;
        member.ok_or_else(|| no_member(project, id))
    }

    /// Members by fields `id`, `entity_id`, `entity_name`, `entity_type`, `role_id`.
    pub async fn members(
        &self,
        project: ProjectId,
        listing: &Listing,
    ) -> Result<Page<Member>, Error> {
        let fixed = vec![Value::Integer(project.0)];
        Ok(self.db().page(&queries::MEMBERS, fixed, listing).await?)
    }

    pub async fn set_member_role(
        &self,
        project: ProjectId,
        id: MemberId,
        role: Role,
    ) -> Result<(), Error> {
        let changed = queries::set_role(self.db(), project, id, role).await?;
        self.outdate();
        found(changed, project, id)
    }

    pub async fn remove_member(&self, project: ProjectId, id: MemberId) -> Result<(), Error> {
        let changed = queries::delete(self.db(), project, id).await?;
        self.outdate();
        found(changed, project, id)
    }
}

impl Entity {
    /// The letter in the table and the API.
    const fn kind(self) -> &'static str {
        match self {
            Self::User(_) => "u",
            Self::Group(_) => "g",
        }
    }

    const fn id(self) -> i64 {
        match self {
            Self::User(id) => id.0,
            Self::Group(id) => id.0,
        }
    }
}

impl From<UserId> for Entity {
    fn from(id: UserId) -> Self {
        Self::User(id)
    }
}

impl From<GroupId> for Entity {
    fn from(id: GroupId) -> Self {
        Self::Group(id)
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user {id}"),
            Self::Group(id) => write!(f, "user group {id}"),
        }
    }
}

fn found(changed: u64, project: ProjectId, id: MemberId) -> Result<(), Error> {
    if changed == 0 {
        Err(no_member(project, id))
    } else {
        Ok(())
    }
}

fn no_member(project: ProjectId, id: MemberId) -> Error {
    Error::NotFound(format!("member {id} of project {project}"))
}
