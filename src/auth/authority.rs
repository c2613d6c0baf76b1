use std::sync::Arc;

use super::{
    Config, Error, Metrics, Principal, ProjectId, Resource, RoleSet, UserId, Verb,
    access::{self, AccessSet},
    account::Account,
    bearer::Claims,
    fresh::{Fresh, Outage},
    immutable::Rule,
    limiter::Limiter,
    members,
    password::Hashing,
    projects,
    remembered::Remembered,
    robots, users,
};
use crate::{
    audit,
    clock::{SharedClock, Timestamp},
    oci::{Action, ActionSet, RepositoryName},
    settings,
    store::Db,
};

/// Accounts, logins and decisions. Cheap to clone.
///
/// Decisions are taken from what the database said at most 750 ms ago, and never from before a
/// change that this process has made: see [`Fresh`]. Everything that changes accounts,
/// projects or members ends with [`Auth::outdate`].
#[derive(Debug, Clone)]
pub struct Auth(Arc<Parts>);

/// What the files of this room share.
#[derive(Debug)]
pub(super) struct Parts {
    pub db: Db,
    pub clock: SharedClock,
    pub config: Config,
    pub settings: settings::Reader,
    pub recorder: Option<audit::Recorder>,
    pub metrics: Metrics,
    pub hashing: Hashing,
    pub limiter: Limiter,
    pub remembered: Remembered,
    accounts: Fresh<String, Option<Arc<Account>>>,
    projects: Fresh<String, Option<ProjectFacts>>,
    standings: Fresh<(ProjectId, UserId), Option<Standing>>,
}

/// What decisions need to know of a project.
#[derive(Debug, Clone)]
pub(super) struct ProjectFacts {
    pub id: ProjectId,
    pub public: bool,
    /// Bytes; -1 is unlimited.
    pub storage_limit: i64,
    /// The rules that are not disabled.
    pub immutable: Arc<[Rule]>,
}

/// Where a user stands in a project.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub public: bool,
    pub roles: RoleSet,
}

impl Auth {
    /// An authority over the accounts of a database, with the default settings. Failed logins
    /// are not audited; see [`Auth::audited`].
    pub fn new(db: Db, clock: SharedClock, config: Config) -> Self {
        Self::build(db, clock, config, (settings::Reader::default(), None))
    }

    #[cfg(test)]
    pub(crate) fn with_settings(
        db: Db,
        clock: SharedClock,
        config: Config,
        settings: settings::Reader,
    ) -> Self {
        Self::build(db, clock, config, (settings, None))
    }

    /// An authority that hears of settings and records failed logins in the audit log.
    pub fn audited(
        db: Db,
        clock: SharedClock,
        config: Config,
        settings: settings::Reader,
        recorder: audit::Recorder,
    ) -> Self {
        Self::build(db, clock, config, (settings, Some(recorder)))
    }

