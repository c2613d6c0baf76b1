//! The process may open no more files.

use std::{fs, process::Command, time::Duration};

use tokio::net::TcpStream;

use super::{book::Work, load::Load};
use crate::harness::{Distribution, Gateway, Options, until};

#[tokio::test]
async fn without_file_descriptors_the_embedded_registry_waits_for_some() {
    let options = Options {
        server: PATIENT.to_owned(),
        ..Options::default()
    };
    run_out_of_files(Gateway::with(options).await).await;
}

#[tokio::test]
async fn without_file_descriptors_a_gateway_waits_for_some() {
    let registry = Distribution::start().await;
    let options = Options {
        upstream: Some(registry.url()),
        server: PATIENT.to_owned(),
        ..Options::default()
    };
    run_out_of_files(Gateway::with(options).await).await;
}

/// A crowd that says nothing takes every descriptor that is left.
struct Crowd {
    _connections: Vec<TcpStream>,
}

impl Crowd {
    async fn gather(gateway: &mut Gateway) -> Self {
        let process = gateway.process().id();
        let limit = open_files(process) + 4;
        allow(process, limit);
        let mut connections = Vec::new();
        for _ in 0..100 {
            let connection = TcpStream::connect(("127.0.0.1", gateway.port())).await;
            connections.push(connection.unwrap());
        }
        until("no descriptor is left", async || {
            (open_files(process) >= limit).then_some(())
        })
        .await;
        Self {
            _connections: connections,
        }
    }
}

async fn run_out_of_files(mut gateway: Gateway) {
    let load = Load::on(&gateway).await;
    load.until_well().await;
    load.turn_over().was_untroubled();
    let crowd = Crowd::gather(&mut gateway).await;
    // Those who are connected already are served.
    load.turn_over();
    load.until_done(Work::Login, 50).await;
    drop(crowd);
    load.until_well().await;
    load.stop().await.made_sense();

    let idle = gateway.http();
    idle.get("/healthz").await.expect(200);
    let crowd = Crowd::gather(&mut gateway).await;
    let process = gateway.process().id();
    let before = cpu_seconds(process);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let used = cpu_seconds(process) - before;
    assert!(used < 0.5, "{used} s of processor time in 2 s of waiting");
    idle.get("/healthz").await.expect(200);
    drop(crowd);
    gateway.http().get("/readyz").await.expect(200);
}

fn open_files(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

fn allow(process: u32, files: usize) {
    let mut limit = Command::new("prlimit");
    limit.args([
        "--pid",
        &process.to_string(),
        &format!("--nofile={files}:1024"),
    ]);
    let output = limit.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// User and system time, as proc(5) has them: in hundredths of a second.
fn cpu_seconds(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields = fields.split_whitespace().skip(11).take(2);
    fields
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum::<f64>()
        / 100.0
}

/// Nobody is sent away for saying nothing while a test runs.
const PATIENT: &str = "handshake_timeout_seconds = 600";
