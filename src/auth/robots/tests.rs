use std::time::Duration;

use super::*;
use crate::{
    auth::{
        Resource, Verb,
        tests::{Fixture, PASSWORD, SOURCE, fixtures, in_project, name, robot_with},
        users::{NewUser, Profile},
    },
    oci::ActionSet,
    settings::Values,
    store::Sort,
};

const DAY: Duration = Duration::from_hours(24);

fn in_system(resource: Resource, action: Verb) -> Permission {
    Permission {
        kind: PermissionKind::System,
        namespace: "/".to_owned(),
        access: vec![PermissionAccess {
            resource,
            action,
            effect: "allow".to_owned(),
        }],
    }
}

fn pull(namespace: &str) -> Permission {
    in_project(namespace, &[Verb::Pull])
}

async fn login(fixture: &Fixture, name: &str, secret: &Secret) -> Result<Principal, Error> {
    fixture.auth.login(SOURCE, name, secret).await
}

#[tokio::test]
async fn a_project_robot_acts_in_its_project_only() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let project = fixture.project("team", false).await;
        fixture.project("other", false).await;
        let push = in_project("team", &[Verb::Pull, Verb::Push]);
        let made = fixture.robot(Level::Project, vec![push]).await;
        assert_eq!(made.robot.name, "robot$team+ci");
        assert_eq!(made.robot.project_id, Some(project));
        assert_eq!(made.secret.expose().len(), 32);
        let robot = login(&fixture, "robot$team+ci", &made.secret)
            .await
            .unwrap();
        for (repository, expected) in [
            ("team/app", ActionSet::PULL_PUSH),
            ("other/app", ActionSet::NONE),
            ("library/app", ActionSet::PULL),
            ("app", ActionSet::NONE),
        ] {
            let actions = auth.repository_actions(&robot, &name(repository)).await;
            assert_eq!(actions.unwrap(), expected, "{repository}");
        }
        assert!(!auth.permits_system(&robot, Resource::Project, Verb::List));
        let wrong = login(&fixture, "robot$team+ci", &Secret::new("Wrong12345")).await;
        assert!(matches!(wrong, Err(Error::BadCredentials)));
    }
}

#[tokio::test]
async fn a_system_robot_acts_where_it_was_granted() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        fixture.project("one", false).await;
        let two = fixture.project("two", false).await;
        let permissions = vec![
            in_system(Resource::Registry, Verb::List),
            pull("*"),
            in_project("two", &[Verb::Push, Verb::Delete]),
        ];
        let made = fixture.robot(Level::System, permissions).await;
        assert_eq!(made.robot.name, "robot$ci");
        let robot = login(&fixture, "robot$ci", &made.secret).await.unwrap();
        for (repository, expected) in [
            ("one/app", ActionSet::PULL),
            ("two/app", ActionSet::ALL),
            ("unknown/app", ActionSet::NONE),
        ] {
            let actions = auth.repository_actions(&robot, &name(repository)).await;
            assert_eq!(actions.unwrap(), expected, "{repository}");
        }
        assert!(auth.permits_system(&robot, Resource::Registry, Verb::List));
        assert!(!auth.permits_system(&robot, Resource::Registry, Verb::Create));
        let member = auth
            .permits(&robot, two, Resource::Member, Verb::List)
            .await;
        assert!(!member.unwrap());
    }
}

#[tokio::test]
async fn expiry_and_disabling_end_a_robot_at_once() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        fixture.project("team", false).await;
        let made = fixture.robot(Level::System, vec![pull("team")]).await;
        let robot_name = made.robot.name.clone();
        let id = made.robot.id;
        assert_eq!(made.robot.duration_days, 30);
        let token = {
            let robot = auth.principal(&robot_name).await.unwrap().unwrap();
            auth.issue_refresh_token(&robot, "registry").await.unwrap()
        };
        let change = |disabled, duration_days| RobotChange {
            description: "changed".to_owned(),
            disabled,
            duration_days,
            permissions: vec![pull("team")],
        };
        let update = async |change| auth.update_robot(&fixture.admin, id, change).await.unwrap();

        update(change(true, 30)).await;
        assert_eq!(auth.principal(&robot_name).await.unwrap(), None);
        let refused = login(&fixture, &robot_name, &made.secret).await;
        assert!(matches!(refused, Err(Error::Disabled(_))));
        assert!(auth.redeem_refresh_token(&token, "registry").await.is_err());
        update(change(false, 30)).await;
        login(&fixture, &robot_name, &made.secret).await.unwrap();
        auth.redeem_refresh_token(&token, "registry").await.unwrap();

        fixture
            .clock
            .advance(Duration::from_millis(30 * 86_400_000 - 1));
        login(&fixture, &robot_name, &made.secret).await.unwrap();
        fixture.clock.advance(Duration::from_millis(1));
        assert_eq!(auth.principal(&robot_name).await.unwrap(), None);
        let refused = login(&fixture, &robot_name, &made.secret).await;
        assert!(matches!(refused, Err(Error::Expired(_))));
        update(change(false, -1)).await;
        fixture.clock.advance(DAY * 10_000);
        login(&fixture, &robot_name, &made.secret).await.unwrap();
        assert_eq!(auth.robot(id).await.unwrap().expires_at, None);
    }
}

