use std::time::Duration;

use super::{PASSWORD, SOURCE, fixtures};
use crate::{
    audit,
    auth::{Auth, Config, Error, Principal},
    clock::{ManualClock, Timestamp},
    secret::Secret,
    settings,
    store::{Listing, testing},
};

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
            ("ali\0ce", PASSWORD),
            ("robot$\0", PASSWORD),
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

/// Nothing is timed: who gets no turn to hash is told so, and so shows that there is a hash.
#[tokio::test]
async fn a_name_that_nobody_has_is_hashed_for_as_a_users_is() {
    for fixture in fixtures().await {
        fixture.user("alice").await;
        let auth = fixture.with_one_turn();
        let wrong = Secret::new("Wrong12345");
        let names = ["alice", "nobody"];
        let turn = auth.parts().hashing.turn().await.unwrap();
        for name in names {
            let refused = auth.login(SOURCE, name, &wrong).await;
            assert!(matches!(refused, Err(Error::Busy)), "{name}");
        }
        drop(turn);
        for name in names {
            // One after the other, or the second would be told that there is no turn for it.
            let login = || auth.login(SOURCE, name, &wrong);
            let (first, second) = tokio::join!(login(), login());
            for refused in [first, second] {
                assert!(matches!(refused, Err(Error::BadCredentials)), "{name}");
            }
        }
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
async fn failures_are_forgiven_in_time_though_the_clock_is_set_back() {
    for fixture in fixtures().await {
        fixture.user("alice").await;
        let wrong = Secret::new("Wrong12345");
        let failed = fixture.auth.login(SOURCE, "alice", &wrong).await;
        assert!(matches!(failed, Err(Error::BadCredentials)), "{failed:?}");
        fixture.clock.set_back(Duration::from_hours(24));
        let right = Secret::new(PASSWORD);
        fixture.auth.login(SOURCE, "alice", &right).await.unwrap();
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
        let late = auth.issue_refresh_token(&alice, "registry").await;
        assert!(
            late.is_err(),
            "who signed in with the old password gets none"
        );

        let alice = auth.principal("alice").await.unwrap().unwrap();
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
            settings::Reader::default(),
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
