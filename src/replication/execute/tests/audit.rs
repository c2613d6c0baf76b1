use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    jobs::{Job, JobId, Launch, NewJob, Runner, State},
    replication::{
        Config, Execution, PolicyId, Replication, Status, Trigger,
        execute::{audit, due},
        policy::PolicySpec,
        testing::{Reply, Rig, eventually, name, push, push_image, where_is},
    },
    store::{Listing, testing::databases},
};

async fn enqueue(rig: &Rig, policy: PolicyId) -> JobId {
    let job = NewJob::new(audit::KIND, "policy/1", json!({"policy": policy}));
    let mut tx = rig.db.begin().await.unwrap();
    let id = rig.jobs.enqueue(&mut tx, job).await.unwrap().id;
    tx.commit().await.unwrap();
    rig.jobs.wake();
    id
}

/// An audit from its beginning to its end, with all that it made.
async fn audited(rig: &Rig, policy: PolicyId) -> (Execution, String) {
    let job = enqueue(rig, policy).await;
    becomes(rig, job, State::Done).await;
    let is_audit = where_is("trigger", "audit");
    let audits = rig.replication.executions(&is_audit);
    let newest = audits.await.unwrap().items.remove(0);
    let execution = rig.finished(newest.id).await;
    (execution, rig.jobs.log(job).await.unwrap())
}

async fn becomes(rig: &Rig, job: JobId, state: State) -> Job {
    eventually(async || {
        let job = rig.jobs.job(job).await.unwrap();
        (job.state == state).then_some(job)
    })
    .await
}

/// Three tags that the destination, a mere registry, has by the gateway's own doing.
async fn mirrored(rig: &Rig, change: impl FnOnce(&mut PolicySpec)) -> PolicyId {
    rig.remote.is_gateway.store(false, Ordering::SeqCst);
    let policy = rig.policy(change).await;
    for tag in ["kept", "lost", "moved"] {
        push_image(&rig.local, "team/app", tag, &[tag]).await;
    }
    let run = rig.replication.run_policy(policy).await.unwrap();
    assert_eq!(rig.finished(run).await.counts.succeed, 3);
    policy
}

/// What somebody does past the gateway: at the destination a tag is deleted, one is moved and
/// one is made; at the source one is made.
async fn meddle(rig: &Rig) {
    let lost = &"lost".parse().unwrap();
    let there = &rig.remote.client;
    there
        .delete_manifest(&name("team/app"), lost)
        .await
        .unwrap();
    push_image(there, "team/app", "moved", &["elsewhere"]).await;
    push_image(there, "team/app", "theirs", &["theirs"]).await;
    push_image(&rig.local, "team/past", "new", &["new"]).await;
}

async fn is_equal(rig: &Rig, repository: &str, tag: &str) -> bool {
    let here = crate::replication::testing::digest_at(&rig.local, repository, tag).await;
    here.is_some() && here == rig.remote.digest(repository, tag).await
}

#[tokio::test]
async fn what_was_changed_past_the_gateway_becomes_equal() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.work();
        let policy = mirrored(&rig, |_| {}).await;
        meddle(&rig).await;
        let (execution, log) = audited(&rig, policy).await;
        assert_eq!(
            (execution.status, execution.counts.succeed),
            (Status::Succeed, 3),
            "{log}"
        );
        for (repository, tag) in [
            ("team/app", "kept"),
            ("team/app", "lost"),
            ("team/app", "moved"),
            ("team/past", "new"),
        ] {
            assert!(is_equal(&rig, repository, tag).await, "{repository}:{tag}");
        }
        assert!(rig.remote.digest("team/app", "theirs").await.is_some());
        assert!(log.contains("team/app:lost is missing"), "{log}");
        let report = "1 tags are equal, 2 were missing at the destination, 1 different; the \
                      destination has 1 more; 3 tasks made";
        assert!(log.contains(report), "{log}");

        let (again, log) = audited(&rig, policy).await;
        assert_eq!(
            (again.status, again.counts.total),
            (Status::Succeed, 0),
            "{log}"
        );
    }
}

#[tokio::test]
async fn a_policy_that_does_not_overwrite_keeps_what_is_different() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.work();
        let policy = mirrored(&rig, |spec| spec.overwrite = false).await;
        push_image(&rig.remote.client, "team/app", "moved", &["elsewhere"]).await;
        let (execution, log) = audited(&rig, policy).await;
        assert_eq!(execution.counts.total, 0, "{log}");
        assert!(!is_equal(&rig, "team/app", "moved").await);
    }
}

/// Which side is the newer one cannot be told: the other gateway may have yet to send it here.
#[tokio::test]
async fn what_is_different_at_another_gateway_is_left_alone() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.work();
        let policy = rig.policy(|_| {}).await;
        push_image(&rig.local, "team/app", "missing", &["missing"]).await;
        push_image(&rig.local, "team/app", "moved", &["here"]).await;
        push_image(&rig.remote.client, "team/app", "moved", &["there"]).await;
        let (execution, log) = audited(&rig, policy).await;
        assert_eq!(execution.counts.total, 1, "{log}");
        assert!(is_equal(&rig, "team/app", "missing").await);
        assert!(!is_equal(&rig, "team/app", "moved").await);
        assert!(log.contains("team/app:moved is different"), "{log}");
    }
}

#[tokio::test]
async fn what_a_job_is_about_to_bring_is_not_missing() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        push_image(&rig.local, "team/app", "busy", &["busy"]).await;
        rig.remote
            .script(|ask| ask.is_upload_of_data().then_some(Reply::Silence));
        rig.work();
        rig.happen(&push("team/app", "busy")).await;
        let busy = rig.all_executions().await.remove(0);
        let job = rig.tasks(busy.id).await[0].job_id;
        becomes(&rig, job, State::Running).await;
        let (execution, log) = audited(&rig, busy.policy_id).await;
        assert_eq!(execution.counts.total, 0, "{log}");
        assert!(log.contains("0 were missing"), "{log}");
        rig.remote.mend();
        rig.finished(busy.id).await;
        assert!(is_equal(&rig, "team/app", "busy").await);
    }
}