#[tokio::test]
async fn a_new_secret_ends_the_old_one() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        fixture.project("team", false).await;
        let made = fixture.robot(Level::System, vec![pull("team")]).await;
        let id = made.robot.id;
        let robot = login(&fixture, "robot$ci", &made.secret).await.unwrap();
        let token = auth.issue_refresh_token(&robot, "registry").await.unwrap();
        let new = auth.refresh_robot_secret(id, None).await.unwrap();
        assert!(login(&fixture, "robot$ci", &made.secret).await.is_err());
        login(&fixture, "robot$ci", &new).await.unwrap();
        assert!(auth.redeem_refresh_token(&token, "registry").await.is_err());
        let chosen = Secret::new("Chosen12345");
        let set = auth.refresh_robot_secret(id, Some(chosen.clone())).await;
        assert_eq!(set.unwrap(), chosen);
        login(&fixture, "robot$ci", &chosen).await.unwrap();
        let weak = auth
            .refresh_robot_secret(id, Some(Secret::new("weak")))
            .await;
        assert!(matches!(weak, Err(Error::Invalid(_))));
        auth.delete_robot(id).await.unwrap();
        assert!(login(&fixture, "robot$ci", &chosen).await.is_err());
        let again = auth.delete_robot(id).await;
        assert!(matches!(again, Err(Error::NotFound(_))));
    }
}

#[tokio::test]
async fn permissions_that_make_no_sense_are_refused() {
    for fixture in fixtures().await {
        fixture.project("team", false).await;
        fixture.project("other", false).await;
        let mut denied = in_system(Resource::Registry, Verb::List);
        denied.access[0].effect = "deny".to_owned();
        let mut misplaced = in_system(Resource::Registry, Verb::List);
        misplaced.namespace = "team".to_owned();
        let empty = in_project("team", &[]);
        let cases = [
            (Level::System, vec![]),
            (Level::System, vec![denied]),
            (Level::System, vec![misplaced]),
            (Level::System, vec![empty]),
            (
                Level::System,
                vec![in_system(Resource::Repository, Verb::Pull)],
            ),
            (Level::System, vec![in_project("team", &[Verb::Operate])]),
            (Level::Project, vec![]),
            (Level::Project, vec![pull("*")]),
            (Level::Project, vec![pull("team"), pull("other")]),
            (Level::Project, vec![in_project("team", &[Verb::Push])]),
            (
                Level::Project,
                vec![in_system(Resource::Registry, Verb::List)],
            ),
        ];
        for (level, permissions) in cases {
            let robot = robot_with(level, permissions.clone());
            let answer = fixture.auth.create_robot(&fixture.admin, robot).await;
            assert!(
                matches!(answer, Err(Error::Invalid(_))),
                "{level:?} {permissions:?}: {answer:?}"
            );
        }
        let unknown = robot_with(Level::Project, vec![pull("unknown")]);
        let answer = fixture.auth.create_robot(&fixture.admin, unknown).await;
        assert!(matches!(answer, Err(Error::NotFound(_))));
    }
}

#[tokio::test]
async fn names_durations_and_secrets_are_checked() {
    for fixture in fixtures().await {
        fixture.project("team", false).await;
        let good = || robot_with(Level::System, vec![pull("team")]);
        let bad = [
            NewRobot {
                name: "CI".to_owned(),
                ..good()
            },
            NewRobot {
                duration_days: Some(-2),
                ..good()
            },
            NewRobot {
                duration_days: Some(i64::MAX),
                ..good()
            },
            NewRobot {
                secret: Some(Secret::new("weak")),
                ..good()
            },
        ];
        for robot in bad {
            let answer = fixture.auth.create_robot(&fixture.admin, robot).await;
            assert!(matches!(answer, Err(Error::Invalid(_))), "{answer:?}");
        }
        let create = async || fixture.auth.create_robot(&fixture.admin, good()).await;
        create().await.unwrap();
        assert!(matches!(create().await, Err(Error::Conflict(_))));
    }
}

