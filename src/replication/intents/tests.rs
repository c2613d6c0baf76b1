use std::time::Duration;

use crate::{
    clock::Timestamp,
    oci::Digest,
    replication::{
        Change, ChangeKind, Config, Error, Mode, Origin, Replication, Status,
        testing::{Rig, eventually, push, push_image},
    },
    store::testing::databases,
};

use super::{
    queries::{self, Unsettled},
    tombstone, wish,
};

/// How many intents there are.
async fn intents(rig: &Rig) -> usize {
    let everything = Unsettled {
        boot: "nobody",
        own_before: Timestamp::from_millis(0),
        alive_after: Timestamp::from_millis(i64::MAX),
        due: Timestamp::from_millis(i64::MAX),
        limit: 1000,
    };
    queries::unsettled(&rig.db, everything).await.unwrap().len()
}

/// A push by digest that asks for tags.
fn push_with_tags(tags: &[&str]) -> Change {
    let digest = Digest::sha256(b"x");
    Change {
        kind: ChangeKind::Push {
            reference: digest.as_str().parse().unwrap(),
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            digest,
            blob_bytes: None,
        },
        ..push("a/b", "v1")
    }
}

/// A push of `reference` that makes it `digest`.
fn push_of(repository: &str, reference: &str, digest: &Digest) -> Change {
    Change {
        kind: ChangeKind::Push {
            reference: reference.parse().unwrap(),
            tags: Vec::new(),
            digest: digest.clone(),
            blob_bytes: None,
        },
        ..push(repository, reference)
    }
}

fn impatient() -> Config {
    Config {
        unknown_after_seconds: 0,
        ..Config::default()
    }
}

#[tokio::test]
async fn a_change_that_no_policy_cares_about_writes_nothing() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let ticket = rig.replication.intend(&push("a/b", "v1")).await.unwrap();
        assert!(ticket.is_empty());
        rig.replication.confirm(ticket, &[]).await.unwrap();
        assert_eq!(intents(&rig).await, 0);
        assert!(rig.all_executions().await.is_empty());
    }
}

#[tokio::test]
async fn an_intent_becomes_an_execution_when_it_is_confirmed() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let policy = rig.policy(|_| {}).await;
        let ticket = rig.replication.intend(&push("a/b", "v1")).await.unwrap();
        assert!(!ticket.is_empty());
        assert_eq!(intents(&rig).await, 1);
        assert!(rig.all_executions().await.is_empty());
        rig.replication.confirm(ticket, &[]).await.unwrap();
        assert_eq!(intents(&rig).await, 0);
        let executions = rig.all_executions().await;
        assert_eq!(executions.len(), 1);
        assert_eq!(executions[0].policy_id, policy);
        assert_eq!(executions[0].status, Status::InProgress);
        let tasks = rig.tasks(executions[0].id).await;
        assert_eq!((tasks.len(), tasks[0].status), (1, Status::Pending));
        assert_eq!(tasks[0].source, "a/b:v1");
    }
}

#[tokio::test]
async fn the_job_of_a_push_knows_what_the_image_weighs() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        let mut change = push("a/b", "v1");
        if let ChangeKind::Push { blob_bytes, .. } = &mut change.kind {
            *blob_bytes = Some(1 << 30);
        }
        let affected = rig.replication.shared.snapshot.affected(&change);
        let wishes = wish::of_change(&affected, &change);
        let sizes: Vec<_> = wishes.iter().map(|wish| wish.job().size_bytes).collect();
        assert_eq!(sizes, [Some(1 << 30)]);
    }
}

#[tokio::test]
async fn a_refused_change_leaves_nothing() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        let ticket = rig.replication.intend(&push("a/b", "v1")).await.unwrap();
        rig.replication.withdraw(ticket).await.unwrap();
        assert_eq!(intents(&rig).await, 0);
        assert!(rig.all_executions().await.is_empty());
    }
}

