use crate::{
    replication::{
        Error, Health, Kind, NewCredential, NewRegistry, RegistryChange, RegistryId, testing::Rig,
    },
    secret::Secret,
    store::{Listing, testing::databases},
};

use super::queries;

fn with_secret(new: NewRegistry, secret: &str) -> NewRegistry {
    NewRegistry {
        credential: NewCredential {
            kind: "basic".to_owned(),
            access_key: "robot".to_owned(),
            access_secret: Secret::new(secret),
        },
        ..new
    }
}

#[tokio::test]
async fn secrets_are_sealed_at_rest_and_survive_other_changes() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let new = with_secret(rig.new_registry(), "hunter2");
        let id = rig.replication.create_registry(new).await.unwrap();
        let change = RegistryChange {
            description: Some("in the cellar".to_owned()),
            ..RegistryChange::default()
        };
        rig.replication.update_registry(id, change).await.unwrap();
        let row = queries::by_id(&rig.db, id).await.unwrap().unwrap();
        let sealed = row.access_secret.clone().unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        let endpoint =
            super::administration::endpoint_of(&rig.replication.shared.sealing, &row).unwrap();
        let expected = crate::registry::Credential::Basic {
            username: "robot".to_owned(),
            password: Secret::new("hunter2"),
        };
        assert_eq!(endpoint.credential, Some(expected));
        let registry = rig.replication.registry(id).await.unwrap();
        assert!(registry.has_secret);
        assert_eq!(registry.description, "in the cellar");
    }
}

#[tokio::test]
async fn a_kept_secret_is_not_sent_to_another_address() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let new = with_secret(rig.new_registry(), "hunter2");
        let id = rig.replication.create_registry(new).await.unwrap();
        let elsewhere = RegistryChange {
            url: Some(rig.remote.url.replace("127.0.0.1", "localhost")),
            ..RegistryChange::default()
        };
        let refused = rig.replication.update_registry(id, elsewhere.clone()).await;
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        assert!(error.to_string().contains("access_secret"), "{error}");
        let same = RegistryChange {
            url: Some(format!("{}/", rig.remote.url)),
            ..RegistryChange::default()
        };
        rig.replication.update_registry(id, same).await.unwrap();
        let url = rig.replication.registry(id).await.unwrap().url;
        assert_eq!(url.trim_end_matches('/'), rig.remote.url);
        let with_its_secret = RegistryChange {
            url: Some("http://127.0.0.1:1".to_owned()),
            access_secret: Some(Secret::new("other")),
            ..RegistryChange::default()
        };
        let unreachable = rig.replication.update_registry(id, with_its_secret).await;
        assert_eq!(unreachable.unwrap_err().kind(), Kind::Registry);
    }
}

#[tokio::test]
async fn a_sealed_secret_does_not_open_in_another_row() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let new = with_secret(rig.new_registry(), "hunter2");
        let id = rig.replication.create_registry(new).await.unwrap();
        let mut row = queries::by_id(&rig.db, id).await.unwrap().unwrap();
        row.id += 1;
        let moved = super::administration::endpoint_of(&rig.replication.shared.sealing, &row);
        assert!(matches!(moved, Err(Error::Seal { .. })), "{moved:?}");
    }
}

#[tokio::test]
async fn registries_that_make_no_sense_are_refused_with_a_reason() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let new = rig.new_registry();
        let url = |url: &str| NewRegistry {
            url: url.to_owned(),
            ..new.clone()
        };
        let cases = [
            (
                NewRegistry {
                    name: String::new(),
                    ..new.clone()
                },
                Kind::Invalid,
                "name",
            ),
            (
                NewRegistry {
                    kind: "ftp".to_owned(),
                    ..new.clone()
                },
                Kind::Invalid,
                "type",
            ),
            (url("ftp://a"), Kind::Invalid, "https or http"),
            (url("http://user:pw@a"), Kind::Invalid, "credentials"),
            (url("http://127.0.0.1:1"), Kind::Registry, "nothing listens"),
        ];
        for (registry, kind, reason) in cases {
            let error = rig.replication.create_registry(registry).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(reason), "{error}");
        }
        rig.register().await;
        let error = rig.replication.create_registry(new).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict, "{error}");
    }
}

#[tokio::test]
async fn a_registry_that_a_policy_uses_cannot_be_deleted() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let policy = rig.policy(|_| {}).await;
        let page = rig
            .replication
            .registries(&Listing::default())
            .await
            .unwrap();
        let id = page.items[0].id;
        let error = rig.replication.delete_registry(id).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Precondition);
        assert!(error.to_string().contains("`mirror`"), "{error}");
        rig.replication.delete_policy(policy).await.unwrap();
        rig.replication.delete_registry(id).await.unwrap();
        let error = rig.replication.delete_registry(id).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }
}

#[tokio::test]
async fn a_ping_tells_and_remembers_whether_a_registry_answers() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let id = rig.register().await;
        rig.replication.ping_registry(id).await.unwrap();
        assert_eq!(
            rig.replication.registry(id).await.unwrap().health,
            Health::Healthy
        );
        queries::set_health(&rig.db, id, Health::Unhealthy)
            .await
            .unwrap();
        assert_eq!(
            rig.replication.registry(id).await.unwrap().health,
            Health::Unhealthy
        );
        rig.replication.ping_registry(id).await.unwrap();
        assert_eq!(
            rig.replication.registry(id).await.unwrap().health,
            Health::Healthy
        );
        let error = rig
            .replication
            .ping_registry(RegistryId(999))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }
}
