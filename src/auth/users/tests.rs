use super::*;
use crate::{
    auth::{
        Role,
        tests::{PASSWORD, SOURCE, fixtures},
    },
    store::{Filter, Sort, Test},
};

fn new_user(name: &str, email: Option<&str>) -> NewUser {
    NewUser {
        name: name.to_owned(),
        password: Secret::new(PASSWORD),
        profile: Profile {
            email: email.map(str::to_owned),
            realname: "A Person".to_owned(),
            comment: String::new(),
        },
    }
}

#[test]
fn names_follow_harbors_rule() {
    for good in ["a", "alice", "Alice B", "alice@example.com", "ä-ö_ü"] {
        assert!(check_name(good).is_ok(), "{good}");
    }
    let long = "a".repeat(256);
    for bad in [
        "", &long, "robot$ci", "a:b", "a,b", "a~", "a#", "100%", " a", "a\n",
    ] {
        assert!(check_name(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn users_are_created_read_changed_and_listed() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let id = auth
            .create_user(new_user("alice", Some("a@example.com")))
            .await
            .unwrap();
        let alice = auth.user(id).await.unwrap();
        assert_eq!(alice.email.as_deref(), Some("a@example.com"));
        assert_eq!(auth.user_named("alice").await.unwrap().id, id);
        let profile = Profile {
            email: Some(String::new()),
            realname: "Alice".to_owned(),
            comment: "x".to_owned(),
        };
        auth.update_profile(id, profile).await.unwrap();
        let changed = auth.user(id).await.unwrap();
        assert_eq!((changed.email, changed.realname.as_str()), (None, "Alice"));

        let admins = Listing {
            filters: vec![Filter {
                field: "sysadmin_flag".to_owned(),
                test: Test::Equals("true".to_owned()),
            }],
            ..Listing::default()
        };
        assert_eq!(auth.users(&admins).await.unwrap().total, 1);
        auth.grant_system_admin(id).await.unwrap();
        assert_eq!(auth.users(&admins).await.unwrap().total, 2);
        let principal = auth.principal("alice").await.unwrap().unwrap();
        assert!(principal.is_system_admin(), "at once");
        auth.revoke_system_admin(id).await.unwrap();
        let principal = auth.principal("alice").await.unwrap().unwrap();
        assert!(!principal.is_system_admin(), "at once");
    }
}

#[tokio::test]
async fn every_documented_field_can_be_sorted_by() {
    for fixture in fixtures().await {
        for field in queries::USERS.fields {
            let listing = Listing {
                sort: vec![Sort {
                    field: field.name.to_owned(),
                    descending: false,
                }],
                ..Listing::default()
            };
            assert_eq!(fixture.auth.users(&listing).await.unwrap().total, 1);
        }
    }
}

#[tokio::test]
async fn names_and_addresses_are_unique_among_the_living() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let first = new_user("alice", Some("a@example.com"));
        let id = auth.create_user(first.clone()).await.unwrap();
        for twin in [
            new_user("alice", None),
            new_user("bob", Some("a@example.com")),
        ] {
            let error = auth.create_user(twin).await.unwrap_err();
            assert!(matches!(error, Error::Conflict(_)), "{error}");
        }
        let bob = auth.create_user(new_user("bob", None)).await.unwrap();
        let taken = auth.update_profile(bob, first.profile.clone()).await;
        assert!(matches!(taken, Err(Error::Conflict(_))));
        auth.delete_user(id).await.unwrap();
        let second = auth.create_user(first).await.unwrap();
        assert_ne!(second, id);
    }
}

#[tokio::test]
async fn bad_users_are_refused_with_the_rule() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let mut weak = new_user("alice", None);
        weak.password = Secret::new("weak");
        for user in [
            weak,
            new_user("robot$alice", None),
            new_user("alice", Some("not-an-address")),
        ] {
            let error = auth.create_user(user).await.unwrap_err();
            assert!(matches!(error, Error::Invalid(_)), "{error}");
        }
    }
}

#[tokio::test]
async fn a_deleted_user_is_gone_with_memberships_and_logins() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let project = fixture.project("team", false).await;
        let (id, _) = fixture.user("alice").await;
        auth.add_member(project, id, Role::Guest).await.unwrap();
        auth.login(SOURCE, "alice", &Secret::new(PASSWORD))
            .await
            .unwrap();
        auth.delete_user(id).await.unwrap();
        assert!(matches!(auth.user(id).await, Err(Error::NotFound(_))));
        assert_eq!(auth.principal("alice").await.unwrap(), None);
        let login = auth.login(SOURCE, "alice", &Secret::new(PASSWORD)).await;
        assert!(matches!(login, Err(Error::BadCredentials)));
        let members = auth.members(project, &Listing::default()).await.unwrap();
        assert_eq!(members.total, 1, "the creator is left");
        let again = auth.delete_user(id).await;
        assert!(matches!(again, Err(Error::NotFound(_))));
    }
}

#[tokio::test]
async fn the_built_in_administrator_stays() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let id = fixture.admin.user_id().unwrap();
        for refused in [
            auth.delete_user(id).await,
            auth.revoke_system_admin(id).await,
        ] {
            assert!(matches!(refused, Err(Error::Forbidden(_))));
        }
    }
}

#[tokio::test]
async fn checking_a_password_counts_as_a_login() {
    for fixture in fixtures().await {
        let auth = &fixture.auth;
        let (id, _) = fixture.user("alice").await;
        let check = async |password: &str| {
            auth.check_password(SOURCE, id, &Secret::new(password))
                .await
        };
        check(PASSWORD).await.unwrap();
        while let Err(Error::BadCredentials) = check("Wrong12345").await {}
        assert!(matches!(
            check(PASSWORD).await,
            Err(Error::TooManyAttempts { .. })
        ));
    }
}
