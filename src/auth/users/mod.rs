//! People with a password: create, list, change, delete.
//!
//! Who may do so is the caller's to ask ([`Auth::permits_system`]); the rules for names,
//! passwords and the built-in administrator are kept here.

mod import;
pub(crate) mod queries;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use import::{Admission, Keep, Newcomer};

use super::{Auth, Error, Principal, UserId, password, refresh, robots};
use crate::{
    secret::Secret,
    store::{self, Listing, Page},
};

/// The first system administrator, who can neither be deleted nor lose that right: there is
/// always somebody who can sign in.
pub const BUILT_IN_ADMIN: &str = "admin";

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
    /// Creates a user, who is no system administrator.
    pub async fn create_user(&self, user: NewUser) -> Result<UserId, Error> {
        self.insert_user(user, false).await
    }

    /// Creates a user for whoever asks, while the settings let anybody. It counts like a failed
    /// login of `source`, so that nobody makes many.
    pub async fn register_user(&self, source: IpAddr, user: NewUser) -> Result<UserId, Error> {
        if !self.settings().self_registration {
            return Err(Error::Forbidden(
                "only system administrators create users here".to_owned(),
            ));
        }
        self.charge(self.parts().limiter.attempt(source, ""))?;
        self.create_user(user).await
    }

    /// Creates a system administrator.
    pub(super) async fn create_system_admin(&self, user: NewUser) -> Result<UserId, Error> {
        self.insert_user(user, true).await
    }

    async fn insert_user(&self, user: NewUser, system_admin: bool) -> Result<UserId, Error> {
        check_name(&user.name)?;
        let profile = checked(user.profile)?;
        password::check_rules("password", &user.password)?;
        if robots::queries::account(self.db(), &user.name)
            .await?
            .is_some()
        {
            return Err(Error::Conflict(format!("robot account {}", user.name)));
        }
        let hash = self.hash(&user.password).await?;
        let row = queries::Insert {
            name: &user.name,
            profile: &profile,
            password_hash: &hash,
            system_admin,
        };
        let mut tx = self.db().begin().await?;
        let id = queries::insert(&mut tx, &row, self.now())
            .await
            .map_err(|error| match error {
                store::Error::Duplicate => Error::Conflict(match &profile.email {
                    Some(email) => format!("a user named {} or with e-mail {email}", user.name),
                    None => format!("user {}", user.name),
                }),
                other => other.into(),
            })?;
        tx.commit().await?;
        self.outdate();
        Ok(id)
    }

    /// A user that is not deleted.
    pub async fn user(&self, id: UserId) -> Result<User, Error> {
        let user = queries::user(self.db(), id).await?;
        user.ok_or_else(|| Error::NotFound(format!("user {id}")))
    }

    /// The user of that exact name.
    pub async fn user_named(&self, name: &str) -> Result<User, Error> {
        let user = queries::user_named(self.db(), name).await?;
        user.ok_or_else(|| Error::NotFound(format!("user {name}")))
    }

    /// Users by fields `user_id`, `username`, `email`, `realname`, `comment`, `sysadmin_flag`,
    /// `creation_time`, `update_time`.
    pub async fn users(&self, listing: &Listing) -> Result<Page<User>, Error> {
        Ok(self.db().page(&queries::USERS, Vec::new(), listing).await?)
    }

    pub async fn update_profile(&self, id: UserId, profile: Profile) -> Result<(), Error> {
        let profile = checked(profile)?;
        let changed = queries::update_profile(self.db(), id, &profile, self.now())
            .await
            .map_err(|error| match error {
                store::Error::Duplicate => Error::Conflict("a user with that e-mail".to_owned()),
                other => other.into(),
            })?;
        found(changed, id)
    }

    pub async fn grant_system_admin(&self, id: UserId) -> Result<(), Error> {
        let changed = queries::set_system_admin(self.db(), id, true, self.now()).await?;
        self.outdate();
        found(changed, id)
    }

    /// Refused for [`BUILT_IN_ADMIN`].
    pub async fn revoke_system_admin(&self, id: UserId) -> Result<(), Error> {
        self.refuse_built_in(id).await?;
        let changed = queries::set_system_admin(self.db(), id, false, self.now()).await?;
        self.outdate();
        found(changed, id)
    }

    /// Sets a new password; remembered logins and refresh tokens of the user end at once.
    pub async fn set_password(&self, id: UserId, password: &Secret) -> Result<(), Error> {
        password::check_rules("password", password)?;
        let name = self.user(id).await?.name;
        let hash = self.hash(password).await?;
        let mut tx = self.db().begin().await?;
        let changed = queries::set_password(&mut tx, id, &hash, self.now()).await?;
        refresh::queries::revoke_all(&mut tx, &name).await?;
        tx.commit().await?;
        self.outdate();
        found(changed, id)
    }

    /// Whether this is the user's password; a wrong one counts as a failed login of `source`.
    pub async fn check_password(
        &self,
        source: IpAddr,
        id: UserId,
        password: &Secret,
    ) -> Result<(), Error> {
        let name = self.user(id).await?.name;
        let principal = self.login(source, &name, password).await?;
        match principal {
            Principal::User { id: owner, .. } if owner == id => Ok(()),
            _ => Err(Error::BadCredentials),
        }
    }

    /// Marks a user as deleted: the name is free again, memberships and refresh tokens end.
    /// Refused for [`BUILT_IN_ADMIN`].
    pub async fn delete_user(&self, id: UserId) -> Result<(), Error> {
        let name = self.refuse_built_in(id).await?;
        let mut tx = self.db().begin().await?;
        let changed = queries::delete(&mut tx, id, self.now()).await?;
        refresh::queries::revoke_all(&mut tx, &name).await?;
        tx.commit().await?;
        self.outdate();
        found(changed, id)
    }

    /// The user's name, unless it is the built-in administrator's.
    async fn refuse_built_in(&self, id: UserId) -> Result<String, Error> {
        let name = self.user(id).await?.name;
        if name == BUILT_IN_ADMIN {
            return Err(Error::Forbidden(format!(
                "user {name} is built in: it cannot be deleted and stays system administrator"
            )));
        }
        Ok(name)
    }

    async fn hash(&self, password: &Secret) -> Result<String, Error> {
        self.parts().hashing.turn().await?.hash(password).await
    }
}

