//! People with a password.

use super::{Auth, Error, UserId};
use crate::{
    secret::Secret,
    store::{self, Listing, Page},
};

store::row! {
    /// A user, as `GET /users/{id}` shows it. Times are milliseconds since the epoch.
    pub User {
        id: UserId,
        name: String,
        email: Option<String>,
        realname: String,
        comment: String,
        system_admin: bool,
        created_ms: i64,
        updated_ms: i64,
    }
}

/// What a new user is made of.
#[derive(Debug, Clone)]
pub struct NewUser {
    pub name: String,
    pub password: Secret,
    pub profile: Profile,
}

/// What users may change about themselves.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    pub email: Option<String>,
    pub realname: String,
    pub comment: String,
}

impl Auth {
    /// Creates a user; 8 to 128 characters of password with an upper-case and a lower-case letter and a digit.
    pub async fn create_user(&self, _user: NewUser) -> Result<UserId, Error> {
        Err(Error::Busy)
    }

    /// A user that is not deleted.
    pub async fn user(&self, _id: UserId) -> Result<User, Error> {
        Err(Error::Busy)
    }

    /// The user of that exact name.
    pub async fn user_named(&self, _name: &str) -> Result<User, Error> {
        Err(Error::Busy)
    }

    /// Users by fields `user_id`, `username`, `email`, `realname`, `sysadmin_flag`, `creation_time`, `update_time`.
    pub async fn users(&self, _listing: &Listing) -> Result<Page<User>, Error> {
        Err(Error::Busy)
    }

    pub async fn update_profile(&self, _id: UserId, _profile: Profile) -> Result<(), Error> {
        Err(Error::Busy)
    }

    pub async fn grant_system_admin(&self, _id: UserId) -> Result<(), Error> {
        Err(Error::Busy)
    }

    pub async fn revoke_system_admin(&self, _id: UserId) -> Result<(), Error> {
        Err(Error::Busy)
    }

    /// Sets a new password; every remembered login and refresh token of the user ends at once.
    pub async fn set_password(&self, _id: UserId, _password: &Secret) -> Result<(), Error> {
        Err(Error::Busy)
    }

    /// Whether this is the user's password; counts as a login attempt from `source`.
    pub async fn check_password(
        &self,
        _source: std::net::IpAddr,
        _id: UserId,
        _password: &Secret,
    ) -> Result<(), Error> {
        Err(Error::Busy)
    }

    /// Marks a user as deleted: the name is free again, memberships and refresh tokens end.
    pub async fn delete_user(&self, _id: UserId) -> Result<(), Error> {
        Err(Error::Busy)
    }
}