#[tokio::test]
async fn a_robot_grants_no_more_than_it_has() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        fixture.project("team", false).await;
        fixture.project("other", false).await;
        let creator = fixture
            .robot(
                Level::System,
                vec![in_project("team", &[Verb::Pull, Verb::Push])],
            )
            .await;
        let creator = auth.principal(&creator.robot.name).await.unwrap().unwrap();
        let create = async |level, permissions| {
            let robot = NewRobot {
                name: "child".to_owned(),
                ..robot_with(level, permissions)
            };
            auth.create_robot(&creator, robot).await
        };
        for too_much in [
            vec![in_project("team", &[Verb::Delete])],
            vec![pull("other")],
            vec![pull("*")],
            vec![in_system(Resource::Registry, Verb::List)],
        ] {
            let answer = create(Level::System, too_much.clone()).await;
            assert!(
                matches!(answer, Err(Error::Forbidden(_))),
                "{too_much:?}: {answer:?}"
            );
        }
        let child = create(Level::Project, vec![pull("team")]).await.unwrap();
        assert!(matches!(child.robot.creator, Creator::Robot(_)));
        let more = RobotChange {
            description: String::new(),
            disabled: false,
            duration_days: -1,
            permissions: vec![in_project("team", &[Verb::Pull, Verb::Delete])],
        };
        let raised = auth.update_robot(&creator, child.robot.id, more).await;
        assert!(matches!(raised, Err(Error::Forbidden(_))));
    }
}

#[tokio::test]
async fn robots_are_listed_by_where_they_belong() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let project = fixture.project("team", false).await;
        fixture.robot(Level::Project, vec![pull("team")]).await;
        let system = fixture.robot(Level::System, vec![pull("team")]).await;
        for field in queries::SYSTEM_ROBOTS.fields {
            let listing = Listing {
                sort: vec![Sort {
                    field: field.name.to_owned(),
                    descending: true,
                }],
                ..Listing::default()
            };
            let of_system = auth.robots(None, &listing).await.unwrap();
            assert_eq!(of_system.total, 1, "{}", field.name);
            assert_eq!(of_system.items[0].name, "robot$ci");
            let of_project = auth.robots(Some(project), &listing).await.unwrap();
            assert_eq!(of_project.items[0].name, "robot$team+ci");
        }
        let read = auth.robot(system.robot.id).await.unwrap();
        assert_eq!(read.permissions, [pull("team")]);
        assert_eq!(
            read.creator,
            Creator::User(fixture.admin.user_id().unwrap())
        );
    }
}

#[test]
fn permissions_are_written_as_harbor_writes_them() {
    let text = r#"{"kind":"project","namespace":"team","access":[{"resource":"repository","action":"pull"}]}"#;
    let permission: Permission = serde_json::from_str(text).unwrap();
    assert_eq!(permission, pull("team"));
    assert_eq!(serde_json::to_string(&permission).unwrap(), text);
    let unknown = text.replace("pull", "fly");
    assert!(serde_json::from_str::<Permission>(&unknown).is_err());
}

#[tokio::test]
async fn another_prefix_names_new_robots_and_leaves_the_old_ones_alone() {
    for fixture in fixtures().await {
        let old = fixture.robot(Level::System, vec![pull("*")]).await;
        let auth = fixture.with_settings(Values {
            robot_name_prefix: "bot-".to_owned(),
            ..Values::default()
        });
        let new = auth
            .create_robot(&fixture.admin, robot_with(Level::System, vec![pull("*")]))
            .await
            .unwrap();
        assert_eq!(new.robot.name, "bot-ci");
        for made in [old, new] {
            for gateway in [&auth, &fixture.auth] {
                let name = &made.robot.name;
                let robot = gateway.login(SOURCE, name, &made.secret).await.unwrap();
                assert_eq!(robot.name(), name);
            }
        }
    }
}

#[tokio::test]
async fn a_robot_and_a_person_never_have_one_name() {
    for fixture in fixtures().await {
        let auth = fixture.with_settings(Values {
            robot_name_prefix: "bot-".to_owned(),
            ..Values::default()
        });
        fixture.user("bot-ci").await;
        fixture.project("team", false).await;
        let taken = auth
            .create_robot(&fixture.admin, robot_with(Level::System, vec![pull("*")]))
            .await;
        assert!(matches!(taken, Err(Error::Conflict(_))), "{taken:?}");
        auth.create_robot(
            &fixture.admin,
            robot_with(Level::Project, vec![pull("team")]),
        )
        .await
        .unwrap();
        let taken = auth.create_user(NewUser {
            name: "bot-team+ci".to_owned(),
            password: Secret::new(PASSWORD),
            profile: Profile::default(),
        });
        assert!(matches!(taken.await, Err(Error::Conflict(_))));
    }
}
