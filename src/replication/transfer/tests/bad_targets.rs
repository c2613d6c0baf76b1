//! Targets that do what no good registry does: each task ends in a state that a person can read
//! and act on, and the other target has its image meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::{
    oci::Digest,
    registry::tests::{Distribution, Setup},
    replication::{
        Execution, NewCredential, NewRegistry, PolicyId, Status, Task,
        testing::{Ask, RemoteRegistry, Reply, Rig, eventually, push, push_image},
    },
    secret::Secret,
    store::{Listing, testing::databases},
};

/// A target's trouble.
struct Case {
    what: &'static str,
    reply: fn(&Ask) -> Option<Reply>,
    /// What people read of it.
    says: &'static str,
}

const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

fn is_blob(ask: &Ask) -> bool {
    ask.is("PUT", "/blobs/uploads/")
}

fn is_manifest(ask: &Ask) -> bool {
    ask.is("PUT", "/manifests/")
}

fn is_start(ask: &Ask) -> bool {
    ask.is("POST", "/blobs/uploads/")
}

/// Says that it has stored it, and has stored nothing.
fn another_digest() -> Reply {
    Reply::status(201, "").and(DIGEST, Digest::sha256(b"another").as_str())
}

fn wrong_header() -> Reply {
    Reply::work_with(DIGEST, Digest::sha256(b"another").to_string())
}

fn web_page() -> Reply {
    Reply::status(200, "<!doctype html><h1>It works!</h1>")
}

/// Trouble that passes only when somebody does something about it.
const LASTING: [Case; 15] = [
    Case {
        what: "a web page where an upload should begin",
        reply: |ask| is_start(ask).then(web_page),
        says: "was answered 200, which no registry answers to it",
    },
    Case {
        what: "a web page where the blob should be stored",
        reply: |ask| is_blob(ask).then(web_page),
        says: "the registry took the blob, but does not have it",
    },
    Case {
        what: "a web page where the manifest should be stored",
        reply: |ask| is_manifest(ask).then(web_page),
        says: "the registry took the manifest, but does not have it",
    },
    Case {
        what: "an upload that is nowhere",
        reply: |ask| is_start(ask).then(|| Reply::status(202, "")),
        says: "the answer has no Location",
    },
    Case {
        what: "an upload at no address",
        reply: |ask| {
            is_start(ask).then(|| Reply::status(202, "").and(header::LOCATION, "http://[::1/x y"))
        },
        says: "is not a URI",
    },
    Case {
        what: "an upload that shall begin at another host",
        reply: |ask| {
            is_start(ask)
                .then(|| Reply::status(307, "").and(header::LOCATION, "http://127.0.0.1:1/"))
        },
        says: "was answered 307",
    },
    Case {
        what: "a blob of another digest",
        reply: |ask| is_blob(ask).then(another_digest),
        says: "the registry says that it has stored sha256:",
    },
    Case {
        what: "a manifest of another digest",
        reply: |ask| is_manifest(ask).then(another_digest),
        says: "the registry says that it has stored sha256:",
    },
    Case {
        what: "a connection that always breaks",
        reply: |ask| is_blob(ask).then_some(Reply::HangUp),
        says: "broke off",
    },
    Case {
        what: "silence",
        reply: |ask| is_manifest(ask).then_some(Reply::Silence),
        says: "no answer in time",
    },
    Case {
        what: "credentials that count no more",
        reply: |ask| is_blob(ask).then(|| Reply::refusal(401, "UNAUTHORIZED", "who are you?")),
        says: "was answered 401: UNAUTHORIZED: who are you?",
    },
    Case {
        what: "a quota that is used up",
        reply: |ask| is_manifest(ask).then(|| Reply::refusal(403, "DENIED", "quota exceeded")),
        says: "was answered 403: DENIED: quota exceeded",
    },
    Case {
        what: "a quota in other words",
        reply: |ask| is_manifest(ask).then(|| Reply::refusal(413, "QUOTA", "no room")),
        says: "was answered 413: QUOTA: no room",
    },
    Case {
        what: "a full disk",
        reply: |ask| is_blob(ask).then(|| Reply::status(500, "no space left on device")),
        says: "was answered 500: no space left on device",
    },
    Case {
        what: "a registry that is read-only",
        reply: |ask| is_start(ask).then(|| Reply::refusal(405, "UNSUPPORTED", "read-only")),
        says: "was answered 405: UNSUPPORTED: read-only",
    },
];

