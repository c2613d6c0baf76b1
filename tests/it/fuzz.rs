//! Whatever is asked of the API, it has an answer: a fuzzer goes by the served document.

use crate::harness::{
    Database, Distribution, Gateway, Image, Options, PASSWORD, Python, Skopeo, Succeeds,
};

#[tokio::test]
async fn a_fuzzer_finds_no_fault_on_sqlite() {
    fuzz(Database::Sqlite, Run::administrator(45)).await;
}

#[tokio::test]
async fn a_fuzzer_finds_no_fault_on_postgresql() {
    fuzz(Database::Postgres, Run::administrator(25)).await;
}

#[tokio::test]
async fn a_fuzzer_that_is_nobody_finds_no_fault() {
    fuzz(Database::Sqlite, Run::anonymous(15)).await;
}

/// Who asks, for how long, and how many operations must have succeeded once.
struct Run {
    who: String,
    seconds: u32,
    reached: u32,
}

impl Run {
    fn administrator(seconds: u32) -> Self {
        Self {
            who: format!("admin:{PASSWORD}"),
            seconds,
            reached: 40,
        }
    }

    fn anonymous(seconds: u32) -> Self {
        Self {
            who: String::new(),
            seconds,
            reached: 6,
        }
    }
}

#[expect(clippy::print_stdout, reason = "how far it reached is worth reading")]
async fn fuzz(database: Database, run: Run) {
    let gateway = Gateway::with(Options {
        database: Some(database),
        ..Options::default()
    })
    .await;
    let target = Distribution::start().await;
    gateway.create_project("held").await;
    let image = Image::new(&[b"a layer"]);
    let name = format!("{}/held/app:v1", gateway.host());
    Skopeo::at(&gateway, "admin").push(&image, &name).succeeds();
    let fuzzed = Python::command("tests/harbor/fuzz.py")
        .args([run.seconds.to_string(), run.reached.to_string()])
        .env("GATEWAY_URL", gateway.url())
        .env("GATEWAY_CA", gateway.ca())
        .env("ADMIN_PASSWORD", PASSWORD)
        .env("TARGET_URL", target.url())
        .env("FUZZ_AS", &run.who)
        .output()
        .unwrap();
    println!("{}", fuzzed.succeeds());
    gateway.http().get("/readyz").await.expect(200);
}
