//! Who has which role in which project.

use super::{Auth, Error, MemberId, ProjectId, Role, UserId};
use crate::store::{self, Listing, Page};

store::row! {
    /// A membership. `entity_type` is `u` for a user.
    pub Member {
        id: MemberId,
        project_id: ProjectId,
        entity_id: i64,
        entity_name: String,
        entity_type: String,
        role_id: i64,
    }
}

impl Member {
    pub fn role(&self) -> Option<Role> {
        Role::from_id(self.role_id)
    }
}

impl Auth {
    pub async fn add_member(
        &self,
        _project: ProjectId,
        _user: UserId,
        _role: Role,
    ) -> Result<MemberId, Error> {
        Err(Error::Busy)
    }

    pub async fn member(&self, _project: ProjectId, _id: MemberId) -> Result<Member, Error> {
        Err(Error::Busy)
    }

    /// Members by fields `id`, `entity_name`, `entity_id`, `role_id`.
    pub async fn members(
        &self,
        _project: ProjectId,
        _listing: &Listing,
    ) -> Result<Page<Member>, Error> {
        Err(Error::Busy)
    }

    pub async fn set_member_role(
        &self,
        _project: ProjectId,
        _id: MemberId,
        _role: Role,
    ) -> Result<(), Error> {
        Err(Error::Busy)
    }

    pub async fn remove_member(&self, _project: ProjectId, _id: MemberId) -> Result<(), Error> {
        Err(Error::Busy)
    }
}