    fn build(
        db: Db,
        clock: SharedClock,
        config: Config,
        (settings, recorder): (settings::Reader, Option<audit::Recorder>),
    ) -> Self {
        let outage = Arc::new(Outage::default());
        Self(Arc::new(Parts {
            hashing: Hashing::new(&config),
            limiter: Limiter::new(&config),
            remembered: Remembered::new(&config, clock.clone()),
            accounts: Fresh::new(&config, clock.clone(), outage.clone()),
            projects: Fresh::new(&config, clock.clone(), outage.clone()),
            standings: Fresh::new(&config, clock.clone(), outage),
            metrics: Metrics::default(),
            db,
            clock,
            config,
            settings,
            recorder,
        }))
    }

    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The settings now.
    pub fn settings(&self) -> Arc<settings::Values> {
        self.0.settings.values()
    }

    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.0
    }

    pub(super) fn db(&self) -> &Db {
        &self.0.db
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Forgets what was read: something has changed.
    pub(super) fn outdate(&self) {
        self.0.accounts.outdate();
        self.0.projects.outdate();
        self.0.standings.outdate();
    }

    /// Who a token's `sub` is now; `None` when gone, disabled or expired. The empty subject is
    /// anonymous.
    pub async fn principal(&self, subject: &str) -> Result<Option<Principal>, Error> {
        if subject.is_empty() {
            return Ok(Some(Principal::Anonymous));
        }
        let account = self.account(subject).await?;
        Ok(account.and_then(|account| account.principal(self.now())))
    }

    /// Like [`Auth::principal`]; also `None` when the account has another password or secret than
    /// the token was made with, or is younger than the token, which so was made for another.
    pub async fn principal_of(&self, claims: &Claims) -> Result<Option<Principal>, Error> {
        if claims.sub.is_empty() {
            return Ok(Some(Principal::Anonymous));
        }
        let (account, now) = (self.account(&claims.sub).await?, self.now());
        Ok(account
            .filter(|account| {
                let made = account.created_at();
                // An account from a time that lies ahead was made before the clock was set back.
                let is_older = claims.iat >= made.seconds() || made > now;
                claims.credential_version == Some(account.credential_version()) && is_older
            })
            .and_then(|account| account.principal(now)))
    }

    /// What the principal may do now with a repository.
    ///
    /// Names without a project are for system administrators alone. A project that does not
    /// exist allows nothing, but system administrators may pull and delete what lies there.
    pub async fn repository_actions(
        &self,
        principal: &Principal,
        repository: &RepositoryName,
    ) -> Result<ActionSet, Error> {
        let Some(name) = repository.project() else {
            return Ok(if principal.is_system_admin() {
                ActionSet::ALL
            } else {
                ActionSet::NONE
            });
        };
        let Some(project) = self.project_facts(name).await? else {
            return Ok(if principal.is_system_admin() {
                ActionSet::PULL.union(ActionSet::DELETE)
            } else {
                ActionSet::NONE
            });
        };
        let access = match principal {
            _ if principal.is_system_admin() => return Ok(ActionSet::ALL),
            Principal::Anonymous => public_access(project.public),
            Principal::Robot { grants, .. } => grants
                .in_project(project.id)
                .union(&public_access(project.public)),
            Principal::User { id, .. } => self.access_of_user(*id, project.id).await?,
        };
        Ok(actions(&access))
    }

    pub(super) async fn project_facts(&self, name: &str) -> Result<Option<ProjectFacts>, Error> {
        let load = || projects::queries::facts(self.db(), name);
        self.0.projects.value(name, load).await
    }

    /// Whether the principal may do this in a project now; nothing is permitted in a project
    /// that does not exist, except to system administrators.
    pub async fn permits(
        &self,
        principal: &Principal,
        project: ProjectId,
        resource: Resource,
        verb: Verb,
    ) -> Result<bool, Error> {
        if principal.is_system_admin() {
            return Ok(true);
        }
        Ok(self
            .access_in(principal, project)
            .await?
            .contains(resource, verb))
    }

    /// Everything the principal may do in a project now, without what being a system
    /// administrator adds.
    pub async fn access_in(
        &self,
        principal: &Principal,
        project: ProjectId,
    ) -> Result<AccessSet, Error> {
        match principal {
            Principal::Anonymous => self.access_of_user(NOBODY, project).await,
            Principal::User { id, .. } => self.access_of_user(*id, project).await,
            Principal::Robot { grants, .. } => {
                Ok(self
                    .standing(NOBODY, project)
                    .await?
                    .map_or(AccessSet::NONE, |standing| {
                        grants
                            .in_project(project)
                            .union(&public_access(standing.public))
                    }))
            }
        }
    }

    /// Whether the principal may do this in the system: system administrators, and robots that
    /// were granted it.
    pub fn permits_system(&self, principal: &Principal, resource: Resource, verb: Verb) -> bool {
        match principal {
            Principal::Robot { grants, .. } => grants.in_system().contains(resource, verb),
            other => other.is_system_admin(),
        }
    }

    /// The roles a user has in a project now; none for robots and anonymous.
    pub async fn roles_in(
        &self,
        principal: &Principal,
        project: ProjectId,
    ) -> Result<RoleSet, Error> {
        let Some(user) = principal.user_id() else {
            return Ok(RoleSet::NONE);
        };
        let standing = self.standing(user, project).await?;
        Ok(standing.map_or(RoleSet::NONE, |standing| standing.roles))
    }

    async fn access_of_user(&self, user: UserId, project: ProjectId) -> Result<AccessSet, Error> {
        let standing = self.standing(user, project).await?;
        Ok(standing.map_or(AccessSet::NONE, |standing| {
            access::allowed(standing.roles).union(&public_access(standing.public))
        }))
    }

    async fn standing(&self, user: UserId, project: ProjectId) -> Result<Option<Standing>, Error> {
        let load = || members::queries::standing(self.db(), project, user);
        self.0.standings.value(&(project, user), load).await
    }

    pub(super) async fn account(&self, name: &str) -> Result<Option<Arc<Account>>, Error> {
        // Belongs to nobody: not worth a cache entry, and PostgreSQL refuses a NUL.
        if name.len() > MAX_ACCOUNT_NAME_BYTES || name.contains('\0') {
            return Ok(None);
        }
        let load = || async {
            // No user has the name of a robot; which of them is looked for first is speed only.
            let found = if self.names_a_robot(name) {
                match self.robot_account(name).await? {
                    None => self.user_account(name).await?,
                    robot => robot,
                }
            } else {
                match self.user_account(name).await? {
                    None => self.robot_account(name).await?,
                    user => user,
                }
            };
            Ok(found.map(Arc::new))
        };
        self.0.accounts.value(name, load).await
    }

    /// Whether robots made now have such names; older ones may have others.
    pub(super) fn names_a_robot(&self, name: &str) -> bool {
        name.starts_with(&self.settings().robot_name_prefix)
    }

    async fn robot_account(&self, name: &str) -> Result<Option<Account>, Error> {
        let found = robots::queries::account(self.db(), name).await?;
        Ok(found.map(Account::Robot))
    }

    async fn user_account(&self, name: &str) -> Result<Option<Account>, Error> {
        let found = users::queries::account(self.db(), name).await?;
        Ok(found.map(Account::User))
    }
}

fn public_access(public: bool) -> AccessSet {
    if public {
        *access::public()
    } else {
        AccessSet::NONE
    }
}

/// The registry's actions by Harbor's mapping: the same words on the resource `repository`.
fn actions(access: &AccessSet) -> ActionSet {
    [
        (Verb::Pull, Action::Pull),
        (Verb::Push, Action::Push),
        (Verb::Delete, Action::Delete),
    ]
    .into_iter()
    .filter(|(verb, _)| access.contains(Resource::Repository, *verb))
    .map(|(_, action)| action)
    .collect()
}

/// No user has this id: rows count from 1.
const NOBODY: UserId = UserId(0);

/// A robot's name is prefix, project (255), `+` and name (255).
const MAX_ACCOUNT_NAME_BYTES: usize = 600;
