//! The clock jumps, as when it is set right after it was wrong for long.

use std::{fs, path::PathBuf, time::Duration};

use tidegate::clock::{Clock, SystemClock, Timestamp};

use super::{
    Mirrored, SOON,
    book::Work,
    load::{Load, time_until_well},
};
use crate::harness::{Options, until};

/// What a gateway takes for the time of day, by Debian's libfaketime; time still passes as it does.
struct Watch {
    library: PathBuf,
    file: PathBuf,
}

impl Watch {
    fn new(folder: &std::path::Path) -> Self {
        let mut libraries = fs::read_dir("/usr/lib").unwrap().filter_map(|entry| {
            let library = entry.ok()?.path().join("faketime/libfaketimeMT.so.1");
            library.exists().then_some(library)
        });
        let watch = Self {
            library: libraries.next().expect("the package faketime is installed"),
            file: folder.join("offset"),
        };
        watch.set(0);
        watch
    }

    /// Seconds from the real time.
    fn set(&self, offset: i64) {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{offset:+}\n")).unwrap();
        fs::rename(new, &self.file).unwrap();
    }

    /// Starts a program that reads this watch.
    fn launcher(&self) -> Vec<String> {
        let library = format!("LD_PRELOAD={}", self.library.display());
        let file = format!("FAKETIME_TIMESTAMP_FILE={}", self.file.display());
        let others = [
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "FAKETIME_CACHE_DURATION=1",
            "NO_FAKE_STAT=1",
        ];
        let settings = [library, file].into_iter().chain(others.map(str::to_owned));
        std::iter::once("env".to_owned()).chain(settings).collect()
    }
}

#[tokio::test]
async fn a_clock_that_jumps_keeps_nobody_out_and_no_job_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let watch = Watch::new(directory.path());
    let options = Options {
        through: watch.launcher(),
        ..Options::default()
    };
    let mut scene = Mirrored::with(options).await;
    let load = Load::on(&scene.gateway).await;
    load.until_well().await;
    let mut book = load.turn_over();
    book.was_untroubled();
    // Whoever fails to log in must wait for a moment, not until the clock comes there again.
    let guesser = scene.gateway.http().basic("busy", "Wrong12345");
    guesser.get("/service/token").await.expect(401);
    // What is pushed now waits for its mirror.
    scene.mirror.die();
    load.until_done(Work::Push, 5).await;

    for offset in [2 * HOUR, -24 * HOUR, 0] {
        watch.set(offset);
        until("the gateway has seen it", async || {
            let token = scene.gateway.admin().get("/service/token").await;
            let issued = token.json()["issued_at"].as_str().map(Timestamp::parse)?;
            let ahead_ms = issued?.millis() - SystemClock.now().millis();
            ((ahead_ms / 1000 - offset).abs() < 60).then_some(())
        })
        .await;
        let waited = time_until_well(&load).await;
        assert!(waited < SOON, "{offset}: {waited:?}");
        if offset < 0 {
            scene.mirror.come_back().await;
            load.until_done(Work::Push, 5).await;
            book.pushed.extend(load.turn_over().pushed);
            scene.has_all_of(&book).await;
        }
    }
    let page = load.stop().await;
    page.was_untroubled();
    book.pushed.extend(page.pushed);
    scene.has_done_all_of(&book).await;
    let vitals = scene.gateway.vitals();
    let before = vitals.cpu_seconds();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let used = vitals.cpu_seconds() - before;
    assert!(used < 0.5, "{used} s of processor time in 2 s of rest");
}

const HOUR: i64 = 60 * 60;