/// Trouble that passes by itself.
const PASSING: [Case; 5] = [
    Case {
        what: "a connection that breaks twice in the middle of a body",
        reply: |ask| (is_blob(ask) && ask.number < 2).then_some(Reply::HangUp),
        says: "broke off",
    },
    Case {
        what: "a storm of 429, longer than there are attempts",
        reply: |ask| (is_start(ask) && ask.number < 10).then(Reply::not_so_fast),
        says: "was answered 429: TOOMANYREQUESTS: not so fast",
    },
    Case {
        what: "a disk that is full for a while",
        reply: |ask| {
            (is_blob(ask) && ask.number == 0).then(|| Reply::status(500, "no space left on device"))
        },
        says: "was answered 500: no space left on device",
    },
    Case {
        what: "another digest, once",
        reply: |ask| (is_manifest(ask) && ask.number == 0).then(wrong_header),
        says: "the registry says that it has stored sha256:",
    },
    Case {
        what: "200 for what is stored",
        reply: |ask| {
            (is_blob(ask) || is_manifest(ask)).then(|| {
                Reply::Work(Box::new(|answer| {
                    *answer.status_mut() = StatusCode::OK;
                    answer.headers_mut().remove(DIGEST);
                }))
            })
        },
        says: "finished: copied",
    },
];

/// A rig with two targets, whose first is in trouble; both are to have `a/b:v1`.
struct Trial {
    rig: Rig,
    policy: PolicyId,
    other: RemoteRegistry,
    digest: Digest,
}

impl Trial {
    async fn begin(rig: Rig, case: &Case) -> Self {
        let policy = rig.policy(|_| {}).await;
        let other = rig.another_mirror().await;
        let digest = push_image(&rig.local, "a/b", "v1", &["one", "two"]).await;
        rig.remote.script(case.reply);
        rig.work();
        rig.happen(&push("a/b", "v1")).await;
        Self {
            rig,
            policy,
            other,
            digest,
        }
    }

    async fn ended(&self) -> (Execution, Task, String) {
        ended(&self.rig, self.policy).await
    }

    async fn assert_other_has_it(&self, what: &str) {
        let there = self.other.digest("a/b", "v1").await;
        assert_eq!(there.as_ref(), Some(&self.digest), "{what}");
    }
}

/// How the newest execution of the policy ended, its task and its log.
async fn ended(rig: &Rig, policy: PolicyId) -> (Execution, Task, String) {
    let executions = rig.settled().await;
    let mine = executions
        .into_iter()
        .find(|execution| execution.policy_id == policy);
    let execution = mine.unwrap();
    let task = rig.tasks(execution.id).await.remove(0);
    let log = rig.logs(execution.id).await;
    (execution, task, log)
}

#[tokio::test]
async fn lasting_trouble_fails_in_words_and_the_copy_works_once_it_is_mended() {
    for case in &LASTING {
        for db in databases().await {
            let what = case.what;
            let trial = Trial::begin(Rig::impatient(db).await, case).await;
            let (execution, task, log) = trial.ended().await;
            assert_eq!(execution.status, Status::Failed, "{what}: {log}");
            let text = &task.status_text;
            assert!(text.starts_with("destination: "), "{what}: {text}");
            assert!(text.contains(case.says), "{what}: {text}");
            assert!(log.contains(case.says), "{what}: {log}");
            trial.assert_other_has_it(what).await;

            trial.rig.remote.mend();
            trial.rig.jobs.retry(task.job_id).await.unwrap();
            let (execution, _task, log) = trial.ended().await;
            assert_eq!(execution.status, Status::Succeed, "{what}: {log}");
            let there = trial.rig.remote.digest("a/b", "v1").await;
            assert_eq!(there.as_ref(), Some(&trial.digest), "{what}: {log}");
        }
    }
}

