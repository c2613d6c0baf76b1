//! The rooms of `src/` use only rooms below their own line.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Bottom line first; rooms of one line do not know each other.
const LINES: &[&[&str]] = &[
    &[
        "backoff",
        "clock",
        "failpoint",
        "network",
        "oci",
        "rate",
        "secret",
        "wire",
    ],
    &["import", "telemetry"],
    &["store", "tls"],
    &["embedded", "jobs", "registry", "server", "settings"],
    &["audit"],
    &["auth"],
    &["inventory", "webhook"],
    &["gc", "quota", "replication", "retention"],
    &["api", "notification", "proxy", "token"],
    &["config"],
    &["app"],
    &["cli"],
];

#[test]
fn rooms_use_only_rooms_below_their_line() {
    let height: BTreeMap<&str, usize> = LINES
        .iter()
        .enumerate()
        .flat_map(|(height, line)| line.iter().map(move |room| (*room, height)))
        .collect();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut violations = Vec::new();
    for room in rooms(&source) {
        let Some(own) = height.get(room.as_str()) else {
            violations.push(format!(
                "`{room}` is on no line of this test and of ARCHITECTURE.md"
            ));
            continue;
        };
        for file in rust_files(&source.join(&room)) {
            for used in used_rooms(&fs::read_to_string(&file).unwrap()) {
                let allowed =
                    used == room || height.get(used.as_str()).is_some_and(|other| other < own);
                if !allowed && height.contains_key(used.as_str()) {
                    violations.push(format!("{}: `{room}` uses `{used}`", file.display()));
                }
            }
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn statements_stand_only_in_queries_and_the_store() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let offenders: Vec<PathBuf> = rust_files(&source)
        .into_iter()
        .filter(|file| !file.starts_with(source.join("store")))
        .filter(|file| {
            !file
                .components()
                .any(|part| part.as_os_str().to_string_lossy().starts_with("queries"))
        })
        .filter(|file| production(&fs::read_to_string(file).unwrap()).contains("sqlx::query"))
        .collect();
    assert!(offenders.is_empty(), "{offenders:#?}");
}

/// The texts between `before` and the next quotation mark, in all production code.
pub fn names_in_source(before: &str) -> Vec<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut names = Vec::new();
    for file in rust_files(&source) {
        let text = fs::read_to_string(&file).unwrap();
        let after = text.split(before).skip(1);
        names.extend(
            after
                .filter_map(|rest| rest.split('"').next())
                .map(str::to_owned),
        );
    }
    names
}

fn rooms(source: &Path) -> Vec<String> {
    let entries = fs::read_dir(source).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    folders
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

/// The `.rs` files below a folder, without those that hold only tests.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            if name != "tests" {
                files.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && name != "tests.rs"
            && name != "testing.rs"
        {
            files.push(path);
        }
    }
    files
}

/// The text above the unit tests, which may use any room, without comment lines.
fn production(text: &str) -> String {
    let above_tests = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    above_tests
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The first path segments after `crate::`, also within `use crate::{…}`.
fn used_rooms(text: &str) -> Vec<String> {
    let text = production(text);
    let mut used = Vec::new();
    for (position, _) in text.match_indices("crate::") {
        let rest = &text[position + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            used.extend(group_heads(group));
        } else {
            used.push(identifier(rest));
        }
    }
    used
}

/// The heads of a braced use list, at its outermost level.
fn group_heads(group: &str) -> Vec<String> {
    let (mut heads, mut depth, mut expects_head) = (Vec::new(), 0_i32, true);
    for (position, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expects_head = true,
            character if depth == 0 && expects_head && character.is_alphabetic() => {
                heads.push(identifier(&group[position..]));
                expects_head = false;
            }
            _ => {}
        }
    }
    heads
}

fn identifier(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

#[test]
fn what_is_recorded_is_listed() {
    let known = tidegate::audit::EVENT_TYPES;
    for thing in names_in_source("resource_type: \"") {
        let is_known = known.iter().any(|(_, listed)| *listed == thing);
        assert!(is_known, "audit::EVENT_TYPES has no {thing}");
    }
}

#[test]
fn use_lists_are_read_whole() {
    let text =
        "use crate::{\n    store::{Db, Tx},\n    oci::Digest, wire,\n};\nlet x = crate::auth::f();";
    assert_eq!(used_rooms(text), ["store", "oci", "wire", "auth"]);
}
