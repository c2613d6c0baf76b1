use super::*;
use crate::{
    auth::{
        robots::Level,
        tests::{fixtures, in_project},
    },
    settings::Values,
    store::Sort,
};

fn one(name: &str, value: &str) -> Metadata {
    Metadata::from([(name.to_owned(), value.to_owned())])
}

fn named(name: &str) -> NewProject {
    NewProject {
        name: name.to_owned(),
        ..NewProject::default()
    }
}

#[test]
fn names_follow_harbors_rule() {
    let longest = "a".repeat(255);
    for good in ["a", "0", "team", "a.b_c-d", &longest] {
        assert!(is_plain_name(good), "{good}");
    }
    let too_long = "a".repeat(256);
    for bad in [
        "", "A", "a..b", "a._b", "-a", "a-", "a/b", "a b", "é", &too_long,
    ] {
        assert!(!is_plain_name(bad), "{bad}");
    }
}

#[tokio::test]
async fn the_creator_becomes_administrator_and_owner() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let (id, alice) = fixture.user("alice").await;
        let project = auth.create_project(&alice, named("team")).await.unwrap();
        let team = auth.project(project).await.unwrap();
        assert_eq!((team.owner_id, team.owner_name.as_str()), (id, "alice"));
        assert_eq!((team.public, team.storage_limit), (false, -1));
        let roles = auth.roles_in(&alice, project).await.unwrap();
        assert!(roles.contains(Role::ProjectAdmin));
        let twin = auth.create_project(&alice, named("team")).await;
        assert!(matches!(twin, Err(Error::Conflict(_))));
        let bad = auth.create_project(&alice, named("Team")).await;
        assert!(matches!(bad, Err(Error::Invalid(_))));
        let anonymous = auth
            .create_project(&Principal::Anonymous, named("other"))
            .await;
        assert!(matches!(anonymous, Err(Error::Forbidden(_))));
    }
}

#[tokio::test]
async fn creation_can_be_kept_to_administrators() {
    for fixture in fixtures().await {
        let (_, alice) = fixture.user("alice").await;
        let strict = fixture.with_settings(Values {
            project_creation_restriction: ProjectCreation::AdminOnly,
            ..Values::default()
        });
        let refused = strict.create_project(&alice, named("team")).await;
        assert!(matches!(refused, Err(Error::Forbidden(_))));
        strict
            .create_project(&fixture.admin, named("team"))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn everybody_sees_public_projects_and_their_own() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let (_, alice) = fixture.user("alice").await;
        auth.create_project(&alice, named("hers")).await.unwrap();
        fixture.project("open", true).await;
        fixture.project("closed", false).await;
        let one_project = vec![in_project("closed", &[Verb::Pull])];
        let robot = fixture.robot(Level::System, one_project).await.robot.name;
        let robot = auth.principal(&robot).await.unwrap().unwrap();
        let every_project = vec![in_project("*", &[Verb::Pull])];
        let project_robot = crate::auth::robots::NewRobot {
            name: "all".to_owned(),
            ..crate::auth::tests::robot_with(Level::System, every_project)
        };
        let everywhere = auth
            .create_robot(&fixture.admin, project_robot)
            .await
            .unwrap();
        let everywhere = auth
            .principal(&everywhere.robot.name)
            .await
            .unwrap()
            .unwrap();
        let seen = async |viewer: &Principal, scope| {
            let listing = Listing {
                sort: vec![Sort {
                    field: "name".to_owned(),
                    descending: false,
                }],
                ..Listing::default()
            };
            let page = auth.projects(viewer, scope, &listing).await.unwrap();
            let names: Vec<_> = page.items.into_iter().map(|project| project.name).collect();
            names.join(" ")
        };
        let all = "closed hers library open";
        let anonymous = Principal::Anonymous;
        assert_eq!(seen(&fixture.admin, Scope::Visible).await, all);
        assert_eq!(
            seen(&fixture.admin, Scope::Joined).await,
            "closed library open"
        );
        assert_eq!(seen(&alice, Scope::Visible).await, "hers library open");
        assert_eq!(seen(&alice, Scope::Joined).await, "hers");
        assert_eq!(seen(&anonymous, Scope::Visible).await, "library open");
        assert_eq!(seen(&anonymous, Scope::Joined).await, "");
        assert_eq!(seen(&robot, Scope::Visible).await, "closed");
        assert_eq!(seen(&everywhere, Scope::Visible).await, all);
    }
}

