//! A mixed load with clients that go away, connections that break and restarts of the registry
//! behind; when all is quiet again, nothing of it is left.

use std::{
    convert::Infallible,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use tidegate::oci::Digest;
use tokio::net::TcpStream;

use super::{
    Mirrored, QUICK,
    load::{Load, REPOSITORIES, Upload},
};
use crate::harness::{Database, Distribution, Gateway, Ledger, Line, Options, Parcel, until};

#[tokio::test]
async fn a_soak_before_a_registry_leaves_nothing_behind() {
    let options = Options {
        database: Some(Database::Postgres),
        through: hashing_once(),
        extra: "[upstream.connections]\npool_idle_timeout_seconds = 1\n\
                [replication]\nunknown_after_seconds = 1\nunknown_for_seconds = 5\n"
            .to_owned(),
        ..Options::default()
    };
    let mut scene = Mirrored::with(options).await;
    soak(&scene.gateway, Some(&mut scene.source)).await;
}

#[tokio::test]
async fn a_soak_of_the_embedded_registry_leaves_nothing_behind() {
    let expiry = "[embedded]\nupload_expiry_seconds = 2\nsweep_interval_seconds = 1\n";
    let options = Options {
        through: hashing_once(),
        extra: format!("{QUICK}{expiry}"),
        ..Options::default()
    };
    soak(&Gateway::with(options).await, None).await;
}

/// The memory for hashing a password, 19 MiB, stays with the thread that has hashed. It would hide
/// what leaks, so each login is hashed in the first round and remembered from then on.
fn hashing_once() -> Vec<String> {
    let setting = "TIDEGATE_AUTH__LOGIN_CACHE_SECONDS=86400";
    ["env", setting].map(str::to_owned).to_vec()
}

/// The same again and again: what one round needs, the next must not need more of.
#[expect(clippy::print_stdout, reason = "the figures of this test")]
async fn soak(gateway: &Gateway, mut behind: Option<&mut Distribution>) {
    let seconds = std::env::var("TIDEGATE_SOAK_SECONDS").ok();
    let seconds = seconds.map_or(SECONDS, |seconds| seconds.parse().unwrap());
    let rounds = (seconds / ROUND_SECONDS).max(3);
    let mut levels: Vec<Level> = Vec::new();
    for round in 0..rounds {
        let load = match round {
            0 => Load::on(gateway).await,
            _ => Load::again_on(gateway).await,
        };
        load.until_well().await;
        let blob = large_blob(gateway).await;
        tokio::select! {
            never = misbehave(gateway, &blob) => match never {},
            () = disturb(behind.as_deref_mut()) => {}
        }
        let book = load.stop().await;
        book.was_clear();
        until_at_rest(gateway).await;
        let level = match levels.first() {
            None => Level::lowest(gateway).await,
            Some(first) => first.until_reached(gateway).await,
        };
        println!("round {round}: {:?}, {level}", book.done);
        levels.push(level);
    }
    // What is kept and pooled has filled by the middle.
    let (middle, last) = (&levels[levels.len() / 2], &levels[levels.len() - 1]);
    let growth = last.resident_kib.saturating_sub(middle.resident_kib);
    assert!(growth < GROWTH_KIB, "memory grew by {growth} KiB");
}

/// Half of the round, a restart of what is behind, and the other half.
async fn disturb(behind: Option<&mut Distribution>) {
    let half = Duration::from_secs(ROUND_SECONDS) / 2;
    tokio::time::sleep(half).await;
    if let Some(behind) = behind {
        behind.die();
        tokio::time::sleep(half / 10).await;
        behind.come_back().await;
    }
    tokio::time::sleep(half).await;
}

/// Clients that go away when they like, until nobody asks any more.
async fn misbehave(gateway: &Gateway, blob: &str) -> Infallible {
    let admin = gateway.admin();
    let get = format!(
        "GET {blob} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n\r\n",
        admin.authorization().unwrap()
    );
    loop {
        // While the registry behind is away no upload begins.
        if let Ok(upload) = Upload::begin(gateway).await {
            upload.break_off();
        }
        let mut download = Line::to(gateway).await;
        download.say(get.as_bytes()).await;
        download.hear().await;
        download.reset();
        let silent = TcpStream::connect(("127.0.0.1", gateway.port())).await;
        silent.unwrap().set_zero_linger().unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The path of more than the buffers on the way to a client take.
async fn large_blob(gateway: &Gateway) -> String {
    let content = "large".repeat(LARGE_BYTES / 5);
    let put = Parcel::put_blob(&gateway.admin(), REPOSITORIES[0], &content).await;
    put.unwrap().expect(201);
    let digest = Digest::sha256(content.as_bytes());
    format!("/v2/{}/blobs/{digest}", REPOSITORIES[0])
}

/// Waits until no work is left, and nothing that was for work under way.
async fn until_at_rest(gateway: &Gateway) {
    let ledger = Ledger::of(gateway);
    let begun = Instant::now();
    loop {
        let mut left = temporary_files(gateway);
        left.push(ledger.unfinished().await);
        for table in PASSING {
            let rows = ledger.count(&format!("select count(*) from {table}")).await;
            left.push(if rows > 0 {
                format!("{rows} {table}")
            } else {
                String::new()
            });
        }
        left.retain(|what| !what.is_empty());
        if left.is_empty() {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_mins(1),
            "left behind: {left:?}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What lies in folders for things under way.
fn temporary_files(gateway: &Gateway) -> Vec<String> {
    let data = gateway.directory().join("data");
    let folders = FOLDERS.iter().map(|folder| data.join(folder));
    folders.flat_map(|folder| names_in(&folder)).collect()
}

fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.map(|path| path.display().to_string()).collect()
}

/// What a gateway holds when nobody asks for anything.
#[derive(Debug)]
struct Level {
    files: Vec<String>,
    threads: usize,
    tasks: usize,
    resident_kib: u64,
}

impl Level {
    async fn of(gateway: &Gateway) -> Self {
        let page = gateway.http().get("/metrics").await.expect(200).text();
        let mut lines = page.lines();
        let tasks = lines.find_map(|line| line.strip_prefix("tidegate_telemetry_tasks "));
        let vitals = gateway.vitals();
        Self {
            files: vitals.open_files(),
            threads: vitals.threads(),
            tasks: tasks.unwrap().parse().unwrap(),
            resident_kib: vitals.resident_kib(),
        }
    }

    /// Waits until it sinks no more.
    async fn lowest(gateway: &Gateway) -> Self {
        let mut lowest = Self::of(gateway).await;
        let mut steady = Instant::now();
        until("the gateway holds nothing for nobody", async || {
            let now = Self::of(gateway).await;
            if now.figures() < lowest.figures() {
                lowest = now;
                steady = Instant::now();
            }
            (steady.elapsed() > STEADY).then_some(())
        })
        .await;
        lowest
    }

    /// Waits until no more is held than at this level, but for what comes and goes: connections to
    /// the database, threads for files, a chore at work.
    async fn until_reached(&self, gateway: &Gateway) -> Self {
        let begun = Instant::now();
        loop {
            let now = Self::of(gateway).await;
            let (files, tasks, threads) = now.figures();
            let first = self.figures();
            if files <= first.0 + 2 && tasks <= first.1 + 2 && threads <= first.2 + 2 {
                return now;
            }
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "{now:#?}\nat first: {self:#?}"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Open files, tasks and threads, which tell of leaks.
    fn figures(&self) -> (usize, usize, usize) {
        (self.files.len(), self.tasks, self.threads)
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (files, tasks, threads) = self.figures();
        let kib = self.resident_kib;
        write!(
            f,
            "{files} files, {tasks} tasks, {threads} threads, {kib} KiB"
        )
    }
}

/// The first round warms caches and pools.
const ROUND_SECONDS: u64 = 8;

/// Of all rounds together.
const SECONDS: u64 = 24;

/// More than threads live that have nothing to do.
const STEADY: Duration = Duration::from_secs(12);

/// An allocator keeps some pages more each time; what leaks with each request is more.
const GROWTH_KIB: u64 = 16 * 1024;

const LARGE_BYTES: usize = 8 * 1024 * 1024;

/// Tables whose rows end with the work that they are for.
const PASSING: [&str; 2] = ["replication_intents", "replication_uploads"];

/// Folders of `data_dir` for what is under way.
const FOLDERS: [&str; 3] = ["registry/uploads", "registry/tmp", "registry/quarantine"];
