use super::*;
use crate::{
    auth::{
        Role, RoleSet,
        projects::Scope,
        tests::{Fixture, fixtures, name},
    },
    oci::ActionSet,
};

fn described(name: &str, group_type: i64, dn: &str) -> NewGroup {
    NewGroup {
        name: name.to_owned(),
        group_type,
        ldap_dn: dn.to_owned(),
    }
}

impl Fixture {
    async fn group(&self, name: &str) -> GroupId {
        let group = described(name, OIDC, "");
        self.auth.create_group(group).await.unwrap()
    }
}

#[tokio::test]
async fn groups_are_made_renamed_listed_and_deleted() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let id = fixture.group("devs").await;
        let dn = " CN=Ops,DC=Example,DC=com ";
        let ops = auth.create_group(described("ops", LDAP, dn)).await.unwrap();
        let group = auth.group(ops).await.unwrap();
        assert_eq!(
            (
                group.name.as_str(),
                group.group_type,
                group.ldap_dn.as_str()
            ),
            ("ops", 1, "cn=ops,dc=example,dc=com")
        );
        auth.rename_group(id, "developers").await.unwrap();
        let other = fixture.group("other").await;
        let taken = auth.rename_group(other, "developers").await;
        assert!(matches!(taken, Err(Error::Conflict(_))));
        auth.delete_group(other).await.unwrap();
        let page = auth.groups(&Listing::default()).await.unwrap();
        let names: Vec<_> = page.items.iter().map(|group| &*group.name).collect();
        assert_eq!(names, ["developers", "ops"]);
        auth.delete_group(id).await.unwrap();
        for missing in [
            auth.delete_group(id).await,
            auth.rename_group(id, "again").await,
            auth.group(id).await.map(drop),
        ] {
            assert!(matches!(missing, Err(Error::NotFound(_))));
        }
    }
}

#[tokio::test]
async fn what_is_no_group_is_refused() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        fixture.group("devs").await;
        let ldap = described("ldap", LDAP, "cn=a,dc=b");
        auth.create_group(ldap).await.unwrap();
        let long = "x".repeat(256);
        let long_dn = format!("cn={}", "x".repeat(510));
        for (name, group_type, dn) in [
            ("", OIDC, ""),
            (" a", OIDC, ""),
            ("a\u{7}", OIDC, ""),
            (&*long, OIDC, ""),
            ("a", 0, ""),
            ("a", 4, ""),
            ("a", LDAP, ""),
            ("a", LDAP, "developers"),
            ("a", LDAP, "=developers"),
            ("a", LDAP, &*long_dn),
            ("a", HTTP, "cn=c"),
        ] {
            let refused = auth.create_group(described(name, group_type, dn)).await;
            assert!(matches!(refused, Err(Error::Invalid(_))), "{name} {dn}");
        }
        for (name, group_type, dn) in [
            ("devs", OIDC, ""),
            ("ldap", LDAP, "cn=c"),
            ("b", LDAP, "CN=a,dc=b"),
        ] {
            let refused = auth.create_group(described(name, group_type, dn)).await;
            assert!(matches!(refused, Err(Error::Conflict(_))), "{name} {dn}");
        }
    }
}

#[tokio::test]
async fn groups_of_one_name_are_told_apart_by_their_type() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let find = async |group_type| {
            let found = auth.find_group(&described("devs", group_type, "")).await;
            found.map(|group| group.map(|group| group.id))
        };
        assert_eq!(find(0).await.unwrap(), None);
        let oidc = fixture.group("devs").await;
        assert_eq!(find(0).await.unwrap(), Some(oidc));
        let ldap = described("devs", LDAP, "cn=devs,ou=here");
        let ldap = auth.create_group(ldap).await.unwrap();
        for (group_type, found) in [(OIDC, Some(oidc)), (LDAP, Some(ldap)), (HTTP, None)] {
            assert_eq!(find(group_type).await.unwrap(), found, "{group_type}");
        }
        let any = find(0).await;
        assert!(matches!(any, Err(Error::Invalid(_))), "{any:?}");
    }
}

#[tokio::test]
async fn a_group_is_found_by_what_it_is_called_or_made() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let ensure = async |name: &str, group_type, dn: &str| {
            let ensured = auth.ensure_group(described(name, group_type, dn)).await;
            ensured.map(|ensured| match ensured {
                Ensured::Found(group) => (false, group.name),
                Ensured::Created(group) => (true, group.name),
            })
        };
        let made = |name: &str| (true, name.to_owned());
        let found = |name: &str| (false, name.to_owned());
        assert_eq!(ensure("devs", OIDC, "").await.unwrap(), made("devs"));
        assert_eq!(ensure("devs", OIDC, "").await.unwrap(), found("devs"));
        assert_eq!(ensure("devs", 0, "").await.unwrap(), found("devs"));
        assert_eq!(ensure("ci", HTTP, "").await.unwrap(), made("ci"));
        assert_eq!(ensure("ci", OIDC, "").await.unwrap(), made("ci"));
        assert!(matches!(ensure("ops", 0, "").await, Err(Error::Invalid(_))));
        assert!(matches!(
            ensure("ops", LDAP, "").await,
            Err(Error::Invalid(_))
        ));

        assert_eq!(ensure("", 0, "CN=a").await.unwrap(), made("cn=a"));
        assert_eq!(ensure("a", LDAP, "cn=A").await.unwrap(), found("cn=a"));
        assert_eq!(ensure("b", LDAP, "cn=b").await.unwrap(), made("b"));
        assert_eq!(ensure("devs", LDAP, "cn=devs").await.unwrap(), made("devs"));
        assert_eq!(
            ensure("devs", LDAP, "cn=devs,ou=there").await.unwrap(),
            made("cn=devs,ou=there")
        );
        assert_eq!(ensure("b", LDAP, "").await.unwrap(), found("b"));
    }
}

