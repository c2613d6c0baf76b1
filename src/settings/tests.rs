use serde_json::{Value, json};

use super::*;
use crate::store::{Db, testing};

fn named(values: &Value) -> Named {
    let values = values.as_object().unwrap().clone();
    values.into_iter().collect()
}

async fn open(db: &Db, fixed: &Value) -> Settings {
    let config = Config::new(named(fixed)).unwrap();
    Settings::open(db.clone(), config).await.unwrap()
}

async fn shown(settings: &Settings, name: &str) -> (Value, bool) {
    let items = settings.list().await.unwrap();
    let item = items.into_iter().find(|item| item.name == name).unwrap();
    (item.value, item.editable)
}

#[tokio::test]
async fn every_statement_is_valid_on_both_databases() {
    testing::prepare(queries::ALL).await;
}

#[tokio::test]
async fn what_is_changed_is_read_at_once_and_after_a_restart() {
    for db in testing::databases().await {
        let settings = open(&db, &json!({})).await;
        assert_eq!(*settings.reader().values(), Values::default());
        let wanted = json!({"read_only": true, "token_expiration": 5, "self_registration": false});
        let changed = settings.change(&named(&wanted)).await.unwrap();
        assert_eq!(changed, ["read_only", "token_expiration"]);
        assert!(settings.reader().values().read_only);
        let again = open(&db, &json!({})).await;
        assert_eq!(again.reader().values().token_expiration, 5);
        assert_eq!(shown(&again, "token_expiration").await, (json!(5), true));
    }
}

#[tokio::test]
async fn another_gateway_hears_of_a_change() {
    for db in testing::databases().await {
        let (here, there) = (
            open(&db, &json!({})).await,
            open(&db.again().await, &json!({})).await,
        );
        let reader = there.reader();
        let stop = tokio_util::sync::CancellationToken::new();
        let follower = tokio::spawn(there.follow(stop.clone()));
        here.change(&named(&json!({"read_only": true})))
            .await
            .unwrap();
        while !reader.values().read_only {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        stop.cancel();
        follower.await.unwrap();
    }
}

#[tokio::test]
async fn what_the_configuration_fixes_comes_first_and_cannot_be_changed() {
    for db in testing::databases().await {
        let free = open(&db, &json!({})).await;
        free.change(&named(&json!({"read_only": true})))
            .await
            .unwrap();
        let fixed = open(&db, &json!({"read_only": false})).await;
        assert!(!fixed.reader().values().read_only);
        assert_eq!(shown(&fixed, "read_only").await, (json!(false), false));
        for (wanted, name) in [
            (
                json!({"read_only": true, "token_expiration": 5}),
                "read_only",
            ),
            (json!({"auth_mode": "ldap_auth"}), "auth_mode"),
        ] {
            let error = fixed.change(&named(&wanted)).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Locked, "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
        assert_eq!(fixed.reader().values().token_expiration, 30);
        let same = json!({"read_only": false, "auth_mode": "db_auth", "token_expiration": 6});
        let changed = fixed.change(&named(&same)).await.unwrap();
        assert_eq!(changed, ["token_expiration"]);
    }
}

#[tokio::test]
async fn one_bad_value_changes_nothing() {
    for db in testing::databases().await {
        let settings = open(&db, &json!({})).await;
        for wanted in [
            json!({"read_only": true, "token_expiration": 0}),
            json!({"read_only": true, "ldap_url": "ldap://x"}),
        ] {
            let error = settings.change(&named(&wanted)).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{error}");
            assert_eq!(shown(&settings, "read_only").await.0, json!(false));
        }
    }
}

#[tokio::test]
async fn what_is_recorded_nowhere_is_refused() {
    for db in testing::databases().await {
        let settings = open(&db, &json!({})).await;
        let skip = json!({"skip_audit_log_database": true});
        let forward = json!({"audit_log_forward_endpoint": "logs:514"});
        let nowhere = json!({"audit_log_forward_endpoint": ""});
        let refused = settings.change(&named(&skip)).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Invalid, "{refused}");
        settings.change(&named(&forward)).await.unwrap();
        settings.change(&named(&skip)).await.unwrap();
        let refused = settings.change(&named(&nowhere)).await.unwrap_err();
        assert!(
            refused.to_string().contains("skip_audit_log_database"),
            "{refused}"
        );
        assert_eq!(
            settings.reader().values().audit_log_forward_endpoint,
            "logs:514"
        );
        let both = json!({"audit_log_forward_endpoint": "", "skip_audit_log_database": false});
        assert_eq!(settings.change(&named(&both)).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn two_who_write_at_once_lose_nothing() {
    for db in testing::databases().await {
        let (here, there) = (
            open(&db, &json!({})).await,
            open(&db.again().await, &json!({})).await,
        );
        let (one, two) = (
            named(&json!({"token_expiration": 5})),
            named(&json!({"robot_token_duration": 9})),
        );
        let (first, second) = tokio::join!(here.change(&one), there.change(&two));
        first.unwrap();
        second.unwrap();
        here.list().await.unwrap();
        let values = here.reader().values();
        assert_eq!(
            (values.token_expiration, values.robot_token_duration),
            (5, 9)
        );
    }
}

#[test]
fn what_was_read_earlier_does_not_replace_what_was_read_later() {
    let reader = Reader::default();
    let read = |reading, read_only| {
        let values = Values {
            read_only,
            ..Values::default()
        };
        reader.take(reader::Snapshot {
            reading,
            named: Named::new(),
            values: std::sync::Arc::new(values),
        });
    };
    read(2, true);
    read(1, false);
    assert!(reader.values().read_only);
    read(3, false);
    assert!(!reader.values().read_only);
}

#[test]
fn the_section_takes_known_names_with_fitting_values() {
    let parse = |text: &str| toml::from_str::<Config>(text);
    let config = parse("read_only = true\nbanner_message = \"hello\"").unwrap();
    assert!(config.fixes("read_only") && !config.fixes("self_registration"));
    let skip = "skip_audit_log_database = true";
    let to_nobody = format!("{skip}\naudit_log_forward_endpoint = \"\"");
    for (bad, word) in [
        ("colour = 1", "colour"),
        ("read_only = 1", "true or false"),
        (skip, "`audit_log_forward_endpoint` must be, too"),
        (&to_nobody, "`audit_log_forward_endpoint` must be, too"),
    ] {
        let error = parse(bad).unwrap_err();
        assert!(error.message().contains(word), "{error}");
    }
    parse(&format!(
        "{skip}\naudit_log_forward_endpoint = \"logs:514\""
    ))
    .unwrap();
}
