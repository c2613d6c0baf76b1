use std::{net::IpAddr, sync::Arc};

use super::{
    Config, Error, Principal, ProjectId,
    access::{Resource, Verb},
    bearer::Claims,
};
use crate::{
    clock::SharedClock,
    oci::{ActionSet, RepositoryName},
    secret::Secret,
    store::Db,
};

/// Accounts, logins and decisions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    _db: Db,
    _clock: SharedClock,
    _config: Config,
}

impl Auth {
    pub fn new(db: Db, clock: SharedClock, config: Config) -> Self {
        Self(Arc::new(Inner {
            _db: db,
            _clock: clock,
            _config: config,
        }))
    }

    pub fn config(&self) -> &Config {
        &self.0._config
    }

    /// Makes the first administrator and the project `library` in an empty database; returns
    /// the administrator's password if it had to be generated, to be shown once.
    pub async fn bootstrap(&self) -> Result<Option<Secret>, Error> {
        Err(Error::Busy)
    }

    /// Who has this name and password: a user, or a robot (`robot$…`).
    pub async fn login(
        &self,
        _source: IpAddr,
        _name: &str,
        _password: &Secret,
    ) -> Result<Principal, Error> {
        Err(Error::BadCredentials)
    }

    /// Who a token's `sub` is now; `None` when gone, disabled or expired. The empty subject is
    /// anonymous. At most 750 ms old.
    pub async fn principal(&self, _subject: &str) -> Result<Option<Principal>, Error> {
        Ok(None)
    }

    /// Like [`Auth::principal`]; also `None` when the token is older than the account of its name.
    pub async fn principal_of(&self, _claims: &Claims) -> Result<Option<Principal>, Error> {
        Ok(None)
    }

    /// What the principal may do now with a repository; at most 750 ms old.
    ///
    /// A project that does not exist allows nothing, only system administrators may pull and
    /// delete what lies there. Names without a project are for system administrators alone.
    pub async fn repository_actions(
        &self,
        _principal: &Principal,
        _repository: &RepositoryName,
    ) -> Result<ActionSet, Error> {
        Ok(ActionSet::NONE)
    }

    /// Whether the principal may do this in a project now.
    pub async fn permits(
        &self,
        _principal: &Principal,
        _project: ProjectId,
        _resource: Resource,
        _verb: Verb,
    ) -> Result<bool, Error> {
        Ok(false)
    }

    /// Whether the principal may do this in the system: system administrators, and robots that
    /// were granted it.
    pub fn permits_system(&self, principal: &Principal, resource: Resource, verb: Verb) -> bool {
        match principal {
            Principal::Robot { grants, .. } => grants.in_system().contains(resource, verb),
            other => other.is_system_admin(),
        }
    }
}
