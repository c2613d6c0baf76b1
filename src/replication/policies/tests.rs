use serde_json::json;

use crate::{
    jobs::State,
    replication::{
        Config, Kind, Origin, PolicySpec, RegistryId, Trigger,
        executions::queries as executions,
        policy::{Namespace, Replace},
        registries,
        testing::{Rig, THERE, eventually, name, push, where_is},
    },
    store::testing::databases,
};

#[tokio::test]
async fn a_policy_reads_back_as_it_was_written() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let mut written = None;
        let id = rig
            .policy(|spec| {
                *spec = PolicySpec {
                    description: "nightly".to_owned(),
                    trigger: Trigger::Scheduled {
                        cron: "0 30 2 * * *".to_owned(),
                    },
                    filters: serde_json::from_value(json!([
                        {"type": "name", "value": "library/**"},
                        {"type": "tag", "value": "*-rc", "decoration": "excludes"},
                    ]))
                    .unwrap(),
                    namespace: Namespace {
                        path: "backup".to_owned(),
                        replace: Replace::First(1),
                    },
                    deletion: true,
                    speed_kbps: Some(1024),
                    single_active: true,
                    tee: false,
                    copy_foreign_layers: true,
                    ..spec.clone()
                };
                written = Some(spec.clone());
            })
            .await;
        let policy = rig.replication.policy(id).await.unwrap();
        assert_eq!(Some(policy.spec), written);
        let next = rig
            .replication
            .shared
            .schedules
            .next(&super::schedule_key(id))
            .await;
        assert!(next.unwrap().is_some());
        let listed = rig
            .replication
            .policies(&where_is("name", "mirror"))
            .await
            .unwrap();
        assert_eq!((listed.total, listed.items[0].id), (1, id));
    }
}

#[tokio::test]
async fn a_schedule_follows_its_policy() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let nightly = |spec: &mut PolicySpec| {
            spec.trigger = Trigger::Scheduled {
                cron: "0 0 3 * * *".to_owned(),
            };
        };
        let id = rig.policy(nightly).await;
        let key = super::schedule_key(id);
        let schedules = &rig.replication.shared.schedules;
        assert!(schedules.next(&key).await.unwrap().is_some());
        let mut spec = rig.replication.policy(id).await.unwrap().spec;
        spec.enabled = false;
        rig.replication.update_policy(id, &spec).await.unwrap();
        assert!(schedules.next(&key).await.unwrap().is_none());
        spec.enabled = true;
        rig.replication.update_policy(id, &spec).await.unwrap();
        assert!(schedules.next(&key).await.unwrap().is_some());
        rig.replication.delete_policy(id).await.unwrap();
        assert!(schedules.next(&key).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn names_are_unique_and_registries_must_exist() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let id = rig.policy(|_| {}).await;
        let spec = rig.replication.policy(id).await.unwrap().spec;
        let error = rig.replication.create_policy(&spec).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Conflict, "{error}");
        let nowhere = PolicySpec {
            name: "other".to_owned(),
            destination: RegistryId(999),
            ..spec
        };
        let error = rig.replication.create_policy(&nowhere).await.unwrap_err();
        assert_eq!(error.to_string(), "registry 999 does not exist");
    }
}

#[tokio::test]
async fn a_policy_with_a_live_execution_cannot_be_deleted() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let id = rig.policy(|_| {}).await;
        rig.happen(&push("a/b", "v1")).await;
        let error = rig.replication.delete_policy(id).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Precondition, "{error}");
        let execution = rig.all_executions().await[0].id;
        rig.replication.stop_execution(execution).await.unwrap();
        rig.replication.delete_policy(id).await.unwrap();
        let error = rig.replication.execution(execution).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }
}

#[tokio::test]
async fn disabling_a_policy_stops_its_waiting_jobs() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let id = rig.policy(|_| {}).await;
        for tag in ["v1", "v2"] {
            rig.happen(&push("a/b", tag)).await;
        }
        let jobs = executions::waiting_jobs(&rig.db, id).await.unwrap();
        assert_eq!(jobs.len(), 2);
        let mut spec = rig.replication.policy(id).await.unwrap().spec;
        spec.enabled = false;
        rig.replication.update_policy(id, &spec).await.unwrap();
        for job in jobs {
            assert_eq!(rig.jobs.job(job).await.unwrap().state, State::Stopped);
        }
        assert!(!rig.replication.wants(&name("a/b")));
    }
}

#[tokio::test]
async fn a_mirrored_change_does_not_go_back() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        let own = rig.replication.installation();
        let far = "a1,a2,a3,a4,a5,a6,a7,a8";
        let round = format!("elsewhere,{own},elsewhere2");
        for (origin, is_mirrored) in [
            ("", true),
            ("elsewhere", true),
            (THERE, false),
            ("elsewhere,fedcba9876543210,elsewhere2", false),
            (&*round, false),
            (far, false),
        ] {
            let mut change = push("a/b", "v1");
            change.origin = Origin::parse(origin);
            let concerns = rig.replication.concerns(&change);
            assert_eq!(concerns, is_mirrored, "{origin}");
        }
        // The name outlives the process.
        assert_eq!(rig.another(Config::default()).await.installation(), own);
    }
}

#[tokio::test]
async fn a_circle_must_be_meant() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let there = rig.policy(|_| {}).await;
        let spec = rig.replication.policy(there).await.unwrap().spec;
        let mut back = PolicySpec {
            name: "back".to_owned(),
            source: spec.destination,
            destination: RegistryId::LOCAL,
            trigger: Trigger::Scheduled {
                cron: "0 0 3 * * *".to_owned(),
            },
            ..spec.clone()
        };
        let error = rig.replication.create_policy(&back).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the policy `mirror` brings back from `mirror` what this one sends there, or the other \
             way round; set `bidirectional` if both are meant to be"
        );
        back.bidirectional = true;
        let id = rig.replication.create_policy(&back).await.unwrap();
        assert!(rig.replication.policy(id).await.unwrap().spec.bidirectional);
        // One that is meant is enough, and a policy is no circle with itself.
        rig.replication.update_policy(there, &spec).await.unwrap();
        back.bidirectional = false;
        let error = rig.replication.update_policy(id, &back).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
    }
}

#[tokio::test]
async fn nothing_is_copied_onto_itself() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let id = rig.policy(|_| {}).await;
        let mut spec = rig.replication.policy(id).await.unwrap().spec;
        let mut tx = rig.db.begin().await.unwrap();
        let own = rig.replication.installation();
        registries::queries::set_installation(&mut tx, spec.destination, own)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let error = rig.replication.update_policy(id, &spec).await.unwrap_err();
        assert!(error.to_string().contains("onto itself"), "{error}");
        spec.namespace.path = "backup".to_owned();
        rig.replication.update_policy(id, &spec).await.unwrap();
    }
}

#[tokio::test]
async fn another_instance_sees_a_change_without_asking_the_database_for_each_push() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let other = rig.another(Config::default()).await;
        assert!(!other.wants(&name("a/b")));
        let id = rig.policy(|_| {}).await;
        assert!(rig.replication.wants(&name("a/b")));
        eventually(async || other.wants(&name("a/b")).then_some(())).await;
        rig.replication.delete_policy(id).await.unwrap();
        assert!(!rig.replication.wants(&name("a/b")));
        eventually(async || (!other.wants(&name("a/b"))).then_some(())).await;
    }
}
