//! What the room promises as a whole, on both databases: logins, decisions, revocation.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{
    Auth, Config, Error, Principal, ProjectId, Resource, Role, UserId, Verb,
    projects::{Metadata, NewProject},
    robots::{CreatedRobot, Level, NewRobot, Permission, PermissionAccess, PermissionKind},
    users::{NewUser, Profile},
};
use crate::{
    audit,
    clock::{Clock, ManualClock, Timestamp},
    oci::{ActionSet, RepositoryName},
    secret::Secret,
    store::{
        Listing,
        testing::{self, TestDb},
    },
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
async fn logging_in_takes_the_right_password() {
    for fixture in fixtures().await {
        fixture.user("alice").await;
        let login = async |name: &str, password: &str| {
            fixture
                .auth
                .login(SOURCE, name, &Secret::new(password))
                .await
        };
        let principal = login("alice", PASSWORD).await.unwrap();
        assert_eq!(principal.name(), "alice");
        assert!(!principal.is_system_admin());
        assert!(login("admin", PASSWORD).await.unwrap().is_system_admin());
        for (name, password) in [
            ("alice", "Harbor12346"),
            ("alice", ""),
            ("Alice", PASSWORD),
            ("nobody", PASSWORD),
            ("robot$nobody", PASSWORD),
            ("", ""),
        ] {
            let error = login(name, password).await.unwrap_err();
            assert!(matches!(error, Error::BadCredentials), "{name}: {error}");
        }
    }
}

#[tokio::test]
async fn a_remembered_login_ends_with_the_password_on_every_instance() {
    for fixture in fixtures().await {
        let (id, _) = fixture.user("alice").await;
        let other = fixture.other_instance();
        let old = Secret::new(PASSWORD);
        for auth in [&fixture.auth, &other] {
            auth.login(SOURCE, "alice", &old).await.unwrap();
            auth.login(SOURCE, "alice", &old).await.unwrap();
        }
        let new = Secret::new("Changed12345");
        fixture.auth.set_password(id, &new).await.unwrap();
        let here = fixture.auth.login(SOURCE, "alice", &old).await;
        assert!(matches!(here, Err(Error::BadCredentials)));
        fixture.clock.advance(Duration::from_millis(750));
        let there = other.login(SOURCE, "alice", &old).await;
        assert!(matches!(there, Err(Error::BadCredentials)));
        other.login(SOURCE, "alice", &new).await.unwrap();
    }
}

#[tokio::test]
async fn a_successful_login_is_remembered_for_a_minute_only() {
    for fixture in fixtures().await {
        fixture.user("alice").await;
        let remembered = || {
            let mut registry = prometheus_client::registry::Registry::default();
            fixture.auth.metrics().register(&mut registry);
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text.contains("remembered_logins_total 1")
        };
        let password = Secret::new(PASSWORD);
        let login = async || {
            fixture
                .auth
                .login(SOURCE, "alice", &password)
                .await
                .unwrap()
        };
        login().await;
        fixture.clock.advance(Duration::from_mins(1));
        login().await;
        assert!(!remembered());
        fixture.clock.advance(Duration::from_secs(59));
        login().await;
        assert!(remembered());
    }
}

#[tokio::test]
async fn one_source_that_guesses_locks_out_itself_only() {
    for fixture in fixtures().await {
        fixture.user("alice").await;
        let wrong = Secret::new("Wrong12345");
        let right = Secret::new(PASSWORD);
        let limited = loop {
            match fixture.auth.login(SOURCE, "alice", &wrong).await {
                Err(Error::BadCredentials) => {}
                other => break other,
            }
        };
        let Err(Error::TooManyAttempts { retry_after }) = limited else {
            panic!("{limited:?}");
        };
        let refused = fixture.auth.login(SOURCE, "alice", &right).await;
        assert!(matches!(refused, Err(Error::TooManyAttempts { .. })));
        let elsewhere = "10.0.0.2".parse().unwrap();
        fixture
            .auth
            .login(elsewhere, "alice", &right)
            .await
            .unwrap();
        fixture.clock.advance(retry_after);
        fixture.auth.login(SOURCE, "alice", &right).await.unwrap();
    }
}

#[tokio::test]
async fn roles_decide_what_a_member_may_do_with_repositories() {
    let delete = ActionSet::ALL;
    for fixture in fixtures().await {
        let project = fixture.project("team", false).await;
        for (name, role, expected) in [
            ("owner", Role::ProjectAdmin, delete),
            ("keeper", Role::Maintainer, delete),
            ("coder", Role::Developer, ActionSet::PULL_PUSH),
            ("reader", Role::Guest, ActionSet::PULL),
            ("visitor", Role::LimitedGuest, ActionSet::PULL),
        ] {
            let (user, principal) = fixture.user(name).await;
            let before = fixture.actions(&fixture.auth, name, "team/app").await;
            assert_eq!(before, ActionSet::NONE, "{name} is no member yet");
            fixture.auth.add_member(project, user, role).await.unwrap();
            let after = fixture.actions(&fixture.auth, name, "team/app").await;
            assert_eq!(after, expected, "{name}");
            let elsewhere = fixture.actions(&fixture.auth, name, "other/app").await;
            assert_eq!(elsewhere, ActionSet::NONE, "{name}");
            let manages = fixture
                .auth
                .permits(&principal, project, Resource::Member, Verb::Create)
                .await
                .unwrap();
            assert_eq!(manages, role == Role::ProjectAdmin, "{name}");
        }
    }
}

#[tokio::test]
async fn public_projects_may_be_pulled_by_everybody_and_others_by_nobody() {
    for fixture in fixtures().await {
        fixture.project("open", true).await;
        let closed = fixture.project("closed", false).await;
        fixture.user("alice").await;
        for subject in ["", "alice"] {
            let actions =
                async |repository| fixture.actions(&fixture.auth, subject, repository).await;
            assert_eq!(actions("open/app").await, ActionSet::PULL);
            assert_eq!(actions("open/deep/er/app").await, ActionSet::PULL);
            assert_eq!(actions("library/app").await, ActionSet::PULL);
            assert_eq!(actions("closed/app").await, ActionSet::NONE);
            assert_eq!(actions("unknown/app").await, ActionSet::NONE);
            assert_eq!(actions("open").await, ActionSet::NONE);
        }
        let public = Metadata::from([("public".to_owned(), "true".to_owned())]);
        fixture
            .auth
            .set_project_metadata(closed, public)
            .await
            .unwrap();
        let opened = fixture.actions(&fixture.auth, "", "closed/app").await;
        assert_eq!(opened, ActionSet::PULL);
    }
}

#[tokio::test]
async fn system_administrators_may_do_everything_but_push_into_no_project() {
    for fixture in fixtures().await {
        let project = fixture.project("team", false).await;
        let actions = async |repository| fixture.actions(&fixture.auth, "admin", repository).await;
        assert_eq!(actions("team/app").await, ActionSet::ALL);
        assert_eq!(actions("app").await, ActionSet::ALL);
        let unknown = actions("unknown/app").await;
        assert_eq!(unknown, ActionSet::PULL.union(ActionSet::DELETE));
        for (resource, verb) in [
            (Resource::Member, Verb::Create),
            (Resource::Robot, Verb::Delete),
        ] {
            assert!(
                fixture
                    .auth
                    .permits(&fixture.admin, project, resource, verb)
                    .await
                    .unwrap()
            );
        }
        let auth = &fixture.auth;
        assert!(auth.permits_system(&fixture.admin, Resource::Registry, Verb::Create));
        assert!(!auth.permits_system(&Principal::Anonymous, Resource::Registry, Verb::List));
    }
}

#[tokio::test]
async fn a_change_takes_access_away_within_a_second_on_every_instance() {
    for fixture in fixtures().await {
        let other = fixture.other_instance();
        let project = fixture.project("team", false).await;
        let (alice, _) = fixture.user("alice").await;
        let (bob, _) = fixture.user("bob").await;
        let developer = Role::Developer;
        let alices = fixture.auth.add_member(project, alice, developer).await;
        fixture
            .auth
            .add_member(project, bob, developer)
            .await
            .unwrap();
        let robot = fixture
            .robot(Level::Project, vec![in_project("team", &[Verb::Pull])])
            .await;
        let robot_name = robot.robot.name.clone();
        let expect = async |subject: &str, expected: ActionSet, when: &str| {
            for auth in [&fixture.auth, &other] {
                let actions = fixture.actions(auth, subject, "team/app").await;
                assert_eq!(actions, expected, "{subject} {when}");
            }
        };
        expect("alice", ActionSet::PULL_PUSH, "as a member").await;
        expect("bob", ActionSet::PULL_PUSH, "as a member").await;
        expect(&robot_name, ActionSet::PULL, "as made").await;

        let auth = &fixture.auth;
        auth.remove_member(project, alices.unwrap()).await.unwrap();
        let here = fixture.actions(auth, "alice", "team/app").await;
        assert_eq!(here, ActionSet::NONE, "the same instance knows at once");
        fixture.clock.advance(Duration::from_millis(999));
        expect("alice", ActionSet::NONE, "removed").await;

        auth.delete_user(bob).await.unwrap();
        fixture.clock.advance(Duration::from_millis(999));
        expect("bob", ActionSet::NONE, "deleted").await;

        auth.delete_project(project).await.unwrap();
        fixture.clock.advance(Duration::from_millis(999));
        expect(&robot_name, ActionSet::NONE, "its project deleted").await;
    }
}

#[tokio::test]
async fn the_first_start_makes_an_administrator_once() {
    for db in testing::databases().await {
        let clock = ManualClock::at(Timestamp::from_seconds(1_800_000_000));
        let auth = Auth::new(db.clone(), clock, Config::default());
        let password = auth.bootstrap().await.unwrap().unwrap();
        let admin = auth.login(SOURCE, "admin", &password).await.unwrap();
        assert!(admin.is_system_admin());
        assert!(auth.project_named("library").await.unwrap().public);
        assert_eq!(auth.bootstrap().await.unwrap(), None);
        let reset = auth.reset_password("admin", None).await.unwrap();
        assert_ne!(reset, password);
        auth.login(SOURCE, "admin", &reset).await.unwrap();
        let old = auth.login(SOURCE, "admin", &password).await;
        assert!(matches!(old, Err(Error::BadCredentials)));
    }
}

#[tokio::test]
async fn refresh_tokens_end_with_what_they_were_made_under() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let (id, alice) = fixture.user("alice").await;
        let token = auth.issue_refresh_token(&alice, "registry").await.unwrap();
        let redeem = async |token: &Secret| auth.redeem_refresh_token(token, "registry").await;
        assert_eq!(redeem(&token).await.unwrap(), alice);
        let elsewhere = auth.redeem_refresh_token(&token, "other").await;
        assert!(matches!(elsewhere, Err(Error::BadCredentials)));

        fixture.clock.advance(Duration::from_hours(89 * 24));
        redeem(&token).await.unwrap();
        fixture.clock.advance(Duration::from_hours(89 * 24));
        redeem(&token).await.unwrap();
        fixture.clock.advance(Duration::from_hours(91 * 24));
        assert!(redeem(&token).await.is_err(), "unused for too long");
        assert_eq!(auth.sweep_refresh_tokens().await.unwrap(), 1);

        let token = auth.issue_refresh_token(&alice, "registry").await.unwrap();
        auth.revoke_refresh_token(&token).await.unwrap();
        assert!(redeem(&token).await.is_err(), "revoked");

        let token = auth.issue_refresh_token(&alice, "registry").await.unwrap();
        let changed = Secret::new("Changed12345");
        auth.set_password(id, &changed).await.unwrap();
        assert!(redeem(&token).await.is_err(), "of the old password");

        let token = auth.issue_refresh_token(&alice, "registry").await.unwrap();
        auth.delete_user(id).await.unwrap();
        fixture.user("alice").await;
        assert!(redeem(&token).await.is_err(), "of the deleted user");
        let anonymous = auth
            .issue_refresh_token(&Principal::Anonymous, "registry")
            .await;
        assert!(matches!(anonymous, Err(Error::BadCredentials)));
    }
}

