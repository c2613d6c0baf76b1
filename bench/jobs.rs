//! Measures the job engine on SQLite and PostgreSQL: `cargo bench --bench jobs`.
//!
//! PostgreSQL is measured where `TIDEGATE_TEST_POSTGRES_URL` names a server; a schema is made in
//! it and dropped. What is measured, and figures, stand in `bench/README.md`.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use futures_util::future::BoxFuture;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tidegate::{
    clock::SystemClock,
    jobs::{self, Failure, Handler, Jobs, NewJob, Runner, Running},
    store::{self, Db, Listing},
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const KIND: &str = "bench";
const MANY: usize = 100_000;
const BATCH: usize = 500;

/// A body that does nothing but tell when it began.
#[derive(Debug)]
struct Body {
    begun: AtomicUsize,
    starts: mpsc::UnboundedSender<Instant>,
}

impl Handler for Body {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn run<'a>(&'a self, _job: &'a Running) -> BoxFuture<'a, Result<(), Failure>> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let _ = self.starts.send(Instant::now());
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A runner at work.
struct Engine {
    jobs: Jobs,
    body: Arc<Body>,
    starts: mpsc::UnboundedReceiver<Instant>,
    shutdown: CancellationToken,
    runner: JoinHandle<()>,
}

impl Engine {
    fn start(db: &Db, workers: usize) -> Self {
        let jobs = queue(db, workers);
        let (sender, starts) = mpsc::unbounded_channel();
        let body = Arc::new(Body {
            begun: AtomicUsize::new(0),
            starts: sender,
        });
        let shutdown = CancellationToken::new();
        let handler: Arc<dyn Handler> = body.clone();
        let runner = Runner::new(jobs.clone(), [handler]);
        Self {
            jobs,
            body,
            starts,
            runner: tokio::spawn(runner.run(shutdown.clone())),
            shutdown,
        }
    }

    /// Returns when all that began is settled.
    async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        Ok(self.runner.await?)
    }
}

fn queue(db: &Db, workers: usize) -> Jobs {
    let config = jobs::Config {
        workers,
        ..jobs::Config::default()
    };
    Jobs::new(db.clone(), Arc::new(SystemClock), config)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `cargo test --benches` and `cargo bench` both come here; only the latter measures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    println!("| case | database | figure |\n| --- | --- | --- |");
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("jobs.db");
    let lite = Db::open(&store::Config::default(), &path).await?;
    measure("SQLite", &lite).await?;
    if let Ok(server) = std::env::var("TIDEGATE_TEST_POSTGRES_URL") {
        let mut connection = PgConnection::connect(&server).await?;
        let schema = format!("bench_{}", std::process::id());
        execute(&mut connection, format!("create schema {schema}")).await?;
        let separator = if server.contains('?') { '&' } else { '?' };
        let config = store::Config {
            url: Some(format!(
                "{server}{separator}options=-csearch_path%3D{schema}"
            )),
            ..store::Config::default()
        };
        let pg = Db::open(&config, &path).await?;
        let measured = measure("PostgreSQL", &pg).await;
        execute(&mut connection, format!("drop schema {schema} cascade")).await?;
        measured?;
    }
    Ok(())
}

async fn execute(connection: &mut PgConnection, statement: String) -> anyhow::Result<()> {
    sqlx::query(AssertSqlSafe(statement))
        .execute(connection)
        .await?;
    Ok(())
}

async fn measure(name: &str, db: &Db) -> anyhow::Result<()> {
    let row = |case: &str, figure: String| println!("| {case} | {name} | {figure} |");
    let rate = throughput(db).await?;
    row("insert to done, no-op body", format!("{rate:.0} jobs/s"));
    row("enqueue to start, idle", quantiles(latency(db).await?));
    let before = resident_bytes()?;
    enqueue(db, &queue(db, 1), "waiting", MANY).await?;
    let grown = resident_bytes()?.saturating_sub(before);
    row(
        "memory for 100,000 queued",
        format!("{:.1} MiB", mib(grown)),
    );
    row(
        "list of 25, 100,000 queued",
        quantiles(listing(&queue(db, 1)).await?),
    );
    row(
        "settle, claim, start, 100,000 queued",
        quantiles(turns(db).await?),
    );
    Ok(())
}

/// No-op jobs a second, from the first insert to the last settled.
async fn throughput(db: &Db) -> anyhow::Result<f64> {
    let jobs = 50_000;
    let engine = Engine::start(db, 512);
    let began = Instant::now();
    enqueue(db, &engine.jobs, "rate", jobs).await?;
    while engine.body.begun.load(Ordering::Relaxed) < jobs {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    engine.stop().await?;
    #[expect(clippy::cast_precision_loss, reason = "a count of some thousands")]
    let jobs = jobs as f64;
    Ok(jobs / began.elapsed().as_secs_f64())
}

/// From before the insert to the start of the body, one job at a time.
async fn latency(db: &Db) -> anyhow::Result<Vec<Duration>> {
    let mut engine = Engine::start(db, 3);
    let mut samples = Vec::new();
    for n in 0..1000 {
        let began = Instant::now();
        enqueue(db, &engine.jobs, &format!("latency {n}"), 1).await?;
        let start = engine.starts.recv().await.context("the runner is gone")?;
        samples.push(start.duration_since(began));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    engine.stop().await?;
    Ok(samples)
}

/// What the first page of the API's list of jobs asks the database.
async fn listing(jobs: &Jobs) -> anyhow::Result<Vec<Duration>> {
    let first = Listing {
        limit: Some(25),
        ..Listing::default()
    };
    let mut samples = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        jobs.page(None, &first).await?;
        samples.push(began.elapsed());
    }
    Ok(samples)
}

/// From the start of one body to that of the next, with one worker.
async fn turns(db: &Db) -> anyhow::Result<Vec<Duration>> {
    let mut engine = Engine::start(db, 1);
    let mut starts = Vec::new();
    while starts.len() < 1000 {
        starts.push(engine.starts.recv().await.context("the runner is gone")?);
    }
    engine.stop().await?;
    let pairs = starts.windows(2);
    Ok(pairs.map(|pair| pair[1].duration_since(pair[0])).collect())
}

async fn enqueue(db: &Db, jobs: &Jobs, key: &str, count: usize) -> anyhow::Result<()> {
    let numbers: Vec<usize> = (0..count).collect();
    for batch in numbers.chunks(BATCH) {
        let wishes: Vec<NewJob> = batch
            .iter()
            .map(|n| {
                NewJob::new(KIND, format!("{key} {n}"), serde_json::json!({ "n": n }))
                    .for_target(format!("registry/{}", n % 10))
                    .in_project(format!("project {}", n % 7))
            })
            .collect();
        let mut tx = db.begin().await?;
        jobs.enqueue_all(&mut tx, &wishes).await?;
        tx.commit().await?;
        jobs.wake();
    }
    Ok(())
}

fn quantiles(mut samples: Vec<Duration>) -> String {
    samples.sort();
    let at = |percent: usize| {
        let sample = samples.get(samples.len() * percent / 100);
        sample.copied().unwrap_or_default().as_secs_f64() * 1000.0
    };
    format!("p50 {:.2} ms, p99 {:.2} ms", at(50), at(99))
}

fn resident_bytes() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .context("/proc/self/status has no VmRSS")?
        .trim()
        .parse()?;
    Ok(kib * 1024)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