#[tokio::test]
async fn passing_trouble_is_survived_and_told() {
    for case in &PASSING {
        for db in databases().await {
            let what = case.what;
            let trial = Trial::begin(Rig::impatient(db).await, case).await;
            let (execution, _task, log) = trial.ended().await;
            assert_eq!(execution.status, Status::Succeed, "{what}: {log}");
            assert!(log.contains(case.says), "{what}: {log}");
            let there = trial.rig.remote.digest("a/b", "v1").await;
            assert_eq!(there.as_ref(), Some(&trial.digest), "{what}: {log}");
            trial.assert_other_has_it(what).await;
        }
    }
}

/// What is said of the policy's only task, once something is.
async fn text(rig: &Rig, policy: PolicyId) -> String {
    eventually(async || {
        let executions = rig.all_executions().await;
        let mine = executions
            .iter()
            .find(|execution| execution.policy_id == policy)?;
        let task = rig.tasks(mine.id).await.remove(0);
        Some(task.status_text).filter(|text| !text.is_empty())
    })
    .await
}

#[tokio::test]
async fn a_target_without_name_or_good_certificate_is_waited_for_with_its_reason() {
    for db in databases().await {
        let rig = Rig::impatient(db).await;
        let nameless = rig.policy(|_| {}).await;
        let _mirror = rig.another_mirror().await;
        let tls = Distribution::start(Setup::Tls).await;
        let policies = rig.replication.policies(&Listing::default()).await.unwrap();
        let untrusted = policies.items.iter().find(|policy| policy.id != nameless);
        let untrusted = untrusted.unwrap();
        let (url, ca) = (rig.remote.url.clone(), tls.ca());
        let destination = rig.replication.policy(nameless).await.unwrap();
        let destination = destination.spec.destination;
        rig.change_registry(destination, |row| {
            row.url = "http://registry.invalid:5000".to_owned();
        })
        .await;
        rig.change_registry(untrusted.spec.destination, |row| {
            let plain = tls.endpoint().url.to_string();
            row.url = plain.replace("http://", "https://");
        })
        .await;
        push_image(&rig.local, "a/b", "v1", &["one"]).await;
        rig.work();
        rig.happen(&push("a/b", "v1")).await;
        let said = text(&rig, nameless).await;
        assert!(
            said.contains("cannot reach registry.invalid:5000"),
            "{said}"
        );
        let said = text(&rig, untrusted.id).await;
        assert!(said.contains("certificate"), "{said}");

        rig.change_registry(destination, |row| row.url = url).await;
        rig.change_registry(untrusted.spec.destination, |row| {
            row.ca_certificate = Some(ca);
        })
        .await;
        for policy in [nameless, untrusted.id] {
            let (execution, _task, log) = ended(&rig, policy).await;
            assert_eq!(execution.status, Status::Succeed, "{log}");
        }
    }
}

#[tokio::test]
async fn that_a_target_speaks_no_http_is_told() {
    for db in databases().await {
        let rig = Rig::impatient(db).await;
        let policy = rig.policy(|_| {}).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _peer)) = listener.accept().await {
                let _first = stream.read_u8().await;
                stream.write_all(b"500 unknown command\r\n").await.ok();
            }
        });
        let destination = rig.replication.policy(policy).await.unwrap();
        rig.change_registry(destination.spec.destination, |row| row.url = url)
            .await;
        push_image(&rig.local, "a/b", "v1", &["one"]).await;
        rig.work();
        rig.happen(&push("a/b", "v1")).await;
        let said = text(&rig, policy).await;
        assert!(said.contains("invalid HTTP version"), "{said}");
        let execution = rig.all_executions().await[0].id;
        rig.replication.stop_execution(execution).await.unwrap();
        assert!(rig.finished(execution).await.ended.is_some());
    }
}

fn with_credential(new: NewRegistry) -> NewRegistry {
    NewRegistry {
        credential: NewCredential {
            kind: "basic".to_owned(),
            access_key: "robot".to_owned(),
            access_secret: Secret::new("hunter2"),
        },
        ..new
    }
}

/// A policy to the rig's remote registry, which is signed in to.
async fn policy_with_credential(rig: &Rig) -> PolicyId {
    let new = with_credential(rig.new_registry());
    let spec = crate::replication::PolicySpec {
        destination: rig.replication.create_registry(new).await.unwrap(),
        ..crate::replication::policy::tests::spec()
    };
    rig.replication.create_policy(&spec).await.unwrap()
}