#[tokio::test]
async fn every_documented_field_can_be_sorted_by() {
    for fixture in fixtures().await {
        for field in queries::ALL_PROJECTS.fields {
            let listing = Listing {
                sort: vec![Sort {
                    field: field.name.to_owned(),
                    descending: true,
                }],
                ..Listing::default()
            };
            let page = fixture
                .auth
                .projects(&fixture.admin, Scope::Visible, &listing)
                .await
                .unwrap();
            assert_eq!(page.total, 1, "{}", field.name);
        }
    }
}

#[tokio::test]
async fn settings_are_set_read_and_taken_back() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let project = fixture.project("team", false).await;
        let mut settings = one("auto_scan", "true");
        settings.extend(one("public", "true"));
        auth.set_project_metadata(project, settings.clone())
            .await
            .unwrap();
        assert_eq!(auth.project_metadata(project).await.unwrap(), settings);
        auth.set_project_metadata(project, one("auto_scan", "false"))
            .await
            .unwrap();
        let changed = auth.project_metadata(project).await.unwrap();
        assert_eq!(
            (&*changed["auto_scan"], &*changed["public"]),
            ("false", "true")
        );
        auth.delete_project_metadata(project, "auto_scan")
            .await
            .unwrap();
        let again = auth.delete_project_metadata(project, "auto_scan").await;
        assert!(matches!(again, Err(Error::NotFound(_))));
        let public = auth.delete_project_metadata(project, "public").await;
        assert!(matches!(public, Err(Error::Invalid(_))));
        let bad = auth
            .set_project_metadata(project, one("public", "maybe"))
            .await;
        assert!(matches!(bad, Err(Error::Invalid(_))));
        auth.set_storage_limit(project, 1024).await.unwrap();
        assert_eq!(auth.project(project).await.unwrap().storage_limit, 1024);
        let zero = auth.set_storage_limit(project, 0).await;
        assert!(matches!(zero, Err(Error::Invalid(_))));
    }
}

#[tokio::test]
async fn a_deleted_project_takes_its_members_and_robots_along() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let (_, alice) = fixture.user("alice").await;
        let old = auth.create_project(&alice, named("team")).await.unwrap();
        let own = fixture
            .robot(Level::Project, vec![in_project("team", &[Verb::Pull])])
            .await;
        let system = fixture
            .robot(Level::System, vec![in_project("team", &[Verb::Pull])])
            .await;
        auth.delete_project(old).await.unwrap();
        assert!(matches!(auth.project(old).await, Err(Error::NotFound(_))));
        assert_eq!(auth.principal(&own.robot.name).await.unwrap(), None);

        let new = fixture.project("team", false).await;
        assert_ne!(old, new);
        let system = auth.principal(&system.robot.name).await.unwrap().unwrap();
        for former in [&alice, &system] {
            let access = auth.access_in(former, new).await.unwrap();
            assert_eq!(access, crate::auth::access::AccessSet::NONE);
            let permitted = auth
                .permits(former, old, Resource::Repository, Verb::Pull)
                .await;
            assert!(!permitted.unwrap());
        }
        let again = auth.delete_project(old).await;
        assert!(matches!(again, Err(Error::NotFound(_))));
        let settings = auth.set_project_metadata(old, one("public", "true")).await;
        assert!(matches!(settings, Err(Error::NotFound(_))));
    }
}
