//! Bad input is refused with a sentence, and nothing is lost or half done.

use bytes::Bytes;
use http::Method;
use tidegate::oci::{Digest, media_type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Distribution, Gateway, Http, Options, PASSWORD, free_port};

async fn gateway() -> Gateway {
    let gateway = Gateway::start().await;
    gateway.create_project("team").await;
    gateway
}

async fn pusher(gateway: &Gateway) -> Http {
    gateway
        .token(Some("admin"), &["repository:team/app:pull,push,delete"])
        .await
}

#[tokio::test]
async fn hostile_paths_are_refused_in_the_specs_json() {
    let gateway = gateway().await;
    let http = pusher(&gateway).await;
    for path in [
        "/v2/team%2Fapp/manifests/v1",
        "/v2/team/../team/app/manifests/v1",
        "/v2/team//app/manifests/v1",
        "/v2/team/app/manifests/%00",
        "/v2/TEAM/app/manifests/v1",
        "/v2/team/app/manifests/.bad",
        "/v2/team/app/blobs/md5:d41d8cd98f00b204e9800998ecf8427e",
        "/v2/team/app/tags/list?n=1&n=2",
        "/v2/_catalog?n=many",
    ] {
        let answer = http.get(path).await;
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
        assert!(
            answer.json()["errors"][0]["message"].is_string(),
            "{path}: {}",
            answer.text()
        );
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
    }
}

#[tokio::test]
async fn manifests_are_checked_before_anything_is_stored() {
    let gateway = gateway().await;
    let http = pusher(&gateway).await;
    let oci = [("content-type", media_type::OCI_MANIFEST)];
    let put = async |reference: &str, body: Bytes| {
        http.send(
            Method::PUT,
            &format!("/v2/team/app/manifests/{reference}"),
            &oci,
            body,
        )
        .await
    };
    put("v1", vec![b' '; 4 * 1024 * 1024 + 1].into())
        .await
        .expect(413);
    let other = Digest::sha256(b"something else");
    let answer = put(other.as_str(), Bytes::from_static(b"{}"))
        .await
        .expect(400);
    assert_eq!(answer.json()["errors"][0]["code"], "DIGEST_INVALID");
    let missing = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "layers": [],
        "config": { "mediaType": media_type::OCI_CONFIG, "digest": other.as_str(), "size": 14 },
    });
    let answer = put("v1", missing.to_string().into()).await.expect(400);
    assert_eq!(answer.json()["errors"][0]["code"], "MANIFEST_BLOB_UNKNOWN");
    http.get("/v2/team/app/manifests/v1").await.expect(404);
}

#[tokio::test]
async fn over_http_2_a_refused_upload_is_told_why() {
    let gateway = gateway().await;
    let manifest = gateway.directory().join("manifest");
    std::fs::write(&manifest, vec![b' '; 4_200_000]).unwrap();
    for (path, status) in [
        ("/v2/team/app/manifests/v1", "413"),
        ("/v2/other/app/manifests/v1", "403"),
    ] {
        let mut curl = std::process::Command::new("curl");
        curl.args([
            "-sS",
            "--http2",
            "-X",
            "PUT",
            "-w",
            " %{http_version} %{http_code}",
            "--cacert",
        ]);
        curl.arg(gateway.ca())
            .args(["-u", &format!("admin:{PASSWORD}")]);
        curl.args([
            "-H",
            "content-type: application/vnd.oci.image.manifest.v1+json",
            "--data-binary",
        ]);
        curl.arg(format!("@{}", manifest.display()))
            .arg(format!("{}{path}", gateway.url()));
        let output = curl.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.ends_with(&format!(" 2 {status}")),
            "{path}: {said}{errors}"
        );
    }
}

#[tokio::test]
async fn a_mount_hidden_in_the_body_gives_no_foreign_blob() {
    let registry = Distribution::start().await;
    let gateway = Gateway::with(Options {
        upstream: Some(registry.url()),
        ..Options::default()
    })
    .await;
    gateway.create_project("team").await;
    gateway.create_project("secret").await;
    let owner = gateway
        .token(Some("admin"), &["repository:secret/app:pull,push"])
        .await;
    let content = Bytes::from_static(b"nobody else may read this");
    let digest = Digest::sha256(&content);
    let start = owner
        .send(
            Method::POST,
            "/v2/secret/app/blobs/uploads/",
            &[],
            Bytes::new(),
        )
        .await
        .expect(202);
    let location = start.header("location");
    let join = if location.contains('?') { '&' } else { '?' };
    let stream = [("content-type", "application/octet-stream")];
    owner
        .send(
            Method::PUT,
            &format!("{location}{join}digest={digest}"),
            &stream,
            content,
        )
        .await
        .expect(201);

    gateway.create_member("team", "eve", 2).await;
    let eve = gateway
        .token(Some("eve"), &["repository:team/app:pull,push"])
        .await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = Bytes::from(format!("mount={digest}&from=secret/app"));
    eve.send(Method::POST, "/v2/team/app/blobs/uploads/", &form, body)
        .await;
    let query = format!("/v2/team/app/blobs/uploads/?mount={digest}&from=secret/app");
    eve.send(Method::POST, &query, &[], Bytes::new())
        .await
        .expect(202);
    eve.get(&format!("/v2/team/app/blobs/{digest}"))
        .await
        .expect(404);
}

#[tokio::test]
async fn smuggled_and_foreign_requests_are_refused() {
    let extra = "[tls]\nmode = \"off\"\n".to_owned();
    let directory = tempfile::tempdir().unwrap();
    let command = Gateway::command(
        directory.path(),
        &Options {
            extra,
            ..Options::default()
        },
    )
    .await;
    let config = std::fs::read_to_string(directory.path().join("tidegate.toml")).unwrap();
    let address = config.split('"').nth(1).unwrap().to_owned();
    let _process = crate::harness::Process::start(command, &directory.path().join("output.log"));
    crate::harness::until("it listens", async || {
        TcpStream::connect(&address).await.ok()
    })
    .await;
    for request in [
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "GET /v2/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "GET http://evil.example/v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v2/\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream
            .write_all(
                request
                    .replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
                    .as_bytes(),
            )
            .await
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 400"), "{request}\n{answer}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_away_is_a_503_or_502_with_json_and_retry_after() {
    let upstream = Some(format!("http://127.0.0.1:{}", free_port()));
    let gateway = Gateway::with_upstream_away(Options {
        upstream,
        ..Options::default()
    })
    .await;
    gateway.create_project("team").await;
    let http = pusher(&gateway).await;
    let answer = http.get("/v2/team/app/manifests/v1").await;
    assert!(
        matches!(answer.status.as_u16(), 502 | 503),
        "{}",
        answer.status
    );
    assert_eq!(answer.json()["errors"][0]["code"], "UNAVAILABLE");
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn failed_logins_are_limited_per_source_and_never_for_others() {
    let gateway = gateway().await;
    let wrong = gateway.http().basic("admin", "wrong");
    let mut statuses = Vec::new();
    for _attempt in 0..60 {
        statuses.push(wrong.get("/service/token").await.status.as_u16());
    }
    assert_eq!(statuses[0], 401);
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!(
        gateway
            .http()
            .basic("admin", PASSWORD)
            .get("/api/v2.0/health")
            .await
            .status
            .is_success()
    );
}