#[tokio::test]
async fn a_burst_of_pushes_of_one_tag_is_one_job() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        let change = push("a/b", "v1");
        let pushes = (0..20).map(|_| rig.happen(&change));
        futures_util::future::join_all(pushes).await;
        rig.happen(&push("a/b", "v2")).await;
        let executions = rig.all_executions().await;
        assert_eq!(executions.len(), 2);
        assert_eq!(intents(&rig).await, 0);
    }
}

#[tokio::test]
async fn one_change_of_many_references_is_one_execution() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        rig.happen(&push_with_tags(&["a", "b", "c"])).await;
        let executions = rig.all_executions().await;
        assert_eq!((executions.len(), executions[0].counts.total), (1, 4));
        assert_eq!(intents(&rig).await, 0);
    }
}

#[tokio::test]
async fn tags_that_the_registry_did_not_set_are_forgotten_and_the_digest_is_not() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        let change = push_with_tags(&["a", "b"]);
        let ticket = rig.replication.intend(&change).await.unwrap();
        assert_eq!(intents(&rig).await, 3);
        let set = ["b".parse().unwrap()];
        rig.replication.confirm(ticket, &set).await.unwrap();
        assert_eq!(intents(&rig).await, 0);
        let execution = rig.all_executions().await[0].id;
        let mut sources: Vec<String> = rig
            .tasks(execution)
            .await
            .into_iter()
            .map(|task| task.source)
            .collect();
        sources.sort();
        let digest = Digest::sha256(b"x");
        assert_eq!(sources, ["a/b:b".to_owned(), format!("a/b@{digest}")]);
    }
}

#[tokio::test]
async fn an_intent_of_a_dead_process_becomes_a_job_at_the_next_start() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        let digest = push_image(&rig.local, "a/b", "v1", &["one"]).await;
        let change = push_of("a/b", "v1", &digest);
        let ticket = rig.replication.intend(&change).await.unwrap();
        // The process dies here: the registry has the image, nobody confirms.
        std::mem::forget(ticket);
        rig.work();
        let next = rig.another(Config::default()).await;
        let later = next.shared.clock.now().plus(Duration::from_mins(1));
        super::resolver::settle(&next.shared, later).await.unwrap();
        eventually(async || {
            let found = rig.remote.digest("a/b", "v1").await;
            (found.as_ref() == Some(&digest)).then_some(())
        })
        .await;
        assert_eq!(intents(&rig).await, 0);
        assert_eq!(rig.settled().await[0].status, Status::Succeed);
    }
}

/// Ten times the defaults, so that the resolver of the rig, on the wall clock, never comes first.
fn patient() -> Config {
    Config {
        unknown_after_seconds: 150,
        unknown_for_seconds: 9000,
        ..Config::default()
    }
}

/// Pushes an image elsewhere, to know its digest, and says that it is pushed here.
async fn unfinished(rig: &Rig) -> Change {
    let digest = push_image(&rig.local, "other/place", "v1", &["one"]).await;
    let change = push_of("a/b", "v1", &digest);
    drop(rig.replication.intend(&change).await.unwrap());
    change
}

#[tokio::test]
async fn a_push_that_the_registry_commits_after_the_first_look_is_mirrored() {
    for db in databases().await {
        let rig = Rig::with(db, patient()).await;
        rig.policy(|_| {}).await;
        unfinished(&rig).await;
        rig.work();
        let shared = &rig.replication.shared;
        let start = shared.clock.now();
        let after = |seconds| start.plus(Duration::from_secs(seconds));
        let settle = async |seconds| {
            let settled = super::resolver::settle(shared, after(seconds)).await;
            settled.unwrap()
        };
        assert_eq!(settle(200).await, 1);
        rig.settled().await;
        assert_eq!(settle(1000).await, 0, "nothing new, no job");
        let digest = push_image(&rig.local, "a/b", "v1", &["one"]).await;
        assert_eq!(settle(1001).await, 0, "the next look is not due");
        assert_eq!(settle(3000).await, 1);
        rig.settled().await;
        assert_eq!(rig.remote.digest("a/b", "v1").await, Some(digest));
        assert_eq!(intents(&rig).await, 0, "it is seen made");
    }
}

