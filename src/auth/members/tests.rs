use super::*;
use crate::{auth::tests::fixtures, store::Sort};

#[tokio::test]
async fn members_are_added_changed_listed_and_removed() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let project = fixture.project("team", false).await;
        let (user, alice) = fixture.user("alice").await;
        let id = auth.add_member(project, user, Role::Guest).await.unwrap();
        let member = auth.member(project, id).await.unwrap();
        assert_eq!(member.entity_name, "alice");
        assert_eq!(
            (member.entity_id, member.role()),
            (user.0, Some(Role::Guest))
        );
        let again = auth.add_member(project, user, Role::Developer).await;
        assert!(matches!(again, Err(Error::Conflict(_))));

        auth.set_member_role(project, id, Role::Maintainer)
            .await
            .unwrap();
        let roles = auth.roles_in(&alice, project).await.unwrap();
        assert!(roles.contains(Role::Maintainer) && !roles.contains(Role::Guest));
        for field in queries::MEMBERS.fields {
            let listing = Listing {
                sort: vec![Sort {
                    field: field.name.to_owned(),
                    descending: true,
                }],
                ..Listing::default()
            };
            let page = auth.members(project, &listing).await.unwrap();
            assert_eq!(page.total, 2, "{}", field.name);
        }
        auth.remove_member(project, id).await.unwrap();
        assert!(auth.roles_in(&alice, project).await.unwrap().is_empty());
        for missing in [
            auth.remove_member(project, id).await,
            auth.set_member_role(project, id, Role::Guest).await,
            auth.member(project, id).await.map(drop),
        ] {
            assert!(matches!(missing, Err(Error::NotFound(_))));
        }
    }
}

#[tokio::test]
async fn a_member_is_reached_through_its_own_project_only() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let project = fixture.project("team", false).await;
        let other = fixture.project("other", false).await;
        let (user, _) = fixture.user("alice").await;
        let id = auth.add_member(project, user, Role::Guest).await.unwrap();
        for refused in [
            auth.member(other, id).await.map(drop),
            auth.set_member_role(other, id, Role::ProjectAdmin).await,
            auth.remove_member(other, id).await,
        ] {
            assert!(matches!(refused, Err(Error::NotFound(_))));
        }
        assert_eq!(auth.member(project, id).await.unwrap().role_id, 3);
    }
}

#[tokio::test]
async fn nobody_joins_what_is_not_there() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let project = fixture.project("team", false).await;
        let (user, _) = fixture.user("alice").await;
        for refused in [
            auth.add_member(ProjectId(999), user, Role::Guest).await,
            auth.add_member(project, UserId(999), Role::Guest).await,
        ] {
            assert!(matches!(refused, Err(Error::NotFound(_))));
        }
        auth.delete_project(project).await.unwrap();
        let deleted = auth.add_member(project, user, Role::Guest).await;
        assert!(matches!(deleted, Err(Error::NotFound(_))));
    }
}
