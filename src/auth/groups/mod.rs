//! Groups of users, which are members of projects like users.
//!
//! Who is in a group is said by the source of the user's identity (LDAP, OIDC), in the table
//! `users_in_groups`; a user with a password here is in none. Who may change groups is the
//! caller's to ask.

pub(crate) mod queries;
#[cfg(test)]
mod tests;

use super::{Auth, Error, GroupId};
use crate::store::{self, Listing, Page};

store::row! {
    /// A group. `group_type` is 1 for LDAP, 2 for HTTP, 3 for OIDC.
    pub Group {
        id: GroupId,
        name: String,
        group_type: i64,
        /// In lower case; empty where the type is not LDAP.
        ldap_dn: String,
    }
}

/// A group as a caller describes it.
#[derive(Debug, Clone, Default)]
pub struct NewGroup {
    /// 1 to 255 characters, of no other group of the type.
    pub name: String,
    /// As [`Group::group_type`]; 0 where it is not said.
    pub group_type: i64,
    /// The distinguished name (RFC 4514), for LDAP groups alone; at most 512 characters.
    pub ldap_dn: String,
}

/// A group that was asked for by what it is called.
#[derive(Debug, Clone)]
pub enum Ensured {
    Found(Group),
    Created(Group),
}

impl Auth {
    pub async fn create_group(&self, group: NewGroup) -> Result<GroupId, Error> {
        let group = checked(group)?;
        queries::insert(self.db(), &group)
            .await
            .map_err(|error| match error {
                store::Error::Duplicate if group.group_type == LDAP => Error::Conflict(format!(
                    "a group named {} or with the DN {}",
                    group.name, group.ldap_dn
                )),
                store::Error::Duplicate => taken(&group.name),
                other => other.into(),
            })
    }

    /// The group that is [found](Self::find_group), or a new one. An LDAP group is called by its
    /// DN when it has no name, or one that another has.
    pub async fn ensure_group(&self, mut group: NewGroup) -> Result<Ensured, Error> {
        if let Some(found) = self.find_group(&group).await? {
            return Ok(Ensured::Found(found));
        }
        group.ldap_dn = normalised(&group.ldap_dn);
        if !group.ldap_dn.is_empty() {
            group.group_type = LDAP;
        }
        let (name, dn) = (&group.name, &group.ldap_dn);
        let is_dn_its_name = !dn.is_empty()
            && (name.is_empty() || !queries::named(self.db(), name, LDAP).await?.is_empty());
        if is_dn_its_name {
            group.name = dn.chars().take(NAME_CHARS).collect();
        }
        match self.create_group(group.clone()).await {
            Ok(id) => Ok(Ensured::Created(self.group(id).await?)),
            // Somebody was faster, or it is another group.
            Err(error @ Error::Conflict(_)) => {
                let found = self.find_group(&group).await?;
                found.map(Ensured::Found).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    /// The group with this DN or, where there is none in the description, of this name and type.
    /// Without a type, a name that several have is refused.
    pub async fn find_group(&self, wanted: &NewGroup) -> Result<Option<Group>, Error> {
        let dn = normalised(&wanted.ldap_dn);
        if !dn.is_empty() {
            return Ok(queries::with_dn(self.db(), &dn).await?);
        }
        let mut named = queries::named(self.db(), &wanted.name, wanted.group_type).await?;
        if named.len() > 1 {
            return Err(Error::Invalid(format!(
                "there are user groups {} of several types: say which by its group_type or its id",
                wanted.name
            )));
        }
        Ok(named.pop())
    }

    pub async fn group(&self, id: GroupId) -> Result<Group, Error> {
        let group = queries::group(self.db(), id).await?;
        group.ok_or_else(|| no_group(id))
    }

    /// Groups by fields `id`, `group_name`, `group_type`, `ldap_group_dn`.
    pub async fn groups(&self, listing: &Listing) -> Result<Page<Group>, Error> {
        Ok(self
            .db()
            .page(&queries::GROUPS, Vec::new(), listing)
            .await?)
    }

    pub async fn rename_group(&self, id: GroupId, name: &str) -> Result<(), Error> {
        check_name(name)?;
        let changed = queries::rename(self.db(), id, name).await;
        match changed.map_err(|error| match error {
            store::Error::Duplicate => taken(name),
            other => other.into(),
        })? {
            0 => Err(no_group(id)),
            _ => Ok(()),
        }
    }

    /// Deletes a group and its memberships of projects.
    pub async fn delete_group(&self, id: GroupId) -> Result<(), Error> {
        let mut tx = self.db().begin().await?;
        let deleted = queries::delete(&mut tx, id).await?;
        tx.commit().await?;
        self.outdate();
        if deleted { Ok(()) } else { Err(no_group(id)) }
    }
}

pub(super) fn no_group(id: GroupId) -> Error {
    Error::NotFound(format!("user group {id}"))
}

fn taken(name: &str) -> Error {
    Error::Conflict(format!("user group {name}"))
}

/// The group by the rules; its DN as it is kept.
fn checked(mut group: NewGroup) -> Result<NewGroup, Error> {
    check_name(&group.name)?;
    group.ldap_dn = normalised(&group.ldap_dn);
    match (group.group_type, group.ldap_dn.as_str()) {
        (LDAP, dn) => check_dn(dn)?,
        (HTTP | OIDC, "") => {}
        (HTTP | OIDC, _) => {
            return Err(Error::Invalid(
                "ldap_group_dn is for LDAP groups (group_type 1); leave it out".to_owned(),
            ));
        }
        (other, _) => {
            return Err(Error::Invalid(format!(
                "group_type must be 1 (LDAP), 2 (HTTP) or 3 (OIDC), not {other}"
            )));
        }
    }
    Ok(group)
}

/// Directories do not tell upper from lower case in names.
pub fn normalised(dn: &str) -> String {
    dn.trim().to_lowercase()
}

fn check_name(name: &str) -> Result<(), Error> {
    let length = name.chars().count();
    if (1..=NAME_CHARS).contains(&length) && name.trim() == name && !name.contains(char::is_control)
    {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "group_name has 1 to {NAME_CHARS} characters and no space at its ends"
    )))
}

/// Whether this can be a distinguished name; whether the directory has it is not known here.
fn check_dn(dn: &str) -> Result<(), Error> {
    let fits = dn.chars().count() <= DN_CHARS && !dn.contains(char::is_control);
    let attribute = dn.split_once('=').map(|(attribute, _)| attribute);
    if fits && attribute.is_some_and(|attribute| !attribute.is_empty()) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "an LDAP group needs an ldap_group_dn of at most {DN_CHARS} characters, such as \
         cn=developers,ou=groups,dc=example,dc=com"
    )))
}

const LDAP: i64 = 1;
const HTTP: i64 = 2;
const OIDC: i64 = 3;

/// Harbor's columns.
const NAME_CHARS: usize = 255;
const DN_CHARS: usize = 512;
