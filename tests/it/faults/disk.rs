//! The disk is full for a while.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    QUICK, SOON,
    book::{Book, Work},
    load::{Load, pull_whole, time_until_well},
};
use crate::harness::{Distribution, Gateway, Ledger, Options};

/// A small file system of its own, which ends with the value.
struct Volume(PathBuf);

impl Volume {
    /// `None`, said why, where mounting is not allowed.
    #[expect(clippy::print_stdout, reason = "why a test shows nothing")]
    fn at(place: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&place).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]);
        let mounted = mount.arg(&place).output().unwrap();
        if mounted.status.success() {
            return Some(Self(place));
        }
        let said = String::from_utf8_lossy(&mounted.stderr);
        println!("skipped, for a disk to fill cannot be mounted: {said}");
        None
    }

    fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        let zeros = vec![0; 64 * 1024];
        while filler.write_all(&zeros).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: the gateway may still have files open on it.
        drop(Command::new("umount").arg("-l").arg(&self.0).output());
    }
}

/// Fills the volume under load and frees it again. Pulls must go on meanwhile.
async fn fill_and_free(volume: &Volume, load: &Load) -> Book {
    load.until_well().await;
    let mut book = load.turn_over();
    book.was_untroubled();
    volume.fill();
    load.until_troubled(10).await;
    load.until_done(Work::Pull, 10).await;
    volume.free();
    let waited = time_until_well(load).await;
    assert!(waited < SOON, "{waited:?}");
    let page = load.turn_over();
    page.was_clear();
    assert!(page.troubles_of(Work::Pull).is_empty(), "{page:#?}");
    assert!(!page.troubles_of(Work::Push).is_empty(), "{page:#?}");
    book.pushed.extend(page.pushed);
    book
}

#[tokio::test]
async fn a_full_disk_under_everything_is_told_and_recovered_from() {
    let directory = tempfile::tempdir().unwrap();
    let Some(volume) = Volume::at(directory.path().join("data")) else {
        return;
    };
    let mut gateway = Gateway::within(directory, Options::default()).await;
    let load = Load::on(&gateway).await;
    let mut book = fill_and_free(&volume, &load).await;
    let page = load.stop().await;
    page.was_untroubled();
    book.pushed.extend(page.pushed);

    let temporary = gateway.directory().join("data/registry/tmp");
    assert_eq!(files_in(&temporary), Vec::<String>::new());
    assert_sound(&gateway).await;
    gateway.kill_and_restart().await;
    let scopes = super::load::REPOSITORIES.map(|name| format!("repository:{name}:pull"));
    let client = gateway
        .token(Some("busy"), &scopes.each_ref().map(String::as_str))
        .await;
    for push in &book.pushed {
        pull_whole(&client, push).await.unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_under_sqlite_loses_no_push_and_breaks_no_database() {
    let directory = tempfile::tempdir().unwrap();
    let Some(volume) = Volume::at(directory.path().join("ledger")) else {
        return;
    };
    let (source, mirror) = tokio::join!(Distribution::start(), Distribution::start());
    let database = "[database]\nurl = \"sqlite://ledger/tidegate.db\"\n";
    let options = Options {
        upstream: Some(source.url()),
        extra: format!("{QUICK}{database}[replication]\nmode = \"required\"\n"),
        ..Options::default()
    };
    let gateway = Gateway::within(directory, options).await;
    gateway.mirror_to(&mirror.url()).await;
    let load = Load::on(&gateway).await;
    let mut book = fill_and_free(&volume, &load).await;
    book.pushed.extend(load.stop().await.pushed);
    let scene = super::Mirrored {
        gateway,
        source,
        mirror,
    };
    scene.has_done_all_of(&book).await;
    assert_sound(&scene.gateway).await;
}

async fn assert_sound(gateway: &Gateway) {
    const DAMAGE: &str =
        "select count(*) from pragma_integrity_check where integrity_check <> 'ok'";
    assert_eq!(Ledger::of(gateway).count(DAMAGE).await, 0);
}

fn files_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}