/// Begins an upload that goes on at this address.
fn leading_to(elsewhere: String) -> Reply {
    Reply::Work(Box::new(move |answer| {
        let location = answer.headers()[header::LOCATION].to_str().unwrap();
        let there = format!("{elsewhere}{location}").parse().unwrap();
        answer.headers_mut().insert(header::LOCATION, there);
    }))
}

#[tokio::test]
async fn an_upload_that_goes_on_at_another_host_takes_no_credentials_there() {
    for db in databases().await {
        let rig = Rig::impatient(db).await;
        let storage = rig.remote.elsewhere(CancellationToken::new()).await;
        let signed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&signed);
        storage.script(move |ask| {
            let has_credential = ask.headers.contains_key(header::AUTHORIZATION);
            count.fetch_add(usize::from(has_credential), Ordering::SeqCst);
            None
        });
        let elsewhere = storage.url.clone();
        rig.remote.script(move |ask| {
            if !ask.headers.contains_key(header::AUTHORIZATION) {
                let challenge = "Basic realm=\"r\"";
                let refusal = Reply::refusal(401, "UNAUTHORIZED", "sign in");
                return Some(refusal.and(header::WWW_AUTHENTICATE, challenge));
            }
            is_start(ask).then(|| leading_to(elsewhere.clone()))
        });
        let policy = policy_with_credential(&rig).await;
        let digest = push_image(&rig.local, "a/b", "v1", &["one", "two"]).await;
        rig.work();
        rig.happen(&push("a/b", "v1")).await;
        let (execution, _task, log) = ended(&rig, policy).await;
        assert_eq!(execution.status, Status::Succeed, "{log}");
        assert_eq!(rig.remote.digest("a/b", "v1").await, Some(digest));
        assert_eq!(storage.requests("PUT /v2/a/b/blobs/uploads/").len(), 3);
        assert_eq!(signed.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_token_that_runs_out_in_the_middle_of_a_copy_is_renewed_once() {
    for db in databases().await {
        let rig = Rig::impatient(db).await;
        let (issued, url) = (AtomicUsize::new(0), rig.remote.url.clone());
        rig.remote.script(move |ask| {
            if ask.path == "/token" {
                let number = issued.fetch_add(1, Ordering::SeqCst);
                let token = format!(r#"{{"token":"t{number}","expires_in":3600}}"#);
                return Some(Reply::status(200, &token));
            }
            let sent = ask.headers.get(header::AUTHORIZATION);
            let has_run_out = is_blob(ask) && ask.number == 0;
            (sent.is_none() || has_run_out).then(|| {
                let challenge = format!("Bearer realm=\"{url}/token\",service=\"s\"");
                Reply::refusal(401, "UNAUTHORIZED", "a token is needed")
                    .and(header::WWW_AUTHENTICATE, &challenge)
            })
        });
        let policy = policy_with_credential(&rig).await;
        let digest = push_image(&rig.local, "a/b", "v1", &["one", "two"]).await;
        rig.work();
        rig.happen(&push("a/b", "v1")).await;
        let (execution, _task, log) = ended(&rig, policy).await;
        assert_eq!(execution.status, Status::Succeed, "{log}");
        assert_eq!(rig.remote.digest("a/b", "v1").await, Some(digest));
        assert_eq!(log.matches("the token ran out").count(), 1, "{log}");
    }
}

#[tokio::test]
async fn a_silent_target_holds_up_no_other() {
    for db in databases().await {
        let rig = Rig::new(db).await;
        rig.policy(|_| {}).await;
        let other = rig.another_mirror().await;
        rig.remote
            .script(|ask| is_start(ask).then_some(Reply::Silence));
        rig.work();
        for tag in ["v1", "v2", "v3", "v4", "v5"] {
            let digest = push_image(&rig.local, "a/b", tag, &[tag]).await;
            rig.happen(&push("a/b", tag)).await;
            let there =
                async || (other.digest("a/b", tag).await == Some(digest.clone())).then_some(());
            let arrived = tokio::time::timeout(Duration::from_secs(20), eventually(there));
            arrived.await.expect("the silent one is not waited for");
        }
        rig.remote.mend();
        for execution in rig.settled().await {
            let log = rig.logs(execution.id).await;
            assert_eq!(execution.status, Status::Succeed, "{log}");
        }
    }
}
