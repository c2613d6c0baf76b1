//! A process is killed after every single step of pushing, deleting and collecting; what it leaves must be
//! whole. Built with the feature `failpoints` only.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use super::{
    Fixture,
    collecting::{collect, now},
    fixture::{files, image},
};
use crate::{
    embedded::Collection,
    oci::{Digest, Manifest, media_type},
};

/// Where the process to be killed keeps its registry.
const ROOT: &str = "TIDEGATE_TEST_CRASH_ROOT";
/// Several chunks.
const LARGE: &[u8] = &[7; 1_200_000];
const SIGKILL: i32 = 9;

#[tokio::test]
async fn a_kill_at_any_step_leaves_nothing_half_done() {
    let mut kills = 0;
    for point in [
        "embedded.chunk_written",
        "embedded.file_written",
        "embedded.file_renamed",
        "embedded.file_removed",
    ] {
        for count in 1.. {
            let folder = tempfile::tempdir().unwrap();
            let end = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "embedded::tests::crash::everything_is_done_once"])
                .env(ROOT, folder.path())
                .env("TIDEGATE_FAILPOINT", format!("{point}:{count}"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            if end.success() {
                assert!(count > 1, "{point} was never reached");
                break;
            }
            assert_eq!(end.signal(), Some(SIGKILL), "{point}:{count}");
            kills += 1;
            let fixture = Fixture::at(folder.path());
            check(&fixture).await;
            // What was begun can be done again, and to the end.
            do_everything(&fixture).await;
            check(&fixture).await;
        }
    }
    assert!(kills > 30, "{kills}");
}

/// The process that is killed; by itself it shows that all of it works.
#[tokio::test]
async fn everything_is_done_once() {
    let fixture = match std::env::var_os(ROOT) {
        Some(root) => Fixture::at(Path::new(&root)),
        None => Fixture::new(),
    };
    do_everything(&fixture).await;
    check(&fixture).await;
}

async fn do_everything(fixture: &Fixture) {
    let first = fixture.push_image("a/b", "v1", LARGE).await;
    let mount = format!(
        "POST /v2/a/c/blobs/uploads/?mount={}&from=a/b",
        Digest::sha256(LARGE)
    );
    fixture.ask(&mount).await.is(201);
    fixture.push_image("a/c", "v1", LARGE).await;
    let signed = format!(r#","subject":{{"digest":"{first}","size":1}}"#);
    let json = fixture.image("a/b", b"signature", &signed).await;
    let signature = Digest::sha256(json.as_bytes());
    let target = format!("{signature}?tag=signature&tag=other");
    fixture.put_manifest("a/b", &target, &json).await.is(201);
    fixture.push_image("a/b", "v1", b"second").await;
    for deleted in ["v1", "other", signature.as_str()] {
        let target = format!("DELETE /v2/a/b/manifests/{deleted}");
        fixture.ask(&target).await.is(202);
    }
    let layer = Digest::sha256(b"second");
    let target = format!("DELETE /v2/a/b/blobs/{layer}");
    fixture.ask(&target).await.is(202);
    fixture.push_blob("a/d", b"third").await;
    for quarantine in [Duration::from_hours(1), Duration::ZERO] {
        let collection = Collection {
            quarantine,
            ..now()
        };
        collect(fixture, collection).await;
    }
}

async fn check(fixture: &Fixture) {
    for data in files(&fixture.root().join("docker/registry/v2/blobs")) {
        let digest = Digest::sha256(&fs::read(&data).unwrap());
        let folder = data.parent().unwrap();
        assert_eq!(folder.file_name().unwrap(), digest.hex());
    }
    let catalog = fixture.ask("GET /v2/_catalog").await.is(200).json();
    for name in catalog["repositories"].as_array().unwrap() {
        let name = name.as_str().unwrap();
        let tags = fixture
            .ask(&format!("GET /v2/{name}/tags/list"))
            .await
            .json();
        for tag in tags["tags"].as_array().unwrap() {
            let reference = tag.as_str().unwrap();
            check_manifest(fixture, name, reference).await;
        }
        let subject = Digest::sha256(image(LARGE, "").as_bytes());
        let referrers = fixture
            .ask(&format!("GET /v2/{name}/referrers/{subject}"))
            .await;
        for referrer in referrers.json()["manifests"].as_array().unwrap() {
            check_manifest(fixture, name, referrer["digest"].as_str().unwrap()).await;
        }
    }
}

async fn check_manifest(fixture: &Fixture, name: &str, reference: &str) {
    let reply = fixture
        .ask(&format!("GET /v2/{name}/manifests/{reference}"))
        .await;
    let digest = Digest::sha256(&reply.is(200).body);
    assert_eq!(reply.header("docker-content-digest"), digest.as_str());
    let manifest = Manifest::parse(media_type::OCI_MANIFEST, &reply.body).unwrap();
    for blob in manifest.blobs {
        let target = format!("GET /v2/{name}/blobs/{}", blob.digest);
        let content = fixture.ask(&target).await;
        assert_eq!(Digest::sha256(&content.is(200).body), blob.digest);
    }
}
