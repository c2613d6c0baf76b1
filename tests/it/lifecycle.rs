//! Starting, stopping, and what stands in the way of either.

use std::process::Command;

use bytes::Bytes;
use http::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Database, Gateway, Options, free_port};

#[tokio::test]
async fn a_second_start_keeps_users_projects_and_the_ca() {
    for database in Database::BOTH {
        let mut gateway = Gateway::with(Options {
            database: Some(database),
            ..Options::default()
        })
        .await;
        gateway.create_project("team").await;
        let ca = std::fs::read(gateway.ca()).unwrap();
        gateway.kill_and_restart().await;
        gateway
            .admin()
            .get("/api/v2.0/projects/team")
            .await
            .expect(200);
        assert_eq!(std::fs::read(gateway.ca()).unwrap(), ca);
    }
}

#[tokio::test]
async fn a_term_signal_lets_an_upload_finish() {
    let plain = Options {
        extra: "[tls]\nmode = \"off\"\n".into(),
        ..Options::default()
    };
    let directory = tempfile::tempdir().unwrap();
    let command = Gateway::command(directory.path(), &plain).await;
    let config = std::fs::read_to_string(directory.path().join("tidegate.toml")).unwrap();
    let address = config.split('"').nth(1).unwrap().to_owned();
    let mut process = crate::harness::Process::start(command, &directory.path().join("output.log"));
    let http = crate::harness::Http::plain(&format!("http://{address}"));
    crate::harness::until("the gateway is ready", async || {
        let answer = http
            .try_send(Method::GET, "/readyz", &[], Bytes::new())
            .await
            .ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
    let admin = http.basic("admin", crate::harness::PASSWORD);
    let project = serde_json::json!({ "project_name": "team" });
    admin.post("/api/v2.0/projects", &project).await.expect(201);
    let token = admin
        .get("/service/token?scope=repository:team/app:pull,push")
        .await
        .expect(200)
        .json();
    let token = token["token"].as_str().unwrap().to_owned();
    let start = http
        .bearer(&token)
        .send(
            Method::POST,
            "/v2/team/app/blobs/uploads/",
            &[],
            Bytes::new(),
        )
        .await;
    let location = start.expect(202).header("location").to_owned();

    let mut upload = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/octet-stream\r\nContent-Length: 10\r\n\r\n01234"
    );
    upload.write_all(head.as_bytes()).await.unwrap();
    process.signal("TERM");
    crate::harness::until("the listener is closed", async || {
        TcpStream::connect(&address).await.is_err().then_some(())
    })
    .await;
    upload.write_all(b"56789").await.unwrap();
    let mut answer = Vec::new();
    upload.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert!(process.wait().await.success(), "{}", process.output());
}

/// Runs `tidegate serve` to its end and returns what it said; it must fail.
fn refusal(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "it started");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn unknown_configuration_keys_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options {
        extra: "[jobs]\nwrokers = 3\n".into(),
        ..Options::default()
    };
    let said = refusal(&mut Gateway::command(directory.path(), &options).await);
    assert!(said.contains("tidegate.toml"), "{said}");
}

#[tokio::test]
async fn an_unwritable_data_directory_is_a_clear_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Gateway::command(directory.path(), &Options::default()).await;
    std::fs::write(directory.path().join("data"), "a file, not a directory").unwrap();
    let said = refusal(&mut command);
    assert!(said.contains("data"), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
}

#[tokio::test]
async fn a_key_that_is_not_the_certificates_is_a_clear_sentence() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["localhost".into()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        std::fs::write(
            directory.path().join(format!("{name}.crt")),
            certificate.pem(),
        )
        .unwrap();
        std::fs::write(
            directory.path().join(format!("{name}.key")),
            key.serialize_pem(),
        )
        .unwrap();
    }
    let extra = "[tls]\ncert = \"one.crt\"\nkey = \"two.key\"\n".to_owned();
    let options = Options {
        extra,
        ..Options::default()
    };
    let said = refusal(&mut Gateway::command(directory.path(), &options).await);
    assert!(
        said.contains("one.crt") && said.contains("two.key"),
        "{said}"
    );
}

#[tokio::test]
async fn a_database_that_is_away_is_a_clear_sentence_without_its_password() {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let extra =
        format!("[database]\nurl = \"postgres://tidegate:hunter2@127.0.0.1:{port}/tidegate\"\n");
    let options = Options {
        extra,
        ..Options::default()
    };
    let said = refusal(&mut Gateway::command(directory.path(), &options).await);
    assert!(said.contains(&port.to_string()), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn check_names_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let away = format!("http://127.0.0.1:{}", free_port());
    let options = Options {
        upstream: Some(away.clone()),
        extra: "[telemetry]\naccess_log_path = \"no/such/folder/access.log\"".to_owned(),
        ..Options::default()
    };
    drop(Gateway::command(directory.path(), &options).await);
    let mut check = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    let output = check
        .current_dir(directory.path())
        .args(["check", "--config", "tidegate.toml"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for wrong in [&away, "cannot write no/such/folder/access.log"] {
        assert!(said.contains(wrong), "{said}");
    }
}