fn found(changed: u64, id: UserId) -> Result<(), Error> {
    if changed == 0 {
        Err(Error::NotFound(format!("user {id}")))
    } else {
        Ok(())
    }
}

/// Harbor's rule for user names, and no colon, which HTTP Basic cannot carry (RFC 7617 §2).
fn check_name(name: &str) -> Result<(), Error> {
    let forbidden = |c: char| matches!(c, ',' | '~' | '#' | '$' | '%' | ':') || c.is_control();
    let length = name.chars().count();
    if (1..=255).contains(&length) && !name.contains(forbidden) && name.trim() == name {
        Ok(())
    } else {
        Err(Error::Invalid(
            "a user name has 1 to 255 characters, no space at its ends, and none of , ~ # $ % :"
                .to_owned(),
        ))
    }
}

/// The profile by Harbor's rules; an empty e-mail address is none.
fn checked(mut profile: Profile) -> Result<Profile, Error> {
    profile.email = profile.email.filter(|email| !email.is_empty());
    if let Some(email) = &profile.email {
        let well_formed = email.len() <= 255
            && !email.contains(char::is_whitespace)
            && email.split_once('@').is_some_and(|(user, host)| {
                !user.is_empty() && !host.is_empty() && !host.contains('@')
            });
        if !well_formed {
            return Err(Error::Invalid(format!(
                "`{email}` is not an e-mail address"
            )));
        }
    }
    if profile.realname.chars().count() > 255 || profile.comment.chars().count() > 255 {
        return Err(Error::Invalid(
            "realname and comment have at most 255 characters each".to_owned(),
        ));
    }
    Ok(profile)
}