#[tokio::test]
async fn a_push_from_before_the_clock_was_set_back_is_mirrored() {
    for db in databases().await {
        let rig = Rig::with(db, patient()).await;
        rig.policy(|_| {}).await;
        unfinished(&rig).await;
        let digest = push_image(&rig.local, "a/b", "v1", &["one"]).await;
        rig.work();
        let shared = &rig.replication.shared;
        let now = shared.clock.now().minus(Duration::from_hours(24));
        let later = now.plus(Duration::from_secs(200));
        let settle = async || super::resolver::settle(shared, later).await.unwrap();
        assert_eq!(settle().await, 0);
        queries::follow_setback(&shared.db, now).await.unwrap();
        assert_eq!(settle().await, 1);
        rig.settled().await;
        assert_eq!(rig.remote.digest("a/b", "v1").await, Some(digest));
    }
}

#[tokio::test]
async fn a_push_that_never_comes_is_forgotten_after_a_last_look() {
    for db in databases().await {
        let rig = Rig::with(db, patient()).await;
        rig.policy(|_| {}).await;
        unfinished(&rig).await;
        let shared = &rig.replication.shared;
        let start = shared.clock.now();
        for seconds in [200, 8900] {
            let now = start.plus(Duration::from_secs(seconds));
            super::resolver::settle(shared, now).await.unwrap();
            assert_eq!(intents(&rig).await, 1, "{seconds} s");
        }
        let end = start.plus(Duration::from_secs(9100));
        super::resolver::settle(shared, end).await.unwrap();
        assert_eq!(intents(&rig).await, 0);
    }
}

#[tokio::test]
async fn intents_of_a_request_under_way_are_left_alone() {
    for db in databases().await {
        let rig = Rig::with(db, impatient()).await;
        rig.policy(|_| {}).await;
        let ticket = rig.replication.intend(&push("a/b", "v1")).await.unwrap();
        let now = rig
            .replication
            .shared
            .clock
            .now()
            .plus(Duration::from_secs(1));
        let settled = super::resolver::settle(&rig.replication.shared, now).await;
        assert_eq!(settled.unwrap(), 0);
        drop(ticket);
        let settled = super::resolver::settle(&rig.replication.shared, now).await;
        assert_eq!(settled.unwrap(), 1);
        assert_eq!(rig.all_executions().await.len(), 1);
    }
}

/// A gateway on the same data whose database is away.
async fn without_database(rig: &Rig, mode: Mode) -> Replication {
    let config = Config {
        mode,
        ..Config::default()
    };
    let db = rig.db.again().await;
    let replication = rig.another_on(db.clone(), config).await;
    db.close().await;
    replication
}

#[tokio::test]
async fn without_a_database_required_mode_refuses_the_push() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        let replication = without_database(&rig, Mode::Required).await;
        let error = replication.intend(&push("a/b", "v1")).await.unwrap_err();
        assert!(matches!(error, Error::Unrecorded(_)), "{error}");
        assert!(error.retryable());
    }
}

#[tokio::test]
async fn without_a_database_best_effort_keeps_the_push_for_later() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        let digest = push_image(&rig.local, "a/b", "v1", &["one"]).await;
        let replication = without_database(&rig, Mode::BestEffort).await;
        let ticket = replication.intend(&push("a/b", "v1")).await.unwrap();
        assert!(replication.confirm(ticket, &[]).await.is_err());
        assert_eq!(intents(&rig).await, 0);
        // The database is back for this one.
        rig.work();
        let now = rig
            .replication
            .shared
            .clock
            .now()
            .plus(Duration::from_mins(1));
        assert_eq!(
            super::resolver::settle(&rig.replication.shared, now)
                .await
                .unwrap(),
            1
        );
        let executions = rig.settled().await;
        assert_eq!(executions[0].status, Status::Succeed);
        assert_eq!(rig.remote.digest("a/b", "v1").await, Some(digest));
        assert_eq!(
            super::resolver::settle(&rig.replication.shared, now)
                .await
                .unwrap(),
            0
        );
    }
}

