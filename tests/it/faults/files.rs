//! The process may open no more files.

use std::time::Duration;

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
    async fn gather(gateway: &Gateway) -> Self {
        let vitals = gateway.vitals();
        let limit = vitals.open_files().len() + 24;
        vitals.allow_files(limit);
        let mut connections = Vec::new();
        for _ in 0..100 {
            let connection = TcpStream::connect(("127.0.0.1", gateway.port())).await;
            connections.push(connection.unwrap());
        }
        until("no descriptor is left", async || {
            (vitals.open_files().len() >= limit).then_some(())
        })
        .await;
        Self {
            _connections: connections,
        }
    }
}

async fn run_out_of_files(gateway: Gateway) {
    let load = Load::on(&gateway).await;
    load.until_well().await;
    load.turn_over().was_untroubled();
    let crowd = Crowd::gather(&gateway).await;
    // Those who are connected already are served.
    load.turn_over();
    load.until_done(Work::Login, 50).await;
    drop(crowd);
    load.until_well().await;
    load.stop().await.made_sense();

    let idle = gateway.http();
    idle.get("/healthz").await.expect(200);
    let crowd = Crowd::gather(&gateway).await;
    let vitals = gateway.vitals();
    let before = vitals.cpu_seconds();
    // The claim is about time that passes while nothing happens.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let used = vitals.cpu_seconds() - before;
    assert!(used < 0.5, "{used} s of processor time in 2 s of waiting");
    idle.get("/healthz").await.expect(200);
    drop(crowd);
    gateway.http().get("/readyz").await.expect(200);
}

/// Nobody is sent away for saying nothing while a test runs.
const PATIENT: &str = "handshake_timeout_seconds = 600";
