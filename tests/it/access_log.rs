//! The access log as tools for nginx read it.

use std::process::Command;

use crate::{
    harness::{Distribution, Gateway, Options, PASSWORD, Succeeds, until},
    parity::nginx,
};

/// A line without what differs between two requests: the time.
fn without_time(line: &str) -> String {
    let (before, after) = line.split_once(" [").unwrap();
    let (_time, after) = after.split_once("] ").unwrap();
    format!("{before} [] {after}")
}

#[tokio::test]
async fn combined_lines_are_those_that_nginx_writes() {
    let registry = Distribution::start().await;
    let options = Options {
        upstream: Some(registry.url()),
        extra: "[telemetry]\naccess_log = \"combined\"\naccess_log_path = \"access.log\"\n".into(),
        ..Options::default()
    };
    let gateway = Gateway::with(options).await;
    let directory = tempfile::tempdir().unwrap();
    let (port, _nginx) = nginx(directory.path(), &registry, &gateway).await;
    let requests: [&[&str]; 6] = [
        &[],
        &["--http1.1", "--user-agent", "a \"b\" \\ \u{e9}"],
        &["--http2", "--referer", "https://example.com/?a=1&b=\""],
        &["--head"],
        &["--user-agent", ""],
        &["--http1.0", "--referer", "", "--user-agent", "a\tb"],
    ];
    for port in [port, gateway.port()] {
        for request in requests {
            Command::new("curl")
                .args(["--silent", "--fail", "--insecure"])
                .args(["--user", &format!("admin:{PASSWORD}")])
                .args(request)
                .arg(format!("https://localhost:{port}/v2/?mark=1&x=%22%20"))
                .output()
                .unwrap()
                .succeeds();
        }
    }
    let lines = async |path: std::path::PathBuf| {
        until("all lines are written", async || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines = text.lines().filter(|line| line.contains("mark=1"));
            let lines: Vec<_> = lines.map(without_time).collect();
            (lines.len() >= requests.len()).then_some(lines)
        })
        .await
    };
    let theirs = lines(directory.path().join("combined.log")).await;
    let ours = lines(gateway.directory().join("access.log")).await;
    assert_eq!(ours, theirs);
}

#[tokio::test]
async fn the_log_goes_on_in_a_new_file_when_it_is_rotated() {
    let options = Options {
        plain: true,
        extra: "[telemetry]\naccess_log_path = \"access.log\"\n".into(),
        ..Options::default()
    };
    let mut gateway = Gateway::with(options).await;
    let path = gateway.directory().join("access.log");
    let has = |mark: &str| {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.contains(mark)
    };
    for (number, signal) in ["USR1", "HUP"].into_iter().enumerate() {
        let mark = format!("/healthz?before={number}");
        gateway.http().get(&mark).await.expect(200);
        until("the line is written", async || has(&mark).then_some(())).await;
        std::fs::rename(&path, path.with_extension(number.to_string())).unwrap();
        gateway.process().signal(signal);
        until("there is a new file", async || path.exists().then_some(())).await;
        let mark = format!("/healthz?after={number}");
        gateway.http().get(&mark).await.expect(200);
        until("the line is written", async || has(&mark).then_some(())).await;
    }
    assert!(!has("before="), "the old file went on");
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_named_at_the_start() {
    let options = Options {
        extra: "[telemetry]\naccess_log_path = \"nowhere/access.log\"\n".into(),
        ..Options::default()
    };
    let directory = tempfile::tempdir().unwrap();
    let output = Gateway::command(directory.path(), &options)
        .await
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("access_log_path") && said.contains("nowhere/access.log"),
        "{said}"
    );
}