#[tokio::test]
async fn the_kept_list_is_not_settled_while_a_request_of_it_is_under_way() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        let replication = without_database(&rig, Mode::BestEffort).await;
        let spill = &replication.shared.spill;
        let under_way = replication.intend(&push("a/b", "v1")).await.unwrap();
        let withdrawn = replication.intend(&push("a/b", "v2")).await.unwrap();
        replication.withdraw(withdrawn).await.unwrap();
        let later = Timestamp::from_millis(i64::MAX);
        assert_eq!(spill.settled_before(later, later).await.unwrap(), None);
        drop(under_way);
        let wishes = spill.settled_before(later, later).await.unwrap();
        assert_eq!(wishes.map(|wishes| wishes.len()), Some(2));
    }
}

#[tokio::test]
async fn a_full_list_of_kept_changes_is_told_from_a_database_that_is_away() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        let config = Config {
            mode: Mode::BestEffort,
            max_spill_bytes: 10,
            ..Config::default()
        };
        let db = rig.db.again().await;
        let replication = rig.another_on(db.clone(), config).await;
        db.close().await;
        let error = replication.intend(&push("a/b", "v1")).await.unwrap_err();
        assert!(matches!(error, Error::ChangeListFull { .. }), "{error}");
        assert!(error.to_string().contains("max_spill_bytes"), "{error}");
    }
}

/// A change made `at`, which has come through the gateways `passed`.
fn made(change: Change, passed: &str, at: Timestamp) -> Change {
    let origin = Origin::parse(&format!("{passed};at={}", at.millis()));
    Change { origin, ..change }
}

fn deletion_of(tag: &str) -> Change {
    let kind = ChangeKind::DeleteTag {
        tag: tag.parse().unwrap(),
        digest: None,
    };
    Change {
        kind,
        ..push("a/b", tag)
    }
}

#[tokio::test]
async fn a_late_push_from_a_mirror_brings_back_no_deleted_tag() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|spec| spec.deletion = true).await;
        let now = rig.replication.shared.clock.now();
        let before = |millis: u64| now.minus(Duration::from_millis(millis));
        rig.happen(&made(deletion_of("v1"), "", before(100))).await;
        // A deletion that is heard of late was made before all the same.
        rig.happen(&made(deletion_of("v1"), "elsewhere", before(200)))
            .await;
        // One of tomorrow was made now.
        let tomorrow = now.plus(Duration::from_hours(24));
        rig.happen(&made(deletion_of("v3"), "elsewhere", tomorrow))
            .await;
        let next = made(
            push("a/b", "v3"),
            "elsewhere",
            now.plus(Duration::from_mins(1)),
        );
        assert!(rig.replication.intend(&next).await.is_ok());
        let late = made(push("a/b", "v1"), "elsewhere", before(150));
        let unknown = Change {
            origin: Origin::parse("elsewhere"),
            ..push("a/b", "v1")
        };
        for (change, comes_in) in [
            (&late, false),
            (&unknown, false),
            (&made(push("a/b", "v1"), "elsewhere", before(50)), true),
            (&made(push("a/b", "v1"), "", before(150)), true),
            (&made(push("a/b", "v2"), "elsewhere", before(150)), true),
        ] {
            let intended = rig.replication.intend(change).await;
            let is_refused = matches!(intended, Err(Error::Superseded { .. }));
            assert_eq!(!is_refused, comes_in, "{change:?}");
        }
        let later = now.plus(Duration::from_hours(25));
        tombstone::sweep(&rig.replication.shared, later)
            .await
            .unwrap();
        assert!(rig.replication.intend(&late).await.is_ok());
    }
}
