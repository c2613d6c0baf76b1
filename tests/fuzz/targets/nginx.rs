//! nginx configurations: an import ends, and what it writes has keys of ours, with values of their
//! types.

#![no_main]

use std::{
    cell::RefCell,
    fs::File,
    io::{Seek, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use libfuzzer_sys::fuzz_target;
use tidegate::{config::Config, import::nginx};

fuzz_target!(|text: &[u8]| {
    if reads_other_files(text) {
        return;
    }
    let options = nginx::Options {
        // Nothing lies there.
        folder: Some(PathBuf::from("/nonexistent")),
        ..nginx::Options::default()
    };
    let imported = FILE.with_borrow_mut(|file| {
        file.rewind().expect("a file of our own");
        file.set_len(0).expect("a file of our own");
        file.write_all(text).expect("a file of our own");
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        nginx::import(Path::new(&path), &options)
    });
    let Ok(imported) = imported else {
        return;
    };
    for line in &imported.report {
        assert!(!line.to_string().contains('\n'), "{line}");
    }
    if let Err(error) = Config::parse(Path::new("tidegate.toml"), &imported.toml) {
        // A value may be one that nobody could use, such as a name that no host has.
        let text = error.to_string();
        let is_value = MALFORMED.iter().all(|what| !text.contains(what));
        assert!(is_value, "{text} of {}", imported.toml);
    }
});

/// Whether an `include` could reach a file of this machine, however it is quoted.
fn reads_other_files(text: &[u8]) -> bool {
    let unquoted: String = String::from_utf8_lossy(text)
        .chars()
        .filter(|c| !matches!(c, '"' | '\'' | '\\'))
        .collect();
    let mut includes = unquoted.split("include").skip(1);
    includes.any(|rest| {
        rest.split(';')
            .next()
            .is_some_and(|path| path.contains('/'))
    })
}

/// In what is said of a file that is no configuration at all.
const MALFORMED: [&str; 3] = ["TOML parse error", "unknown field", "invalid type"];

thread_local! {
    /// In memory, and without a name.
    static FILE: RefCell<File> =
        RefCell::new(tempfile::tempfile_in("/dev/shm").expect("there is memory"));
}