/// More than the budget of a part pays for.
#[tokio::test]
async fn repositories_without_anything_to_compare_do_not_hold_an_audit_up() {
    for db in databases().await {
        let config = Config {
            audit_requests_per_second: 2,
            ..Config::default()
        };
        let rig = Rig::with(db, config).await;
        rig.work();
        let filters = json!([{"type": "tag", "value": "v*"}]);
        let policy = rig.policy(|spec| spec.filters = serde_json::from_value(filters).unwrap());
        let policy = policy.await;
        for repository in ["a/1", "a/2", "a/3", "a/4"] {
            push_image(&rig.local, repository, "other", &["other"]).await;
        }
        push_image(&rig.local, "b/last", "v1", &["v1"]).await;
        let (execution, log) = audited(&rig, policy).await;
        assert_eq!(execution.counts.succeed, 1, "{log}");
        assert!(is_equal(&rig, "b/last", "v1").await);
    }
}

/// So slow that four repositories of one tag take two parts.
fn slow() -> Config {
    Config {
        audit_requests_per_second: 4,
        ..Config::default()
    }
}

#[tokio::test]
async fn an_audit_goes_on_after_a_restart_where_it_was() {
    for db in databases().await {
        let rig = Rig::with(db, slow()).await;
        let policy = rig.policy(|_| {}).await;
        for repository in ["team/a", "team/b", "team/c", "team/d"] {
            push_image(&rig.local, repository, "v1", &["one"]).await;
            push_image(&rig.remote.client, repository, "v1", &["one"]).await;
        }
        rig.remote.requests("");
        let stop = CancellationToken::new();
        let runner = Runner::new(rig.jobs.clone(), rig.handlers(&rig.replication));
        let first = tokio::spawn(runner.run(stop.clone()));
        let job = enqueue(&rig, policy).await;
        eventually(async || {
            let job = rig.jobs.job(job).await.unwrap();
            (job.state == State::Ready && job.started.is_some()).then_some(())
        })
        .await;
        stop.cancel();
        first.await.unwrap();
        let before = rig.remote.requests("HEAD");
        assert!(!before.is_empty() && before.len() < 4, "{before:?}");

        let reborn = rig.another(slow()).await;
        let runner = Runner::new(rig.jobs.clone(), rig.handlers(&reborn));
        let stop = CancellationToken::new();
        tokio::spawn(runner.run(stop.clone()));
        becomes(&rig, job, State::Done).await;
        stop.cancel();
        let mut asked = [before, rig.remote.requests("HEAD")].concat();
        asked.sort();
        let once = ["a", "b", "c", "d"].map(|r| format!("HEAD /v2/team/{r}/manifests/v1"));
        assert_eq!(asked, once);
        let log = rig.jobs.log(job).await.unwrap();
        assert!(log.contains("4 tags are equal"), "{log}");
    }
}

#[tokio::test]
async fn a_policy_goes_while_its_audit_waits_and_the_audit_ends() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let policy = rig.policy(|_| {}).await;
        let job = enqueue(&rig, policy).await;
        rig.replication.delete_policy(policy).await.unwrap();
        rig.work();
        becomes(&rig, job, State::Done).await;
    }
}

#[tokio::test]
async fn an_audit_can_be_launched_and_stopped() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.work();
        let policy = mirrored(&rig, |_| {}).await;
        rig.remote.script(|_| Some(Reply::Silence));
        let launch = Launch {
            kind: audit::KIND.to_owned(),
            params: json!({"policy": policy}),
            delay: Duration::ZERO,
            is_unique: false,
        };
        let job = rig.jobs.launch(launch).await.unwrap();
        becomes(&rig, job, State::Running).await;
        rig.jobs.stop(job).await.unwrap();
        becomes(&rig, job, State::Stopped).await;
    }
}

async fn audits(replication: &Replication) -> u64 {
    let jobs = &replication.shared.jobs;
    let page = jobs.page(None, &Listing::default()).await.unwrap();
    let of_kind = page.items.iter().filter(|job| job.kind == audit::KIND);
    of_kind.count() as u64
}

#[tokio::test]
async fn each_event_based_policy_is_audited_once_in_an_interval_by_one_instance() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        let policy = rig.policy(|_| {}).await;
        let other = rig.another(Config::default()).await;
        let all = [&rig.replication, &other];
        let look = async |interval| {
            for replication in all {
                due::enqueue_due(&replication.shared, interval)
                    .await
                    .unwrap();
            }
        };
        look(Duration::from_hours(24)).await;
        assert_eq!(
            audits(&rig.replication).await,
            0,
            "its turn comes within the interval"
        );
        // The interval was made shorter, and has passed.
        look(Duration::from_millis(1)).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        look(Duration::from_hours(24)).await;
        assert_eq!(audits(&rig.replication).await, 1);

        let mut spec = rig.replication.policy(policy).await.unwrap().spec;
        spec.trigger = Trigger::Manual;
        rig.replication.update_policy(policy, &spec).await.unwrap();
        rig.work();
        let page = rig.jobs.page(None, &Listing::default()).await.unwrap();
        becomes(&rig, page.items[0].id, State::Done).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        look(Duration::from_millis(1)).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        look(Duration::from_millis(1)).await;
        assert_eq!(
            audits(&rig.replication).await,
            1,
            "a manual policy has none"
        );
    }
}
