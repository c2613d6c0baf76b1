use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use rustix::process::{Signal, getpid, kill_process};

/// The one failpoint this process was started with.
#[derive(Debug)]
struct Armed {
    name: String,
    /// Visits left until the process dies.
    remaining: AtomicU64,
}

pub(super) fn hit(name: &str) {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| Armed::parse(&std::env::var("TIDEGATE_FAILPOINT").ok()?));
    if armed.as_ref().is_some_and(|armed| armed.due(name)) {
        // The kernel delivers SIGKILL to the sender before `kill` returns; nothing runs after it.
        if kill_process(getpid(), Signal::KILL).is_err() {
            std::process::abort();
        }
    }
}

impl Armed {
    /// Reads `name` or `name:N`; an `N` that is no positive number arms nothing.
    fn parse(text: &str) -> Option<Self> {
        let (name, visits) = match text.split_once(':') {
            Some((name, visits)) => (name, visits.parse().ok().filter(|visits| *visits > 0)?),
            None => (text, 1),
        };
        Some(Self {
            name: name.to_owned(),
            remaining: AtomicU64::new(visits),
        })
    }

    fn due(&self, name: &str) -> bool {
        self.name == name && self.remaining.fetch_sub(1, Ordering::SeqCst) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_visit_is_due() {
        let armed = Armed::parse("jobs.claimed:2").unwrap();
        assert!(!armed.due("jobs.enqueued"));
        assert!(!armed.due("jobs.claimed"));
        assert!(armed.due("jobs.claimed"));
        assert!(!armed.due("jobs.claimed"));
        assert!(Armed::parse("jobs.claimed").unwrap().due("jobs.claimed"));
    }

    #[test]
    fn a_visit_that_is_no_number_arms_nothing() {
        for text in ["jobs.claimed:0", "jobs.claimed:x", "jobs.claimed:"] {
            assert!(Armed::parse(text).is_none(), "{text}");
        }
    }
}
