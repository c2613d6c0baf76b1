use std::time::Duration;

use super::{fixtures, in_project, name};
use crate::{
    auth::{
        Auth, Config, Error, Principal, Resource, Role, Verb, bearer::Claims, projects::Metadata,
        robots::Level,
    },
    clock::{Clock, Timestamp},
    oci::ActionSet,
    secret::Secret,
    store::Db,
};

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
async fn a_token_of_an_earlier_account_of_that_name_is_nobodys() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let claims = |principal: &Principal| claims(principal, fixture.clock.now());
        let (id, alice) = fixture.user("alice").await;
        let token = claims(&alice);
        assert_eq!(auth.principal_of(&token).await.unwrap(), Some(alice));
        let nobody = auth
            .principal_of(&claims(&Principal::Anonymous))
            .await
            .unwrap();
        assert_eq!(nobody, Some(Principal::Anonymous));
        auth.delete_user(id).await.unwrap();
        assert_eq!(auth.principal_of(&token).await.unwrap(), None);
        fixture.clock.advance(Duration::from_secs(1));
        let (_, second) = fixture.user("alice").await;
        assert_eq!(auth.principal_of(&token).await.unwrap(), None);
        let fresh = auth.principal_of(&claims(&second)).await.unwrap();
        assert_eq!(fresh, Some(second));
    }
}

#[tokio::test]
async fn accounts_made_before_the_clock_was_set_back_have_good_tokens() {
    for fixture in fixtures().await {
        let (_, alice) = fixture.user("alice").await;
        fixture.clock.set_back(Duration::from_hours(24));
        let token = claims(&alice, fixture.clock.now());
        let principal = fixture.auth.principal_of(&token).await.unwrap();
        assert_eq!(principal, Some(alice));
    }
}

#[tokio::test]
async fn a_token_ends_with_the_password_or_secret_that_it_was_made_with() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let (id, alice) = fixture.user("alice").await;
        fixture.project("team", false).await;
        let ci = fixture
            .robot(Level::Project, vec![in_project("team", &[Verb::Pull])])
            .await
            .robot;
        let robot = auth.principal(&ci.name).await.unwrap().unwrap();
        for (principal, subject) in [(alice, "alice"), (robot, ci.name.as_str())] {
            let token = claims(&principal, fixture.clock.now());
            assert_eq!(auth.principal_of(&token).await.unwrap(), Some(principal));
            if subject == "alice" {
                let changed = Secret::new("Changed12345");
                auth.set_password(id, &changed).await.unwrap();
            } else {
                auth.refresh_robot_secret(ci.id, None).await.unwrap();
            }
            assert_eq!(auth.principal_of(&token).await.unwrap(), None, "{subject}");
            let now = auth.principal(subject).await.unwrap().unwrap();
            let token = claims(&now, fixture.clock.now());
            assert_eq!(auth.principal_of(&token).await.unwrap(), Some(now));
        }
    }
}

/// What a token of the principal's says.
fn claims(principal: &Principal, now: Timestamp) -> Claims {
    Claims {
        iss: String::new(),
        sub: principal.name().to_owned(),
        aud: String::new(),
        exp: i64::MAX,
        nbf: 0,
        iat: now.seconds(),
        jti: String::new(),
        credential_version: principal.credential_version(),
        access: Vec::new(),
    }
}

#[tokio::test]
async fn a_request_with_a_known_token_needs_no_database() {
    for fixture in fixtures().await {
        let config = Config {
            outage_grace_seconds: 0,
            ..Config::default()
        };
        let auth = Auth::new(fixture.db.clone(), fixture.clock.clone(), config);
        let project = fixture.project("team", false).await;
        let (user, _) = fixture.user("alice").await;
        fixture
            .auth
            .add_member(project, user, Role::Guest)
            .await
            .unwrap();
        let ask = async || {
            let alice = auth.principal("alice").await?;
            let alice = alice.unwrap_or(Principal::Anonymous);
            auth.repository_actions(&alice, &name("team/app")).await
        };
        assert_eq!(ask().await.unwrap(), ActionSet::PULL);
        match &*fixture.db {
            Db::Lite { readers, .. } => readers.close().await,
            Db::Pg(pool) => pool.close().await,
        }
        fixture.clock.advance(Duration::from_millis(749));
        assert_eq!(ask().await.unwrap(), ActionSet::PULL);
        fixture.clock.advance(Duration::from_millis(1));
        assert!(matches!(ask().await, Err(Error::Store(_))));
    }
}
