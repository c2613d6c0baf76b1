//! What the room promises as a whole, on both databases: logins, decisions, revocation.

mod decisions;
mod login;

use std::{net::IpAddr, sync::Arc};

use super::{
    Auth, Config, Principal, ProjectId, Resource, UserId, Verb,
    projects::{Metadata, NewProject},
    robots::{CreatedRobot, Level, NewRobot, Permission, PermissionAccess, PermissionKind},
    users::{NewUser, Profile},
};
use crate::{
    clock::{ManualClock, Timestamp},
    oci::{ActionSet, RepositoryName},
    secret::Secret,
    settings,
    store::testing::{self, TestDb},
};

/// An authority on a fresh database, with an administrator and their project `library`.
pub(super) struct Fixture {
    pub auth: Auth,
    pub clock: Arc<ManualClock>,
    pub admin: Principal,
    pub db: TestDb,
}

pub(super) const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
pub(super) const PASSWORD: &str = "Harbor12345";

/// One fixture for each database.
pub(super) async fn fixtures() -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    for db in testing::databases().await {
        let clock = ManualClock::at(Timestamp::from_seconds(1_800_000_000));
        let config = Config {
            admin_password: Some(Secret::new(PASSWORD)),
            ..Config::default()
        };
        let auth = Auth::new(db.clone(), clock.clone(), config);
        assert_eq!(auth.bootstrap().await.unwrap(), None);
        let admin = auth.principal("admin").await.unwrap().unwrap();
        fixtures.push(Fixture {
            auth,
            clock,
            admin,
            db,
        });
    }
    fixtures
}

impl Fixture {
    /// Another gateway on the same database.
    pub(super) fn other_instance(&self) -> Auth {
        Auth::new(self.db.clone(), self.clock.clone(), Config::default())
    }

    /// A gateway that hashes one password at a time and lets nobody wait.
    pub(super) fn with_one_turn(&self) -> Auth {
        let config = Config {
            concurrent_hashes: 1,
            max_waiting_logins: 0,
            ..Config::default()
        };
        Auth::new(self.db.clone(), self.clock.clone(), config)
    }

    /// A gateway with other settings.
    pub(super) fn with_settings(&self, values: settings::Values) -> Auth {
        let reader = settings::Reader::default();
        reader.set(values);
        let (db, clock) = (self.db.clone(), self.clock.clone());
        Auth::with_settings(db, clock, Config::default(), reader)
    }

    pub(super) async fn user(&self, name: &str) -> (UserId, Principal) {
        let user = NewUser {
            name: name.to_owned(),
            password: Secret::new(PASSWORD),
            profile: Profile::default(),
        };
        let id = self.auth.create_user(user).await.unwrap();
        (id, self.auth.principal(name).await.unwrap().unwrap())
    }

    pub(super) async fn project(&self, name: &str, public: bool) -> ProjectId {
        let project = NewProject {
            name: name.to_owned(),
            metadata: Metadata::from([("public".to_owned(), public.to_string())]),
            storage_limit: None,
        };
        self.auth
            .create_project(&self.admin, project)
            .await
            .unwrap()
    }

    pub(super) async fn robot(&self, level: Level, permissions: Vec<Permission>) -> CreatedRobot {
        let robot = robot_with(level, permissions);
        self.auth.create_robot(&self.admin, robot).await.unwrap()
    }

    async fn actions(&self, auth: &Auth, subject: &str, repository: &str) -> ActionSet {
        let Some(principal) = auth.principal(subject).await.unwrap() else {
            return ActionSet::NONE;
        };
        auth.repository_actions(&principal, &name(repository))
            .await
            .unwrap()
    }
}

pub(super) fn robot_with(level: Level, permissions: Vec<Permission>) -> NewRobot {
    NewRobot {
        name: "ci".to_owned(),
        description: String::new(),
        level,
        disabled: false,
        duration_days: None,
        secret: None,
        permissions,
    }
}

pub(super) fn in_project(namespace: &str, verbs: &[Verb]) -> Permission {
    Permission {
        kind: PermissionKind::Project,
        namespace: namespace.to_owned(),
        access: verbs
            .iter()
            .map(|action| PermissionAccess {
                resource: Resource::Repository,
                action: *action,
                effect: String::new(),
            })
            .collect(),
    }
}

pub(super) fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

#[tokio::test]
async fn every_statement_is_valid_on_both_databases() {
    for statements in [
        super::groups::queries::ALL,
        super::members::queries::ALL,
        super::projects::queries::ALL,
        super::refresh::queries::ALL,
        super::robots::queries::ALL,
        super::users::queries::ALL,
    ] {
        testing::prepare(statements).await;
    }
}
