//! Signals reach a gateway at work.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use super::load::{Load, REPOSITORIES, Upload, pull_whole};
use crate::harness::{Gateway, Line, Options, until};

#[tokio::test]
async fn a_hangup_under_load_fails_no_request_and_loses_no_line_of_the_log() {
    let mut gateway = Gateway::with(Options {
        extra: "[telemetry]\naccess_log_path = \"access.log\"\n".to_owned(),
        ..Options::default()
    })
    .await;
    let load = Load::on(&gateway).await;
    load.until_well().await;
    let at = |name: &str| gateway.directory().join(name);
    let log = at("access.log");
    let rotated: Vec<_> = (1..=5).map(|n| at(&format!("access.log.{n}"))).collect();
    for rotated in &rotated {
        std::fs::rename(&log, rotated).unwrap();
        gateway.process().signal("HUP");
        until("the log is begun anew", async || log.exists().then_some(())).await;
        load.until_well().await;
    }
    let book = load.stop().await;
    book.was_untroubled();
    gateway.process().signal("TERM");
    assert!(gateway.process().wait().await.success());
    let lines = |file: &PathBuf| std::fs::read_to_string(file).unwrap().lines().count();
    let requests: usize = rotated.iter().chain([&log]).map(lines).sum();
    let rounds: usize = book.done.values().sum();
    assert!(requests >= rounds, "{requests} lines of {rounds} rounds");
}

#[tokio::test]
async fn what_a_terminated_gateway_has_acknowledged_is_there_afterwards() {
    let mut gateway = Gateway::start().await;
    let load = Load::on(&gateway).await;
    load.until_well().await;
    let mut uploads = Vec::new();
    for _ in 0..8 {
        uploads.push(Upload::begin(&gateway).await.unwrap());
    }
    gateway.process().signal("TERM");
    until("no connection is taken any more", async || {
        Line::open(gateway.port(), &gateway.ca()).await.err()
    })
    .await;
    let mut stored = Vec::new();
    for mut upload in uploads {
        let heard = upload.end().await;
        assert!(heard.starts_with("HTTP/1.1 201"), "{heard}");
        stored.push(upload.path());
    }
    let ended = Instant::now();
    let status = gateway.process().wait().await;
    assert!(status.success(), "{}", gateway.process().output());
    assert!(
        ended.elapsed() < Duration::from_secs(15),
        "{:?}",
        ended.elapsed()
    );
    let book = load.stop().await;
    book.made_sense();

    gateway.restart().await;
    let scopes = REPOSITORIES.map(|name| format!("repository:{name}:pull"));
    let client = gateway
        .token(Some("busy"), &scopes.each_ref().map(String::as_str))
        .await;
    for push in &book.pushed {
        pull_whole(&client, push).await.unwrap();
    }
    for path in stored {
        client.get(&path).await.expect(200);
    }
}