#[tokio::test]
async fn many_who_ask_for_one_group_at_once_get_one() {
    for fixture in fixtures().await {
        let ask = |_| fixture.auth.ensure_group(described("devs", OIDC, ""));
        let asked = futures_util::future::join_all((0..10).map(ask)).await;
        let created = |ensured: &Ensured| matches!(ensured, Ensured::Created(_));
        let asked: Vec<_> = asked.into_iter().map(Result::unwrap).collect();
        assert_eq!(asked.into_iter().filter(created).count(), 1);
    }
}

#[tokio::test]
async fn a_user_has_the_roles_of_their_groups_beside_their_own() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let project = fixture.project("team", false).await;
        let (user, alice) = fixture.user("alice").await;
        let (_, bob) = fixture.user("bob").await;
        let readers = fixture.group("readers").await;
        let writers = fixture.group("writers").await;
        queries::join(&fixture.db, user, readers).await;
        queries::join(&fixture.db, user, writers).await;
        let roles = async || auth.roles_in(&alice, project).await.unwrap();
        let actions = async |who| {
            auth.repository_actions(who, &name("team/app"))
                .await
                .unwrap()
        };
        let joined = async |who, scope| {
            let page = auth.projects(who, scope, &Listing::default()).await;
            let names = page.unwrap().items.into_iter().map(|found| found.name);
            names.collect::<Vec<_>>()
        };
        assert_eq!(joined(&alice, Scope::Visible).await, ["library"]);

        let guest = auth
            .add_member(project, readers, Role::Guest)
            .await
            .unwrap();
        assert_eq!(roles().await, RoleSet::NONE.with(Role::Guest));
        assert_eq!(actions(&alice).await, ActionSet::PULL);
        assert_eq!(joined(&alice, Scope::Visible).await, ["library", "team"]);
        assert_eq!(joined(&alice, Scope::Joined).await, ["team"]);

        auth.add_member(project, writers, Role::Developer)
            .await
            .unwrap();
        auth.add_member(project, user, Role::LimitedGuest)
            .await
            .unwrap();
        assert_eq!(
            roles().await,
            RoleSet::from_iter([Role::Guest, Role::Developer, Role::LimitedGuest])
        );
        assert_eq!(actions(&alice).await, ActionSet::PULL_PUSH);
        assert_eq!(joined(&alice, Scope::Joined).await, ["team"], "once");
        assert_eq!(actions(&bob).await, ActionSet::NONE);

        auth.set_member_role(project, guest, Role::ProjectAdmin)
            .await
            .unwrap();
        assert_eq!(actions(&alice).await, ActionSet::ALL);
        auth.remove_member(project, guest).await.unwrap();
        assert_eq!(actions(&alice).await, ActionSet::PULL_PUSH);
    }
}

#[tokio::test]
async fn a_user_is_not_taken_for_the_group_of_the_same_number() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let project = fixture.project("team", false).await;
        let (alice, principal) = fixture.user("alice").await;
        let mut group = fixture.group("g").await;
        while group.0 < alice.0 {
            group = fixture.group(&format!("g{group}")).await;
        }
        assert_eq!(group.0, alice.0);
        auth.add_member(project, group, Role::Developer)
            .await
            .unwrap();
        assert!(auth.roles_in(&principal, project).await.unwrap().is_empty());
        auth.add_member(project, alice, Role::Guest).await.unwrap();
        auth.delete_group(group).await.unwrap();
        let roles = auth.roles_in(&principal, project).await.unwrap();
        assert_eq!(roles, RoleSet::NONE.with(Role::Guest));
    }
}

#[tokio::test]
async fn a_deleted_group_gives_no_role_within_a_second_on_every_instance() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let other = fixture.other_instance();
        let project = fixture.project("team", false).await;
        let (user, alice) = fixture.user("alice").await;
        let group = fixture.group("devs").await;
        queries::join(&fixture.db, user, group).await;
        let member = auth.add_member(project, group, Role::Developer).await;
        let shown = auth.member(project, member.unwrap()).await.unwrap();
        assert_eq!(
            (&*shown.entity_name, &*shown.entity_type, shown.entity_id),
            ("devs", "g", group.0)
        );
        let again = auth.add_member(project, group, Role::Guest).await;
        assert!(matches!(again, Err(Error::Conflict(_))));
        for auth in [auth, &other] {
            let roles = auth.roles_in(&alice, project).await.unwrap();
            assert!(roles.contains(Role::Developer));
        }
        auth.delete_group(group).await.unwrap();
        let here = auth.roles_in(&alice, project).await.unwrap();
        assert!(here.is_empty(), "the same instance knows at once");
        fixture.clock.advance(std::time::Duration::from_millis(999));
        let there = other.roles_in(&alice, project).await.unwrap();
        assert!(there.is_empty());
        let members = auth.members(project, &Listing::default()).await.unwrap();
        assert_eq!(members.total, 1, "the owner is left");
        let gone = auth.add_member(project, group, Role::Guest).await;
        assert!(matches!(gone, Err(Error::NotFound(_))));
    }
}

#[tokio::test]
async fn a_user_in_a_group_can_be_deleted() {
    for fixture in fixtures().await {
        let (user, _) = fixture.user("alice").await;
        let group = fixture.group("devs").await;
        queries::join(&fixture.db, user, group).await;
        fixture.auth.delete_user(user).await.unwrap();
        fixture.auth.delete_group(group).await.unwrap();
    }
}