#[tokio::test]
async fn a_token_of_an_earlier_account_of_that_name_is_nobodys() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let claims = |subject: &str| super::bearer::Claims {
            iss: String::new(),
            sub: subject.to_owned(),
            aud: String::new(),
            exp: i64::MAX,
            nbf: 0,
            iat: fixture.clock.now().seconds(),
            jti: String::new(),
            access: Vec::new(),
        };
        let (id, alice) = fixture.user("alice").await;
        let token = claims("alice");
        assert_eq!(auth.principal_of(&token).await.unwrap(), Some(alice));
        let nobody = auth.principal_of(&claims("")).await.unwrap();
        assert_eq!(nobody, Some(Principal::Anonymous));
        auth.delete_user(id).await.unwrap();
        assert_eq!(auth.principal_of(&token).await.unwrap(), None);
        fixture.clock.advance(Duration::from_secs(1));
        let (_, second) = fixture.user("alice").await;
        assert_eq!(auth.principal_of(&token).await.unwrap(), None);
        let fresh = auth.principal_of(&claims("alice")).await.unwrap();
        assert_eq!(fresh, Some(second));
    }
}

#[tokio::test]
async fn a_burst_of_the_same_right_login_is_neither_limited_nor_refused() {
    for fixture in fixtures().await {
        fixture.user("alice").await;
        let password = Secret::new(PASSWORD);
        let logins = (0..500).map(|_| fixture.auth.login(SOURCE, "alice", &password));
        for login in futures_util::future::join_all(logins).await {
            login.unwrap();
        }
    }
}

#[tokio::test]
async fn refused_logins_are_recorded() {
    for fixture in fixtures().await {
        let (recorder, writer) = audit::Recorder::open(
            fixture.db.clone(),
            fixture.clock.clone(),
            &audit::Config::default(),
        );
        let auth = Auth::audited(
            fixture.db.clone(),
            fixture.clock.clone(),
            Config::default(),
            recorder,
        );
        let wrong = auth
            .login(SOURCE, "admin", &Secret::new("Wrong12345"))
            .await;
        assert!(matches!(wrong, Err(Error::BadCredentials)));
        auth.login(SOURCE, "admin", &Secret::new(PASSWORD))
            .await
            .unwrap();
        drop(auth);
        writer.run(tokio_util::sync::CancellationToken::new()).await;
        let log = audit::Log::new(fixture.db.clone());
        let all = log
            .entries(&audit::View::Everything, &Listing::default())
            .await
            .unwrap();
        assert_eq!(all.total, 1);
        let entry = &all.items[0];
        assert_eq!((&*entry.user_name, &*entry.operation), ("admin", "login"));
        assert_eq!(entry.source.as_deref(), Some("10.0.0.1"));
        assert!(!entry.succeeded);
    }
}
