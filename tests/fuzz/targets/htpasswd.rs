//! htpasswd files: every line is a user, says why not, or is none.

#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use tidegate::import::htpasswd;

fuzz_target!(|file: &[u8]| {
    let read = htpasswd::parse(file);
    let count = file.split(|byte| *byte == b'\n').count();
    let lines = read.iter().map(|one| match one {
        Ok(entry) => entry.line,
        Err(problem) => problem.line,
    });
    assert!(lines.clone().is_sorted_by(|a, b| a < b));
    assert!(lines.clone().all(|line| (1..=count).contains(&line)));
    let mut names = BTreeSet::new();
    for entry in read.iter().flatten() {
        assert!(names.insert(&entry.name), "{} twice", entry.name);
        assert!(!entry.name.contains([':', '\n']));
        assert!(!entry.hash.contains([':', '#', '\n']));
        // The file that has this line alone has this user.
        let line = format!("{}:{}", entry.name, entry.hash);
        let again = htpasswd::parse(line.as_bytes());
        let again = again[0].as_ref().expect("a line that was read");
        assert_eq!((&again.name, &again.hash), (&entry.name, &entry.hash));
    }
});
